"""The parsers on a container written here, number by number, as the format's description says."""

from __future__ import annotations

import io
import logging
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tfconformer.data.speech import amazon_queen, recordings
from tfconformer.data.speech.debian_packages import DebianPackage
from tfconformer.errors import InputError

HEADER = bytes(20)


def words(*values: int) -> bytes:
    return struct.pack(f">{len(values)}h", *values)


def string(text: str, offset: int, align: int = 2) -> bytes:
    """A Pascal string whose end is padded to a multiple of `align` from the start of the file."""
    encoded = bytes([len(text)]) + text.encode()
    return encoded + bytes(-(offset + len(encoded)) % align if text else 0)


def strings(start: bytes, *texts: str, align: int = 2) -> bytes:
    content = start
    for text in texts:
        content += string(text, len(content), align)
    return content


def container(members: dict[str, bytes]) -> bytes:
    offset = 15 + 21 * len(members)
    table = b"QTBL" + bytes(9) + struct.pack(">H", len(members))
    body = b""
    for name, content in members.items():
        table += struct.pack(">12sBII", name.encode(), 0, offset + len(body), len(content))
        body += content
    return table + body


def database() -> tuple[bytes, bytes]:
    """QUEEN.JAS and QUEEN2.JAS: objects 1 FAYE and 2 MARY-LOU are persons, 3 NOTE is a prop, 4 DOOR is no person."""
    objects = [(1, -3), (-2, -4), (3, -3), (4, 7)]
    jas = words(1, 4, len(objects), 3) + b"".join(words(name, 0, 0, 0, 0, 1, 0, image) for name, image in objects)
    descriptions = ["It's a crate.", "A rope.*WTVery long.", "Locked!"]
    names = ["Faye", "Mary-Lou", "Note", "Door"]
    text = [*descriptions, *names, "ROOM1", *[f"verb {i}" for i in range(12)], *[f"Answer {i}." for i in range(1, 41)]]
    return HEADER + jas, "\r\n".join(text).encode()


def dialogue() -> bytes:
    """SPARKY1.DOG: one level, talk key 7; Sparky says node 16, Joe says node 17, and both have greetings."""
    joe_offset = 32 + 96
    joe = words(0, 0)
    joe_content = strings(bytes(joe_offset) + joe, "Hi Sparky!")  # what Joe says first
    # The same place is read as Joe's lines: two words, then a string aligned to 4. One line is enough here.
    person_offset = len(joe_content)
    content = joe_content + words(0, 16)
    content = strings(content, "Hello Joe.*GDHow's*FLthe plane?", align=4)
    greeting_offset = len(content)
    content = strings(content, "You again!", "Me again!")
    header = words(1, 0, 7, 0, 1) + words(0, 0, 0, 0, 0, 0) + words(person_offset, 0, greeting_offset)
    return HEADER + header + content[len(header) :]


def cutscene() -> bytes:
    """C1A.CUT: Faye, a walking Joe with an animation, Joe, a prop, Mary-Lou."""

    def action(number: int, animated: int = 0, executed: int = 0, people: tuple[int, ...] = ()) -> bytes:
        record = [number, 0, 0, 0, animated, executed, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 100]
        return words(*record, len(people), *people)

    actions = action(1, people=(-1, 1)) + action(0, 1, 1) + words(0, *range(9)) + words(-2)
    actions += action(0) + action(3) + action(2)
    end = 12 + len(actions) + 2
    content = words(0, -5, 0, end, end + 2, 0) + actions + words(0) + words(0)
    return HEADER + strings(content, "*FL", "Where are we?", "*", "In a test.", "Who wrote this?", "I did.")


def clip(seconds: float, silent: bool = False) -> bytes:
    tone = 0 if silent else 0.3 * np.sin(np.arange(int(seconds * 11025)) * 0.3)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(int(seconds * 11025)) + tone, 11025, format="MP3")
    return buffer.getvalue()


