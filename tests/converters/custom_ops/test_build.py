"""The package's own build gives a wheel that carries the native library."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from converters import custom_ops
from converters.custom_ops import kernel_names, library_path
from tfconformer.errors import InputError

ROOT = Path(__file__).parents[3]


def test_a_wheel_carries_a_library_that_loads(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("converters", "tfconformer"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in ("pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, source)
    # Without isolation and dependencies, so that nothing is downloaded.
    options = ["--no-build-isolation", "--no-deps", "--wheel-dir", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", *options, str(source)], check=True, timeout=200)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        library = archive.extract("converters/custom_ops/libtfconformer_ops.so", tmp_path)
    assert "converters/runtime/model.py" in names
    assert "tfconformer/errors.py" in names
    assert not [name for name in names if name.endswith((".c", ".h"))]
    loaded = ctypes.CDLL(library)
    loaded.tfconformer_kernel_name.restype = ctypes.c_char_p
    assert loaded.tfconformer_kernel_name(0).decode() == kernel_names()[0]


def test_only_the_interface_is_exported() -> None:
    """A symbol of ours must never meet one of a runtime."""
    library = ctypes.CDLL(str(library_path()))
    for name in (
        "tflite_plugin_create_delegate",
        "tflite_plugin_destroy_delegate",
        "tfconformer_kernel_name",
        "tfconformer_fully_connected",
    ):
        assert hasattr(library, name)
    for name in ("fully_connected", "fully_connected_parse", "find_kernel", "portable_kernel"):
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
