"""ZIP entries in a fixed order, at aligned offsets, with one date: the same input gives the same bytes.

Android maps stored native libraries from the APK as they lie in it, so they must begin at a page boundary; a page has
16 KiB on newer phones. The padding is an extra field of the kind 0xd935, which apksigner reads back and keeps.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

PAGE = 16 * 1024
_WORD = 4
_DATE = (1981, 1, 1, 1, 1, 2)
_LOCAL_HEADER = 30
_ALIGNMENT_FIELD = 0xD935
_FIELD_HEADER = 6


def write_aligned(entries: Mapping[str, tuple[bytes, bool]], output: Path | IO[bytes]) -> None:
    """Writes a ZIP file.

    Args:
      entries: name -> content, and whether it is compressed. Stored libraries are aligned to pages, other stored
        entries to four bytes.
      output: its path, or a stream.
    """
    with zipfile.ZipFile(output, "w") as archive:
        for name in sorted(entries):
            content, compressed = entries[name]
            entry = zipfile.ZipInfo(name, _DATE)
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            if compressed:
                entry.compress_type = zipfile.ZIP_DEFLATED
            else:
                assert archive.fp is not None
                begin = archive.fp.tell() + _LOCAL_HEADER + len(name.encode()) + _FIELD_HEADER
                boundary = _boundary(name)
                padding = bytes(-begin % boundary)
                entry.extra = struct.pack("<HHH", _ALIGNMENT_FIELD, 2 + len(padding), boundary) + padding
            archive.writestr(entry, content)


def stored_offsets(path: Path) -> dict[str, int]:
    """Returns the offsets of the contents of the stored entries of a ZIP file, by name."""
    offsets = {}
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for entry in archive.infolist():
            if entry.compress_type == zipfile.ZIP_STORED:
                file.seek(entry.header_offset + 26)
                name_length, extra_length = struct.unpack("<HH", file.read(4))
                offsets[entry.filename] = entry.header_offset + _LOCAL_HEADER + name_length + extra_length
    return offsets


def misaligned(path: Path) -> list[str]:
    """Returns the names of the stored entries that begin at another offset than a multiple of the alignment."""
    return [name for name, offset in stored_offsets(path).items() if offset % _boundary(name)]


def _boundary(name: str) -> int:
    return PAGE if name.endswith(".so") else _WORD
