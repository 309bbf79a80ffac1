"""The app's own dex, turned back into class files, on a desktop JVM with a stand-in of Android's framework."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from android_bench.apk.dex import compile_java
from android_bench.apk.settings import FRAMEWORK
from android_bench.apk.tools import ANDROID_JSON, run

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
        framework, self._scripted, scenarios = (folder / name for name in ("framework", "native", "scenarios"))
        app = folder / "app.jar"
        with zipfile.ZipFile(apk) as archive:
            dex = archive.extract("classes.dex", folder)
        run(DEBIAN_PYTHON, "-m", "enjarify.main", dex, "-o", app)
        compile_java(FRAMEWORK, framework)
        compile_java(JVM_SOURCES / "scripted_native", self._scripted, app)
        compile_java(JVM_SOURCES / "scenarios", scenarios, self._scripted, app, framework)
        self._classpath = [scenarios, app, framework, ANDROID_JSON]

    def run(self, device: Path, *scenario: str, scripted: bool = True, **properties: str | Path) -> str:
        """Runs a scenario and returns all that was printed and logged.

        Args:
          device: folder with the phone's folders `assets`, `files` and `external`.
          scenario: name and arguments.
          scripted: whether the native core is replaced by a class that answers with a file.
          properties: further system properties, "." written as "_".
        """
        classpath = [self._scripted, *self._classpath] if scripted else self._classpath
        values = {"device.root": device} | {name.replace("_", "."): value for name, value in properties.items()}
        done = subprocess.run(
            [
                *("java", "-XX:TieredStopAtLevel=1", "-cp", ":".join(map(str, classpath))),
                *(f"-D{name}={value}" for name, value in values.items()),
                *("org.tfconformer.bench.Scenarios", *scenario),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
