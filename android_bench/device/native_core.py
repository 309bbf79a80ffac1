"""The native core of the benchmark in three places: a phone's app, a phone's shell, an emulated processor.

Each takes the arguments of the native core and returns its report (`report.schema.json`).
"""

from __future__ import annotations

import itertools
import json
import time
import uuid
from pathlib import Path
from typing import Any, Protocol

from android_bench.device.adb import Adb
from android_bench.emulator.qemu import Emulator
from android_bench.reference import reference_path
from android_bench.toolchain.apk.settings import AppSettings
from android_bench.toolchain.native import build_android
from android_bench.toolchain.npm_packages import ANDROID_TFLITE
from tfconformer.errors import InputError

APK = Path("build/android/tfconformer-bench.apk")
REMOTE = "/data/local/tmp/tfconformer"
EMULATED = "qemu"
LONGEST_RUN_SECONDS = 900.0

Report = dict[str, Any]


class NativeCore(Protocol):
    """The native core on one device; it runs one model at a time."""

    def prepare(self, models: list[Path], speech: Path) -> None:
        """Copies to the device what runs need: models, with reference outputs if they have some, and speech."""

    def run(self, model: Path, arguments: str) -> Report:
        """Runs a prepared model; `arguments` are those of the native core but for files.

        Raises:
          InputError: the run failed.
        """


def open_native_core(name: str) -> NativeCore:
    """Opens the native core `adb-apk`, `adb-cli` or `qemu`.

    Raises:
      InputError: no phone is connected, or a tool or the app is missing.
    """
    return {"adb-apk": AdbApp, "adb-cli": AdbProgram, EMULATED: EmulatedProgram}[name]()


class EmulatedProgram:
    """The command-line program under QEMU: it computes what a phone computes, but its speed says nothing."""

    def __init__(self) -> None:
        self._emulator = Emulator.prepare()
        self._speech = Path()

    def prepare(self, models: list[Path], speech: Path) -> None:
        self._speech = speech

    def run(self, model: Path, arguments: str) -> Report:
        speech = _speech_arguments(str(self._speech.resolve()))
        # Times mean nothing here, so nothing runs just to be timed.
        words = [f"--model={model.resolve()}", "--warmup=0", "--runs=1", *arguments.split(), *speech]
        return _parse(self._emulator.run_program(words).stdout, model)


class AdbProgram:
    """The command-line program in the phone's shell."""

    def __init__(self) -> None:
        self._adb = Adb()

    def prepare(self, models: list[Path], speech: Path) -> None:
        program = build_android().program
        self._adb.push([program, ANDROID_TFLITE.fetch(), *_with_references(models), speech], REMOTE)
        self._adb.shell("chmod", "755", f"{REMOTE}/{program.name}")
        self._program, self._speech = f"{REMOTE}/{program.name}", f"{REMOTE}/{speech.name}"

    def run(self, model: Path, arguments: str) -> Report:
        words = [f"--model={REMOTE}/{model.name}", *arguments.split(), *_speech_arguments(self._speech)]
        return _parse(self._adb.try_shell(self._program, *words).stdout, model)


class AdbApp:
    """The app on the phone, in the foreground as a user has it, where Android gives it the fast cores.

    Args:
      apk: the app to install.
      poll_seconds: time between two reads of the phone's log.
    """

    def __init__(self, apk: Path = APK, poll_seconds: float = 1.0) -> None:
        if not apk.is_file():
            raise InputError(f"{apk}: there is no such file; `make apk` builds it")
        self._adb, self._apk, self._poll_seconds = Adb(), apk, poll_seconds
        self._package = AppSettings.read().application_id

    def prepare(self, models: list[Path], speech: Path) -> None:
        self._adb.install(self._apk)
        self._adb.push([*_with_references(models), speech], REMOTE)
        self._speech = f"{REMOTE}/{speech.name}"

    def run(self, model: Path, arguments: str) -> Report:
        words = [f"--model={REMOTE}/{model.name}", *arguments.split(), *_speech_arguments(self._speech)]
        # A new name every time, so that no earlier run's log line or file is taken for this one's.
        name = f"{uuid.uuid4().hex}.json"
        self._adb.shell("input", "keyevent", "KEYCODE_WAKEUP")
        activity = f"{self._package}/.MainActivity"
        self._adb.shell(
            *("am", "start", "-W", "-S", "-n", activity, "--es", "args", " ".join(words), "--es", "report", name)
        )
        ended = self._wait_for(name)
        file = f"/sdcard/Android/data/{self._package}/files/{name}"
        read = self._adb.try_shell("cat", file)
        if read.returncode:
            raise InputError(
                f"the phone does not show {file} ({read.stderr.strip()}), but the app said: {ended}; use the backend "
                "adb-cli, or start the benchmark on the phone and share its report"
            )
        self._adb.shell("rm", file)
        return _parse(read.stdout, model)

    def _wait_for(self, name: str) -> str:
        deadline = time.monotonic() + LONGEST_RUN_SECONDS
        for reads in itertools.count():
            for line in self._adb.shell("logcat", "-d", "-v", "raw", "-s", "tfconformer:*").splitlines():
                if line.startswith(f"{name} ended: "):
                    return line.removeprefix(f"{name} ended: ")
            if reads and not self._adb.try_shell("pidof", self._package).stdout.strip():
                raise InputError("the app is not running any more; `adb logcat` says why")
            if time.monotonic() > deadline:
                raise InputError(f"the app has not ended after {LONGEST_RUN_SECONDS:.0f} seconds")
            time.sleep(self._poll_seconds)
        raise AssertionError


def _with_references(models: list[Path]) -> list[Path]:
    return [path for model in models for path in (model, reference_path(model)) if path == model or path.is_file()]


def _speech_arguments(folder: str) -> list[str]:
    return [f"--audio={folder}", f"--transcripts={folder}/transcripts.txt"]


def _parse(text: str, model: Path) -> Report:
    try:
        report = json.loads(text)
    except json.JSONDecodeError:
        raise InputError(f"{model}: the benchmark printed no report but {text[:200]!r}") from None
    if "error" in report:
        raise InputError(f"{model}: {report['error']}")
    return report