@pytest.fixture
def package(tmp_path: Path) -> DebianPackage:
    queen, queen2 = database()
    voices = (
        "JOE00411", "JOE00422", "JOE00071", "070010P1", "070010P2", "07SSSSJ1", "07XXXXP1", "C1A__011", "C1A__031",
        "C1A__041", "C1A__051", "NOTEXT11",
    )  # fmt: skip
    members = {"QUEEN.JAS": queen, "QUEEN2.JAS": queen2, "SPARKY1.DOG": dialogue(), "C1A.CUT": cutscene()}
    members |= {f"{name}.SB": clip(0.4 + 0.1 * index) for index, name in enumerate(voices)}
    path = tmp_path / "usr/share/scummvm" / amazon_queen.PACKAGE / "queen.1c"
    path.parent.mkdir(parents=True)
    path.write_bytes(container(members))
    return DebianPackage(amazon_queen.PACKAGE, "1.0", tmp_path)


def test_clips_get_the_words_and_the_speaker_of_the_script(package: DebianPackage) -> None:
    lines = {r.name: (r.speaker, r.text) for r in amazon_queen.recordings(package)}
    assert lines == {
        "JOE00411": ("JOE", "IT'S A CRATE"),
        "JOE00422": ("JOE", "VERY LONG"),
        "JOE00071": ("JOE", "ANSWER SEVEN"),
        "070010P1": ("SPARKY", "HELLO JOE HOW'S"),
        "070010P2": ("SPARKY", "THE PLANE"),
        "07SSSSJ1": ("JOE", "HI SPARKY"),
        "07XXXXP1": ("SPARKY", "YOU AGAIN"),
        "C1A__011": ("FAYE", "WHERE ARE WE"),
        "C1A__031": ("JOE", "IN A TEST"),
        "C1A__041": ("", "WHO WROTE THIS"),
        "C1A__051": ("LOU", "I DID"),
    }


def test_recordings_decode_to_their_own_audio(package: DebianPackage) -> None:
    by_name = {r.name: r for r in amazon_queen.recordings(package)}
    for name, seconds in (("JOE00411", 0.4), ("C1A__011", 1.1)):
        samples = recordings.read(by_name[name])
        # MP3 pads to frames of 576 samples at 11.025 kHz on both sides.
        assert len(samples) / 16000 == pytest.approx(seconds, abs=0.16)
        assert samples.dtype == np.float32 and np.abs(samples).max() > 0.2


def test_a_cutscene_that_does_not_parse_loses_its_speakers_only(
    package: DebianPackage, caplog: pytest.LogCaptureFixture
) -> None:
    path = package.root / "usr/share/scummvm" / amazon_queen.PACKAGE / "queen.1c"
    end_of_actions = 20 + 6
    content = bytearray(path.read_bytes())
    start = content.index(cutscene()) + end_of_actions
    content[start : start + 2] = words(2)
    path.write_bytes(bytes(content))
    with caplog.at_level(logging.INFO):
        lines = {r.name: (r.speaker, r.text) for r in amazon_queen.recordings(package)}
    assert lines["C1A__011"] == ("", "WHERE ARE WE")
    assert "C1A" in caplog.text


@pytest.mark.parametrize("content", [b"", b"RIFF....", b"QTBL" + bytes(8), container({"A.SB": b""})])
def test_another_file_is_an_input_error(package: DebianPackage, content: bytes) -> None:
    path = package.root / "usr/share/scummvm" / amazon_queen.PACKAGE / "queen.1c"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a Flight of the Amazon Queen container"):
        amazon_queen.recordings(package)
    path.unlink()
    with pytest.raises(InputError, match="not a Flight of the Amazon Queen container"):
        amazon_queen.recordings(package)


def test_bytes_that_are_no_audio_are_a_value_error(package: DebianPackage) -> None:
    damaged = next(r for r in amazon_queen.recordings(package))
    damaged.path.write_bytes(bytes(damaged.path.stat().st_size))
    with pytest.raises(ValueError, match=r".+"):
        recordings.read(damaged)
