from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from tfconformer.data.speech import drascula, recordings
from tfconformer.data.speech.debian_packages import DebianPackage
from tfconformer.errors import InputError

SPEAKERS = 10
LANGUAGES = 6


def block(texts: list[str]) -> bytes:
    body = b""
    for text in texts:
        encoded = text.encode("latin-1") + b"\0"
        encoded += bytes(-len(encoded) % 2)
        body += struct.pack(">H", len(encoded) + 4) + encoded + bytes(2)
    return struct.pack(">H", len(body) + 2) + bytes(2) + body


def table(number: int) -> bytes:
    english = ["", f"Table {number} line one.", f"TABLE {number}, LINE TWO"]
    blocks = [block(english if language == 0 else ["", "nada", f"nada {language}"]) for language in range(LANGUAGES)]
    return struct.pack(">H", len(english)) + b"".join(blocks)


def data_file() -> bytes:
    # Before the tables stand sections whose words may look like the count of languages.
    head = b"DRASCULA" + struct.pack(">8H", 6, 3, 6, 65535, 0, 6, 1, 6)
    return head + struct.pack(">H", LANGUAGES) + b"".join(table(number) for number in range(SPEAKERS + 2))


@pytest.fixture
def package(tmp_path: Path) -> DebianPackage:
    folder = tmp_path / "usr/share/scummvm/drascula/en"
    folder.mkdir(parents=True)
    (folder / "drascula.dat").write_bytes(data_file())
    wave = (128 + 100 * np.sin(np.arange(11025) * 0.2)).astype(np.uint8).tobytes()
    for name in ("1.ALS", "2.ALS", "D1.ALS", "VB2.ALS", "VB9.ALS", "S1.ALS", "D0.ALS", "OP_1.CAL"):
        (folder / name).write_bytes(wave)
    return DebianPackage("drascula", "1.0", tmp_path)


def test_files_get_the_line_of_their_speakers_english_table(package: DebianPackage) -> None:
    lines = {r.name: (r.speaker, r.text) for r in drascula.recordings(package)}
    assert lines == {
        "1": ("DRASCULA JOHN", "TABLE ZERO LINE ONE"),
        "2": ("DRASCULA JOHN", "TABLE ZERO LINE TWO"),
        "D1": ("DRASCULA DRASCULA", "TABLE ONE LINE ONE"),
        "VB2": ("DRASCULA VON BRAUN", "TABLE NINE LINE TWO"),
    }


def test_recordings_decode_at_their_rate(package: DebianPackage) -> None:
    samples = recordings.read(drascula.recordings(package)[0])
    assert len(samples) == pytest.approx(16000, abs=1)  # one second, up to the resampler's rounding
    assert np.abs(samples).max() == pytest.approx(100 / 128, abs=0.02)  # 8-bit steps and the resampler's ripple


@pytest.mark.parametrize("damage", [lambda b: b[:-3], lambda b: b + b"\0", lambda b: b[:40], lambda b: b""])
def test_tables_that_do_not_reach_the_end_are_an_input_error(package: DebianPackage, damage) -> None:
    path = package.root / "usr/share/scummvm/drascula/en/drascula.dat"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match="not a Drascula data file"):
        drascula.recordings(package)
