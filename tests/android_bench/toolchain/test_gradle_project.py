"""The Gradle project builds what the offline build builds: its CMake file runs here, the rest is only read."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from android_bench.toolchain import native as build_native
from android_bench.toolchain.apk.settings import ABI, MAIN, ROOT, AppSettings
from converters.custom_ops import COMPILER_FLAGS
from tests.support.apk_on_jvm import skip_without

GRADLE = (ROOT / "app/build.gradle.kts").read_text()


@pytest.fixture(scope="module")
def compile_commands(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, list[str]]:
    """Source -> words of the command that CMake would compile it with."""
    skip_without("cmake", "gcc", "make")
    folder = tmp_path_factory.mktemp("cmake")
    options = ["-DCMAKE_C_COMPILER=gcc", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", "-G", "Unix Makefiles"]
    subprocess.run(["cmake", "-S", MAIN / "cpp", "-B", folder, *options], check=True, capture_output=True)
    commands = json.loads((folder / "compile_commands.json").read_text())
    return {Path(one["file"]): shlex.split(one["command"]) for one in commands}


def test_same_native_sources(compile_commands: dict[Path, list[str]]) -> None:
    assert sorted(compile_commands) == build_native.sources("jni.c")


def test_same_compiler_flags(compile_commands: dict[Path, list[str]]) -> None:
    for command in compile_commands.values():
        end = command.index("-o")
        flags = [word for word in command[1:end] if word == "-DNDEBUG" or not word.startswith(("-D", "-I"))]
        assert sorted(set(flags)) == sorted(COMPILER_FLAGS)


def test_pages_of_16_kib_and_the_same_exports() -> None:
    cmake = (MAIN / "cpp/CMakeLists.txt").read_text()
    for word in ("max-page-size=16384", "--gc-sections", "--version-script=${REPOSITORY}/android_bench/native/jni.map"):
        assert word in cmake
    assert any("max-page-size=16384" in flag for flag in build_native.LINK_FLAGS)


def test_same_identity_and_levels() -> None:
    # Everything of AppSettings comes from gradle.properties in both builds; nothing may be written out beside it.
    for name in ("applicationId", "versionName", "versionCode", "minSdk", "targetSdk"):
        assert re.findall(rf"^\s*{name} = (.*)$", GRADLE, re.MULTILINE) in (
            [f'setting("{name}")'],
            [f'setting("{name}").toInt()'],
        )
    assert AppSettings.read().min_sdk == build_native.API_LEVEL
    assert f'abiFilters += "{ABI}"' in GRADLE


def test_same_java_and_resources() -> None:
    # Gradle's default folders are the ones that the offline build compiles; a further source set would break that.
    assert (MAIN / "java").is_dir() and (MAIN / "res").is_dir() and (MAIN / "AndroidManifest.xml").is_file()
    assert re.findall(r"sourceSets.*", GRADLE) == ['sourceSets["main"].assets.srcDir("../../build/android/assets")']
    assert sorted(path.name for path in (ROOT / "app/src").iterdir()) == ["main"]
    assert (ROOT / "app/../../build/android/assets").resolve() == (build_native.OUTPUT / "assets").resolve()


def test_the_same_java_language() -> None:
    assert GRADLE.count("JavaVersion.VERSION_1_8") == 2
