"""Voice clips and script of Drascula: 0.8 hours of acted English speech, mostly with a Spanish accent, from Debian.

Every clip is a file `PREFIXnnn.ALS`: raw unsigned 8-bit PCM at 11.025 kHz. Line nnn of the speaker's string table in
`drascula.dat` is its text. The tables are at the end of that file, one after the other, each as a count of strings and,
for each of six languages, a size and a block of that size; a block is 4 bytes, then strings, each preceded by the
distance to the next one and ended by a zero byte. Numbers are big-endian words. The format is documented in the sources
of ScummVM. The actors sometimes paraphrase the script.
"""

from __future__ import annotations

import re
import struct

from tfconformer.data.speech.debian_packages import DebianPackage
from tfconformer.data.speech.recordings import Recording, transcript
from tfconformer.errors import InputError

PACKAGE = "drascula"
LICENCE = "Drascula-License"

_LANGUAGES = 6
_SPEAKERS = {  # file name prefix -> character, in the order of the string tables
    "": "JOHN", "D": "DRASCULA", "B": "DRUNKARD", "BJ": "BJ", "E": "GRAVEDIGGER", "I": "IGOR", "L": "WEREWOLF",
    "P": "PIANIST", "T": "BARKEEPER", "VB": "VON BRAUN",
}  # fmt: skip


def recordings(package: DebianPackage) -> list[Recording]:
    """Returns the voice clips that have a line in the English string tables.

    Raises:
      InputError: the data file is missing or is not the expected version.
    """
    folder = package.root / "usr/share/scummvm/drascula/en"
    path = folder / "drascula.dat"
    try:
        tables = dict(zip(_SPEAKERS, english_tables(path.read_bytes()), strict=False))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a Drascula data file: {error}") from None
    result = []
    for clip in sorted(folder.glob("*.ALS")):
        match = re.fullmatch(r"([A-Z]*)(\d+)", clip.stem)
        if not match or match.group(1) not in tables:
            continue
        table, number = tables[match.group(1)], int(match.group(2))
        text = transcript(table[number]) if number < len(table) else ""
        if text:
            source = f"{PACKAGE} {package.version}"
            speaker = f"DRASCULA {_SPEAKERS[match.group(1)]}"
            result.append(Recording(source, LICENCE, speaker, clip.stem, text, clip, 0, clip.stat().st_size, "u8"))
    return result


def english_tables(content: bytes) -> list[list[str]]:
    """Returns the strings of the first language of every table.

    The sections before the tables have no index; the tables begin where a chain of at least ten of them ends exactly at
    the end of the file.

    Raises:
      ValueError: there is no such chain.
    """
    languages = struct.pack(">H", _LANGUAGES)
    start = content.find(languages)
    while start >= 0:
        tables = _tables_from(content, start + 2)
        if tables is not None and len(tables) >= len(_SPEAKERS):
            return tables
        start = content.find(languages, start + 1)
    raise ValueError("no string tables found")


def _tables_from(content: bytes, offset: int) -> list[list[str]] | None:
    tables = []
    while offset < len(content):
        starts = []
        try:
            (count,) = struct.unpack_from(">H", content, offset)
            offset += 2
            for _ in range(_LANGUAGES):
                (size,) = struct.unpack_from(">H", content, offset)
                starts.append(offset + 2)
                offset += 2 + size
        except struct.error:
            return None
        tables.append((starts[0], count))
    return [_strings(content, start, count) for start, count in tables] if offset == len(content) else None


def _strings(content: bytes, start: int, count: int) -> list[str]:
    strings = []
    offset = start + 4
    for _ in range(count):
        strings.append(content[offset : content.index(b"\0", offset)].decode("latin-1"))
        offset += struct.unpack_from(">H", content, offset - 2)[0]
    return strings
