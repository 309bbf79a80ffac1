"""Compilation of Java sources to the dex that a phone runs."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from android_bench.toolchain.apk.settings import FRAMEWORK, MAIN, SPEECH_LIBRARY
from android_bench.toolchain.apk.tools import ANDROID_JSON, java_home, require_tools, run
from android_bench.toolchain.npm_packages import BUNDLETOOL

_D8 = "com.android.tools.r8.D8"
# These programs end before the optimizing compiler would pay.
_QUICK_START = "-XX:TieredStopAtLevel=1"


def compile_java(folders: Sequence[Path], output: Path, *libraries: Path) -> None:
    """Compiles all `.java` files below some folders, with every warning an error."""
    classpath = ["-classpath", ":".join(map(str, libraries))] if libraries else []
    run(
        *("javac", f"-J{_QUICK_START}", "--release", "8", "-Xlint:all,-options", "-Werror", "-encoding", "UTF-8"),
        *classpath,
        *("-d", output),
        *sorted(source for folder in folders for source in folder.rglob("*.java")),
    )


def build_dex(min_sdk: int) -> bytes:
    """Compiles the app and the library to one `classes.dex`.

    Raises:
      UnavailableError: a tool is missing or cannot be fetched.
    """
    require_tools("javac", "java", ANDROID_JSON)
    d8 = BUNDLETOOL.fetch()
    with tempfile.TemporaryDirectory() as name:
        framework, classes, output = (Path(name) / part for part in ("framework", "classes", "dex"))
        output.mkdir()
        compile_java([FRAMEWORK], framework)
        compile_java([MAIN / "java", SPEECH_LIBRARY / "java"], classes, framework, ANDROID_JSON)
        libraries = [word for path in (framework, ANDROID_JSON, java_home()) for word in ("--lib", path)]
        options = ("--release", "--min-api", str(min_sdk), *libraries, "--output", output)
        run("java", _QUICK_START, "-cp", d8, _D8, *options, *sorted(classes.rglob("*.class")))
        return (output / "classes.dex").read_bytes()
