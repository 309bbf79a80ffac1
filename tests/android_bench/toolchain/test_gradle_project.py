"""The Gradle project builds what the offline build builds: its CMake file runs here, the rest is only read."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from android_bench.toolchain import native as build_native
from android_bench.toolchain.apk.settings import ABI, MAIN, ROOT, SPEECH_LIBRARY, AppSettings
from converters.custom_ops import COMPILER_FLAGS
from tests.support.apk_on_jvm import skip_without

GRADLE, LIBRARY = ((ROOT / f"{name}/build.gradle.kts").read_text() for name in ("app", "library"))
# Entry point -> the sources of its module.
MODULES = {"jni.c": MAIN, "library_jni.c": SPEECH_LIBRARY}


@pytest.fixture(scope="module", params=MODULES)
def module(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[Path, list[str]]]:
    """An entry point, and source -> words of the command that CMake would compile it with."""
    skip_without("cmake", "gcc", "make")
    folder = tmp_path_factory.mktemp("cmake")
    options = ["-DCMAKE_C_COMPILER=gcc", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", "-G", "Unix Makefiles"]
    sources = MODULES[request.param] / "cpp"
    subprocess.run(["cmake", "-S", sources, "-B", folder, *options], check=True, capture_output=True)
    commands = json.loads((folder / "compile_commands.json").read_text())
    return request.param, {Path(one["file"]): shlex.split(one["command"]) for one in commands}


def test_same_native_sources_and_compiler_flags(module: tuple[str, dict[Path, list[str]]]) -> None:
    entry_point, compile_commands = module
    assert sorted(compile_commands) == build_native.sources(entry_point)
    for command in compile_commands.values():
        end = command.index("-o")
        flags = [word for word in command[1:end] if word == "-DNDEBUG" or not word.startswith(("-D", "-I"))]
        assert sorted(set(flags)) == sorted(COMPILER_FLAGS)


def test_pages_of_16_kib_and_the_same_exports() -> None:
    cmake = (ROOT / "native/android.cmake").read_text()
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
    for name in ("minSdk", "targetSdk"):
        assert f'setting("{name}").toInt()' in LIBRARY
    assert (
        'namespace = setting("libraryNamespace")' in LIBRARY
        and 'consumerProguardFiles("consumer-rules.pro")' in LIBRARY
    )
    assert AppSettings.read().min_sdk == build_native.API_LEVEL
    for gradle in (GRADLE, LIBRARY):
        assert f'abiFilters += "{ABI}"' in gradle
    assert (
        'implementation(project(":library"))' in GRADLE and 'api("com.google.ai.edge.litert:litert:1.4.0")' in LIBRARY
    )


def test_same_java_and_resources() -> None:
    # Gradle's default folders are the ones that the offline build compiles; a further source set would break that.
    assert (MAIN / "java").is_dir() and (MAIN / "res").is_dir() and (MAIN / "AndroidManifest.xml").is_file()
    assert re.findall(r"sourceSets.*", GRADLE) == ['sourceSets["main"].assets.srcDir("../../build/android/assets")']
    assert "sourceSets" not in LIBRARY and (SPEECH_LIBRARY / "java").is_dir()
    for module in ("app", "library"):
        assert sorted(path.name for path in (ROOT / module / "src").iterdir()) == ["main"]
    assert (ROOT / "app/../../build/android/assets").resolve() == (build_native.OUTPUT / "assets").resolve()


def test_the_same_java_language() -> None:
    for gradle in (GRADLE, LIBRARY):
        assert gradle.count("JavaVersion.VERSION_1_8") == 2
