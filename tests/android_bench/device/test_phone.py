"""`tfconformer bench` with a phone: a fake `adb` writes down what it is told and answers as a phone would."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from android_bench.device import native_core
from android_bench.device.backend import DeviceBackend, write_speech
from android_bench.device.native_core import AdbApp, AdbProgram
from android_bench.toolchain.native import AndroidFiles
from converters.evaluation.comparison import ComparedModel
from converters.evaluation.comparison import compare as compare_models
from tests.converters.evaluation.test_comparison import write_model
from tests.support import fake_adb
from tests.support.tiny_conformer import tiny_tokenizer
from tfconformer.errors import InputError, UnavailableError
from tfconformer.reports.rows import Size

SPEECH = [
    (np.linspace(-1, 1, 2000, dtype=np.float32), "CALL HOME", "first"),
    (np.zeros(1000, np.float32), "GO", "second"),
]


class Phone:
    """The folder that stands for a phone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.answer()
        self.heat([0, 0])

    def answer(self, **answers: object) -> None:
        (self.folder / "answers.json").write_text(json.dumps(answers))

    def heat(self, *states: list) -> None:
        """Thermal states before and after one run after the other; the last ones stay."""
        (self.folder / "thermal.json").write_text(json.dumps(states))

    @property
    def commands(self) -> list[list[str]]:
        return [shlex.split(line) for line in (self.folder / "commands.txt").read_text().splitlines()]

    @property
    def shell_commands(self) -> list[list[str]]:
        return [shlex.split(words[1]) for words in self.commands if words[0] == "shell"]


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Phone:
    programs = tmp_path / "programs"
    programs.mkdir()
    adb = programs / "adb"
    adb.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E {fake_adb.__file__} "$@"\n')
    adb.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_PHONE", str(tmp_path / "phone"))
    for name in ("tfconformer_bench", "libtensorflowlite_jni.so", "bench.apk"):
        (tmp_path / name).write_bytes(name.encode())
    built = AndroidFiles(tmp_path, tmp_path / "tfconformer_bench", tmp_path)
    monkeypatch.setattr(native_core, "build_android", lambda: built)
    monkeypatch.setattr(type(native_core.ANDROID_TFLITE), "fetch", lambda _: tmp_path / "libtensorflowlite_jni.so")
    app = lambda: AdbApp(tmp_path / "bench.apk", poll_seconds=0)  # noqa: E731
    monkeypatch.setattr(native_core, "AdbApp", app)
    return Phone(tmp_path / "phone")


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Path]:
    """Two versions of one model, the first with a reference output."""
    models = {name: write_model(tmp_path / f"{name}.tflite", tiny_tokenizer()) for name in ("int4", "int2")}
    models["int2"].write_bytes(models["int2"].read_bytes() + b"\0")
    (tmp_path / "int4.reference").write_bytes(b"reference")
    return models


def compare(models: dict[str, Path], backend: str, rounds: int = 2):
    compared = {name: ComparedModel(path, Size(file_bytes=path.stat().st_size)) for name, path in models.items()}
    return compare_models(compared, SPEECH, "noise", DeviceBackend(backend, threads=2), rounds)


@pytest.mark.parametrize("backend", ["adb-cli", "adb-apk"])
def test_rows_and_the_phone(phone: Phone, models: dict[str, Path], backend: str) -> None:
    rows, machine = compare(models, backend)
    assert [(row.model, row.size.file_bytes) for row in rows] == [
        ("int4", models["int4"].stat().st_size),
        ("int2", models["int2"].stat().st_size),
    ]
    for row in rows:
        # The fake takes 10 and 20 ms for utterances of 2 s, and recognizes one word too many in each.
        assert (row.speed.latency_ms_p50, row.speed.rtf_p50) == (pytest.approx(15), pytest.approx(0.0075))
        assert (row.accuracy.words, row.accuracy.insertions, row.accuracy.utterances, row.execution.threads) == (
            3,
            2,
            2,
            2,
        )
        assert row.execution.runtime == f"TFLite 2.14.0, {backend}" and row.execution.kernel == "neon"
        assert row.execution.peak_rss_mb == pytest.approx(4.096)
    assert machine.cpu == "Maker Phone, Android 14 (API 34)" and machine.cores == 2
    assert machine.limits == "affinity [0, 1], governor schedutil"


