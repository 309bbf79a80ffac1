"""The direction of the quoted includes in the C sources of the operations."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[3] / "converters" / "custom_ops"
# A file includes files of its own folder and of those before it; `include` is the public header.
FOLDERS = ("include", "format", "kernels", "ops", "api", "tflite")
FILES = sorted([*SOURCES.rglob("*.c"), *SOURCES.rglob("*.h")])


@pytest.mark.parametrize("file", FILES, ids=[str(file.relative_to(SOURCES)) for file in FILES])
def test_includes_point_downwards(file: Path) -> None:
    for quoted in re.findall(r'^\s*#\s*include\s*"([^"]+)"', file.read_text(), re.MULTILINE):
        included = (file.parent / quoted).resolve()
        assert included.is_file(), f"{quoted} is no file of custom_ops"
        assert included.is_relative_to(SOURCES), f"{quoted} leaves custom_ops"
        assert FOLDERS.index(included.parent.name) <= FOLDERS.index(file.parent.name), f"{quoted} points upwards"


def test_every_folder_has_its_place() -> None:
    assert {file.parent.relative_to(SOURCES).as_posix() for file in FILES} == set(FOLDERS)
