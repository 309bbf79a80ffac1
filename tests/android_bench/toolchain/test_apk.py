"""The APK: built twice the same, and every check of it refuses what it is there to refuse."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from android_bench.toolchain.apk import verify
from android_bench.toolchain.apk.assets import collect_assets
from android_bench.toolchain.apk.build import build_apk
from android_bench.toolchain.apk.dex import compile_java
from android_bench.toolchain.apk.dex_references import Member, missing_references
from android_bench.toolchain.apk.elf import read_library
from android_bench.toolchain.apk.settings import ABI, FRAMEWORK, AppSettings
from android_bench.toolchain.apk.tools import run
from android_bench.toolchain.apk.zip_align import PAGE, misaligned, stored_offsets, write_aligned
from android_bench.toolchain.npm_packages import ANDROID_API, ANDROID_TFLITE
from tests.android_bench.conftest import BuiltApk
from tfconformer.errors import InputError, UnavailableError

OURS = f"lib/{ABI}/libtfconformer_bench.so"
TFLITE = f"lib/{ABI}/libtensorflowlite_jni.so"


@pytest.fixture
def apk(built_apk: BuiltApk) -> Path:
    return built_apk.path


def test_passes_its_checks(apk: Path) -> None:
    verify.verify_apk(apk)


def test_is_the_same_every_time(built_apk: BuiltApk, tmp_path: Path) -> None:
    again = tmp_path / "again.apk"
    build_apk(built_apk.assets, built_apk.libraries, again)
    assert again.read_bytes() == built_apk.path.read_bytes()


def test_holds_models_references_and_licenses(apk: Path) -> None:
    with zipfile.ZipFile(apk) as archive:
        assert archive.read("assets/models/tiny.tflite") == b"tiny.tflite" * 100
        assert archive.read("assets/models/tiny.reference") == b"tiny.reference" * 100
        notice = archive.read("assets/licenses/NOTICE.txt").decode()
        assert "TensorFlow Lite" in notice and ANDROID_TFLITE.package.replace("@", " ") in " ".join(notice.split())
        assert b"Apache License" in archive.read("assets/licenses/Apache-2.0.txt")
        assert len(archive.read("assets/licenses/TensorFlow-third-party.txt")) > 10_000


def test_libraries_lie_at_pages(apk: Path) -> None:
    offsets = stored_offsets(apk)
    assert offsets[OURS] % PAGE == 0 and offsets[TFLITE] % PAGE == 0
    with zipfile.ZipFile(apk) as archive, apk.open("rb") as file:
        file.seek(offsets[OURS])
        assert file.read(4) == b"\x7fELF" == archive.read(OURS)[:4]


@pytest.mark.parametrize("position", [0.1, 0.5, 0.9])
def test_refuses_a_changed_byte(apk: Path, tmp_path: Path, position: float) -> None:
    content = bytearray(apk.read_bytes())
    content[int(position * len(content))] ^= 1
    changed = tmp_path / "changed.apk"
    changed.write_bytes(content)
    assert list(verify.signature_problems(changed))


def test_refuses_an_unsigned_one_without_alignment(apk: Path, tmp_path: Path) -> None:
    unsigned = _rewritten(apk, tmp_path, lambda entries: entries.pop("META-INF/MANIFEST.MF"))
    assert any("signature is wrong" in problem for problem in verify.signature_problems(unsigned))
    plain = tmp_path / "plain.apk"
    with zipfile.ZipFile(apk) as source, zipfile.ZipFile(plain, "w") as target:
        for name in source.namelist():
            target.writestr("x" + name, source.read(name))
    assert f"x{OURS}" in misaligned(plain)
    assert any("is not aligned" in problem for problem in verify.alignment_problems(plain))


def test_refuses_a_compressed_library(apk: Path, tmp_path: Path) -> None:
    compressed = _rewritten(apk, tmp_path, lambda entries: entries.update({OURS: (entries[OURS][0], True)}))
    assert list(verify.alignment_problems(compressed)) == [f"{OURS} is compressed"]


@pytest.mark.parametrize("change", [{"min_sdk": 27}, {"target_sdk": 34}, {"version_code": 2}, {"version_name": "2"}])
def test_refuses_other_settings(apk: Path, monkeypatch: pytest.MonkeyPatch, change: dict) -> None:
    settings = dataclasses.replace(AppSettings.read(), **change)
    monkeypatch.setattr(AppSettings, "read", lambda: settings)
    assert len(list(verify.manifest_problems(apk))) == 1


def test_refuses_a_permission(apk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    badging = verify.run("aapt", "dump", "badging", apk) + "uses-permission: name='android.permission.INTERNET'\n"
    monkeypatch.setattr(verify, "run", lambda *command: badging)
    (problem,) = verify.manifest_problems(apk)
    assert "android.permission.INTERNET" in problem


def test_refuses_a_library_for_another_machine_or_page_size(apk: Path, tmp_path: Path) -> None:
    def exchange(entries: dict) -> None:
        # The TFLite library in the place of ours: its segments are aligned to 4 KiB, and it imports what ours must not.
        entries[OURS] = entries[TFLITE]

    problems = list(verify.library_problems(_rewritten(apk, tmp_path, exchange)))
    assert f"{OURS} has segments aligned to 4096 bytes, not to {PAGE}" in problems
    assert any("imports strtod_l" in problem for problem in problems)


def test_refuses_what_no_phone_would_load() -> None:
    fine = read_library(ANDROID_TFLITE.fetch())
    assert not list(verify.load_problems(fine))
    for change, expected in (
        ({"machine": "EM_X86_64"}, "is for EM_X86_64"),
        ({"writable_code": True}, "has code that can be written to"),
        ({"text_relocations": True}, "has text relocations"),
        ({"needed": ("libc.so", "libstdc++.so.6")}, "needs libstdc++.so.6"),
    ):
        assert list(verify.load_problems(dataclasses.replace(fine, **change))) == [expected]


def test_refuses_symbols_of_later_android(monkeypatch: pytest.MonkeyPatch) -> None:
    levels = verify.read_symbol_levels()
    assert levels["malloc"] == 21 and levels["stdout"] == 23
    library = dataclasses.replace(read_library(ANDROID_TFLITE.fetch()), alignment=PAGE, imports=frozenset({"malloc"}))
    assert not list(verify.own_library_problems(library))
    monkeypatch.setattr(verify, "read_symbol_levels", lambda: levels | {"malloc": 27})
    assert list(verify.own_library_problems(library)) == ["imports malloc, which Android has from API level 27 on"]


def test_refuses_references_that_android_lacks() -> None:
    try:
        api = ANDROID_API.fetch()
    except UnavailableError as error:
        pytest.skip(str(error))
    there = {
        Member("android.widget.Spinner", "setSelection", "(I)V"),  # of AbsSpinner
        Member("android.app.Activity", "getFilesDir", "()Ljava/io/File;"),  # of Context, three classes up
        Member("android.util.DisplayMetrics", "density", "F"),
    }
    missing = {
        Member("android.widget.Spinner", "setSelection", "(J)V"),
        Member("android.widget.Spinner", "select", "(I)V"),
        Member("android.widget.Wheel", "<init>", "()V"),
    }
    assert set(missing_references(there | missing, api)) == missing


def test_constants_of_the_stand_in_are_those_of_android(tmp_path: Path) -> None:
    """The compiler copies them into the app, so that the references in its dex do not show a slip."""
    try:
        api = ANDROID_API.fetch()
    except UnavailableError as error:
        pytest.skip(str(error))
    compile_java([FRAMEWORK], tmp_path)
    names = [str(path.relative_to(tmp_path).with_suffix("")) for path in (tmp_path / "android").rglob("*.class")]
    ours, androids = (_constants(names, path) for path in (tmp_path, api))
    assert len(ours) > 15
    assert {name: androids.get(name) for name in ours} == ours


def _constants(names: list[str], classpath: Path) -> dict[str, str]:
    """Returns the values of constants, by class and name."""
    constants, owner = {}, ""
    for line in run("javap", "-public", "-constants", "-cp", classpath, *names).splitlines():
        if line.endswith("{"):
            owner = next(word for word in line.split() if word.startswith("android."))
        elif " static final " in line and " = " in line:
            name, _, value = line.strip().rstrip(";").partition(" = ")
            constants[f"{owner}.{name.split()[-1]}"] = value
    return constants


def test_models_need_references(tmp_path: Path) -> None:
    (tmp_path / "alone.tflite").write_bytes(b"")
    with pytest.raises(InputError, match=r"alone.reference: there is no such file"):
        collect_assets([tmp_path / "alone.tflite"], tmp_path / "assets")


def _rewritten(apk: Path, folder: Path, change: Callable[[dict], object]) -> Path:
    with zipfile.ZipFile(apk) as archive:
        entries = {one.filename: (archive.read(one), bool(one.compress_type)) for one in archive.infolist()}
    change(entries)
    path = folder / "rewritten.apk"
    write_aligned(entries, path)
    return path