def test_models_take_turns(phone: Phone, models: dict[str, Path]) -> None:
    compare(models, "adb-cli", rounds=2)
    runs = [words for words in phone.shell_commands if words[0].endswith("/tfconformer_bench")]
    assert [Path(words[1]).stem for words in runs] == ["int4", "int2", "int4", "int2"]
    assert runs[0] == [
        "/data/local/tmp/tfconformer/tfconformer_bench",
        "--model=/data/local/tmp/tfconformer/int4.tflite",
        "--threads=2",
        "--audio=/data/local/tmp/tfconformer/speech",
        "--transcripts=/data/local/tmp/tfconformer/speech/transcripts.txt",
    ]
    assert ["chmod", "755", runs[0][0]] in phone.shell_commands


def test_pushes_models_references_and_speech(phone: Phone, models: dict[str, Path]) -> None:
    compare(models, "adb-apk")
    pushed = phone.folder / "root/data/local/tmp/tfconformer"
    assert sorted(path.name for path in pushed.iterdir()) == ["int2.tflite", "int4.reference", "int4.tflite", "speech"]
    assert ["chmod", "-R", "a+rX", "/data/local/tmp/tfconformer"] in phone.shell_commands


def test_installs_wakes_starts_and_cleans_up(phone: Phone, models: dict[str, Path]) -> None:
    compare(models, "adb-apk", rounds=1)
    assert [words[:3] for words in phone.commands if words[0] == "install"] == [["install", "-r", "-d"]]
    starts = [words for words in phone.shell_commands if words[0] == "am"]
    assert len(starts) == 2
    assert phone.shell_commands[phone.shell_commands.index(starts[0]) - 1] == ["input", "keyevent", "KEYCODE_WAKEUP"]
    names = {words[words.index("report") + 1] for words in starts}
    assert len(names) == 2
    assert not list((phone.folder / f"root{fake_adb.EXTERNAL}").iterdir())


def test_refuses_a_throttled_phone(phone: Phone, models: dict[str, Path]) -> None:
    phone.heat([0, 0], [0, 0], [0, 3], [3, 3])
    with pytest.raises(InputError, match=r"thermal state .* \(int4: none, severe; int2: none, severe\)"):
        compare(models, "adb-cli")


def test_compares_where_the_phone_tells_no_thermal_state(phone: Phone, models: dict[str, Path]) -> None:
    phone.heat([None, None])
    assert len(compare(models, "adb-cli")[0]) == 2


def test_refuses_another_model_than_was_pushed(phone: Phone, models: dict[str, Path]) -> None:
    phone.answer(sha256="00" * 32)
    with pytest.raises(InputError, match="int4: the device ran the file 0000"):
        compare(models, "adb-cli")


@pytest.mark.parametrize("backend", ["adb-cli", "adb-apk"])
def test_tells_why_a_run_failed(phone: Phone, models: dict[str, Path], backend: str) -> None:
    phone.answer(error="the interpreter has no operation FOO")
    with pytest.raises(InputError, match=r"int4.tflite: the interpreter has no operation FOO"):
        compare(models, backend)


def test_tells_that_the_app_died(phone: Phone, models: dict[str, Path]) -> None:
    phone.answer(app_died=True)
    with pytest.raises(InputError, match="the app is not running any more"):
        compare(models, "adb-apk")


def test_tells_that_the_phone_hides_the_report(phone: Phone, models: dict[str, Path]) -> None:
    phone.answer(hides_app_folder=True)
    with pytest.raises(InputError, match=r"does not show .*Permission denied.* the app said: fine; use .* adb-cli"):
        compare(models, "adb-apk")


def test_needs_a_phone_adb_and_an_apk(phone: Phone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    phone.answer(state="unauthorized")
    with pytest.raises(UnavailableError, match=r"adb finds no phone: unauthorized .*USB debugging"):
        AdbProgram()
    with pytest.raises(InputError, match=r"none.apk: there is no such file; `make apk` builds it"):
        AdbApp(tmp_path / "none.apk")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UnavailableError, match="adb is not installed"):
        AdbProgram()


def test_speech_is_what_the_native_core_reads(tmp_path: Path) -> None:
    write_speech(SPEECH, 1000, tmp_path / "speech")
    assert (tmp_path / "speech/transcripts.txt").read_text() == "first CALL HOME\nsecond GO\n"
    waveform, rate = soundfile.read(tmp_path / "speech/first.wav", dtype="float32")
    assert rate == 1000 and soundfile.info(tmp_path / "speech/first.wav").subtype == "PCM_16"
    # 16 bits: half a step of 1/32768, and +1 is one step out of range.
    np.testing.assert_allclose(waveform, SPEECH[0][0], atol=1 / 32768)
