"""The app's own dex, turned back into class files, on a desktop JVM with a stand-in of Android's framework."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from android_bench.toolchain.apk.dex import compile_java
from android_bench.toolchain.apk.settings import FRAMEWORK
from android_bench.toolchain.apk.tools import ANDROID_JSON, run

JVM_SOURCES = Path(__file__).resolve().parents[1] / "android_bench/jvm"

# The one that Debian's enjarify belongs to; the command `enjarify` takes any Python that comes first.
DEBIAN_PYTHON = "/usr/bin/python3"


def skip_without(*tools: str) -> None:
    """Skips the test if a program is not installed."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: `make android-tools`")


class AppOnJvm:
    """Runs scenarios of `tests/android_bench/jvm` on the app.

    Args:
      apk: its dex is what runs.
      folder: for what is compiled.
    """

    def __init__(self, apk: Path, folder: Path) -> None:
        skip_without("enjarify", DEBIAN_PYTHON)
        scenarios, emulated, stream, app = (folder / name for name in ("scenarios", "emulated", "stream", "app.jar"))
        with zipfile.ZipFile(apk) as archive:
            dex = archive.extract("classes.dex", folder)
        run(DEBIAN_PYTHON, "-m", "enjarify.main", dex, "-o", app)
        scripted = [FRAMEWORK, JVM_SOURCES / "scripted_native", JVM_SOURCES / "scenarios"]
        compile_java(scripted, scenarios, app, ANDROID_JSON)
        compile_java([JVM_SOURCES / "emulated_native"], emulated, app)
        compile_java([JVM_SOURCES / "emulated_stream"], stream)
        # The class path decides which `Native` and `NativeStream` there is: the first one.
        self._classpaths = {
            "scripted": [stream, scenarios, app, ANDROID_JSON],
            "emulated": [stream, emulated, app, scenarios, ANDROID_JSON],
            "own": [app, scenarios, ANDROID_JSON],
        }

    def run(self, device: Path, *scenario: str, native: str = "scripted", **properties: str | Path) -> str:
        """Runs a scenario and returns all that was printed and logged.

        Args:
          device: folder with the phone's folders `assets`, `files` and `external`.
          scenario: name and arguments.
          native: "own" for the app's classes `Native` and `NativeStream`, which load their libraries from
            `java_library_path`. Else `NativeStream` is one that runs `stream_command`, and `Native` is one that answers
            with the file `native_report` ("scripted") or that runs `native_command` ("emulated").
          properties: further system properties, "." written as "_".
        """
        values = {"device.root": device} | {name.replace("_", "."): value for name, value in properties.items()}
        return run_java(self._classpaths[native], values, "org.tfconformer.bench.Scenarios", *scenario)


def run_java(
    classpath: Sequence[Path], properties: Mapping[str, str | Path], main: str, *arguments: str, timeout: float = 120
) -> str:
    """Runs the class `main` with the stand-in of the framework; it must end well. Returns what it printed."""
    done = subprocess.run(
        [
            *("java", "-XX:TieredStopAtLevel=1", "--add-opens", "java.base/java.io=ALL-UNNAMED"),
            *("-cp", ":".join(map(str, classpath))),
            *(f"-D{name}={value}" for name, value in properties.items()),
            *(main, *arguments),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
