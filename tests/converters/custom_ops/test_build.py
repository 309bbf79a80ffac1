"""The native library as it is built: its size, its symbols, its header. That wheels carry it is in tests/project."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from converters import custom_ops
from converters.custom_ops import include_path, kernel_names, library_path
from tfconformer.errors import InputError

ROOT = Path(__file__).parents[3]


def test_the_library_is_small_and_stripped() -> None:
    assert library_path().stat().st_size < 1_000_000
    with library_path().open("rb") as file:
        sections = [section.name for section in ELFFile(file).iter_sections()]
    assert ".dynsym" in sections
    assert ".symtab" not in sections


@pytest.mark.parametrize(("compiler", "options"), [("gcc", ["-std=c11"]), ("g++", ["-std=c++11"])])
def test_the_public_header_compiles_alone(compiler: str, options: list[str], tmp_path: Path) -> None:
    """A program of a user includes it first and calls the library."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    shutil.copy(include_path() / "tfconformer_ops.h", tmp_path)
    source = tmp_path / f"program.{'c' if compiler == 'gcc' else 'cc'}"
    source.write_text(
        "#include <tfconformer_ops.h>\n#include <stdio.h>\nint main(void) { return puts(tfc_kernel_name(0)) < 0; }\n"
    )
    program = tmp_path / "program"
    warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    words = [compiler, *options, *warnings, f"-I{tmp_path}", str(source), str(library_path()), "-o", str(program)]
    subprocess.run(words, check=True, timeout=60)
    done = subprocess.run([str(program)], check=True, timeout=60, capture_output=True, text=True)
    assert done.stdout.split() == kernel_names()[:1]


def test_every_symbol_has_the_prefix(tmp_path: Path) -> None:
    """Other code may be linked with the sources: the names that only their files share must not meet its names."""
    sources = [str(path) for path in (ROOT / "converters" / "custom_ops").rglob("*.c")]
    linked = tmp_path / "linked.o"
    subprocess.run(["gcc", "-std=c11", "-O0", "-r", "-nostdlib", *sources, "-o", str(linked)], check=True, timeout=200)
    with linked.open("rb") as file:
        symbols = [*ELFFile(file).get_section_by_name(".symtab").iter_symbols()]
    names = {
        symbol.name
        for symbol in symbols
        if symbol["st_info"]["bind"] == "STB_GLOBAL" and symbol["st_shndx"] != "SHN_UNDEF"
    }
    assert "tfc_fully_connected_run" in names
    assert {name for name in names if not name.startswith(("tfc_", "tflite_plugin_"))} == set()


def test_only_the_interface_is_exported() -> None:
    """A symbol of ours must never meet one of a runtime."""
    library = ctypes.CDLL(str(library_path()))
    for name in (
        "tflite_plugin_create_delegate",
        "tflite_plugin_destroy_delegate",
        "tfc_kernel_name",
        "tfc_fully_connected",
    ):
        assert hasattr(library, name)
    for name in ("tfc_fully_connected_run", "tfc_fully_connected_parse", "tfc_find_kernel_set"):
        assert not hasattr(library, name)


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        (b"threads", b"2", b"the tfconformer delegate has no option 'threads', only 'kernel'"),
        (b"kernel", b"altivec", b"this processor has no kernel 'altivec' of the tfconformer delegate"),
    ],
)
def test_the_plug_in_refuses_unknown_options(option: bytes, value: bytes, sentence: bytes) -> None:
    library = ctypes.CDLL(str(library_path()))
    reporter = ctypes.CFUNCTYPE(None, ctypes.c_char_p)
    create = library.tflite_plugin_create_delegate
    create.restype = ctypes.c_void_p
    create.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, reporter]
    messages: list[bytes] = []
    keys, values = (ctypes.c_char_p * 1)(option), (ctypes.c_char_p * 1)(value)
    assert create(keys, values, 1, reporter(messages.append)) is None
    assert messages == [sentence]


def test_a_package_that_was_not_built_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(custom_ops, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(InputError, match=r"libtfconformer_ops\.so does not exist: build it"):
        library_path()
