"""What can be read off the files that go to a phone."""

from __future__ import annotations

import shutil
from dataclasses import astuple
from pathlib import Path

import pytest

from android_bench.toolchain import native as build_native
from android_bench.toolchain.apk.elf import read_library
from android_bench.toolchain.apk.verify import load_problems, own_library_problems
from android_bench.toolchain.native import ENTRY_POINTS, AndroidFiles, build_android, sources


def test_the_same_sources_give_the_same_bytes(
    android_files: AndroidFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of the checkout, in another folder."""
    copy = tmp_path / "another checkout"
    for part in ("android_bench/native", "android_bench/bionic", "converters/custom_ops"):
        shutil.copytree(build_native.REPOSITORY / part, copy / part)
    monkeypatch.setattr(build_native, "REPOSITORY", copy)
    monkeypatch.setattr(build_native, "_BENCH", copy / "android_bench")
    monkeypatch.setattr(build_native, "_BIONIC", copy / "android_bench/bionic")
    for first, second in zip(astuple(android_files), astuple(build_android(copy / "build/android")), strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_every_source_of_the_operations_is_compiled_in() -> None:
    operations = set((build_native.REPOSITORY / "converters/custom_ops").rglob("*.c"))
    for entry in ENTRY_POINTS:
        assert operations <= set(sources(entry))
        assert {path.name for path in sources(entry)} & ENTRY_POINTS.keys() == {entry}


def test_android_can_load_them(android_files: AndroidFiles) -> None:
    for path in astuple(android_files):
        library = read_library(path)
        assert library.imports
        assert not [*load_problems(library), *own_library_problems(library)]


def test_the_libraries_show_one_function(android_files: AndroidFiles) -> None:
    for library in (android_files.library, android_files.speech_library):
        assert read_library(library).exports == {"JNI_OnLoad"}
    assert b"/system/bin/linker64\0" in android_files.program.read_bytes()


def test_the_library_for_apps_has_nothing_of_the_benchmark(android_files: AndroidFiles) -> None:
    content = android_files.speech_library.read_bytes()
    assert b"org/tfconformer/NativeStream" in content
    for word in (b"thermal", b"--runs", b"org/tfconformer/bench"):
        assert word not in content and word in android_files.library.read_bytes()
