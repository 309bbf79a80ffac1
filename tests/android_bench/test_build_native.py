"""What can be read off the files that go to a phone."""

from __future__ import annotations

import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from android_bench import build_native
from android_bench.build_native import build_android, sources
from android_bench.npm_packages import UnavailableError

LOAD, INTERPRETER, GNU_STACK = 1, 3, 0x6474E551
WRITE, EXECUTE = 2, 1


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    try:
        return build_android(tmp_path_factory.mktemp("android"))
    except UnavailableError as error:
        pytest.skip(str(error))


@dataclass(frozen=True)
class Segment:
    kind: int
    flags: int
    alignment: int


def segments(path: Path) -> list[Segment]:
    content = path.read_bytes()
    assert content[:6] == b"\x7fELF\x02\x01"
    (offset,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    headers = (struct.unpack_from("<IIQQQQQQ", content, offset + i * size) for i in range(count))
    return [Segment(header[0], header[1], header[7]) for header in headers]


def readelf(path: Path, *options: str) -> list[list[str]]:
    if shutil.which("readelf") is None:
        pytest.skip("readelf is not installed")
    done = subprocess.run(["readelf", "--wide", *options, path], capture_output=True, text=True, check=True)
    return [line.split() for line in done.stdout.splitlines()]


def test_the_same_sources_give_the_same_bytes(
    built: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of the checkout, in another folder."""
    copy = tmp_path / "another checkout"
    for part in ("android_bench/native", "android_bench/bionic", "converters/custom_ops"):
        shutil.copytree(build_native.REPOSITORY / part, copy / part)
    monkeypatch.setattr(build_native, "REPOSITORY", copy)
    monkeypatch.setattr(build_native, "_BENCH", copy / "android_bench")
    monkeypatch.setattr(build_native, "_BIONIC", copy / "android_bench/bionic")
    for first, second in zip(built, build_android(copy / "build/android"), strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_every_source_of_the_operations_is_compiled_in() -> None:
    operations = set((build_native.REPOSITORY / "converters/custom_ops").rglob("*.c"))
    for entry in ("jni.c", "main.c"):
        assert operations <= set(sources(entry))
        assert {path.name for path in sources(entry)} & {"jni.c", "main.c"} == {entry}


def test_pages_of_16_kib(built: tuple[Path, Path]) -> None:
    for path in built:
        loads = [segment for segment in segments(path) if segment.kind == LOAD]
        assert loads
        assert all(segment.alignment == 16384 for segment in loads)
        assert not any(segment.flags & WRITE and segment.flags & EXECUTE for segment in segments(path))
        assert not any(segment.flags & EXECUTE for segment in segments(path) if segment.kind == GNU_STACK)


def test_only_what_android_has_is_imported(built: tuple[Path, Path]) -> None:
    allowed = {
        name
        for line in (build_native.REPOSITORY / "android_bench/bionic/symbols.txt").read_text().splitlines()
        if not line.startswith("#")
        for name in line.partition(":")[2].split()
    }
    for path in built:
        imported = {row[7] for row in readelf(path, "--dyn-syms") if len(row) == 8 and row[6] == "UND"}
        assert imported
        assert imported <= allowed
        dynamic = readelf(path, "--dynamic")
        needed = {row[-1].strip("[]") for row in dynamic if len(row) > 1 and row[1] == "(NEEDED)"}
        assert needed <= {"libc.so", "libdl.so", "liblog.so", "libm.so"}
        assert not any("(TEXTREL)" in row for row in dynamic)


def test_the_library_shows_one_function(built: tuple[Path, Path]) -> None:
    library, program = built
    shown = {row[7] for row in readelf(library, "--dyn-syms") if len(row) == 8 and row[6] not in ("UND", "Ndx")}
    assert shown == {"JNI_OnLoad"}
    assert INTERPRETER in {segment.kind for segment in segments(program)}
    assert b"/system/bin/linker64\0" in program.read_bytes()
