"""Voice clips and script of Flight of the Amazon Queen: 4.6 hours of acted English speech, from Debian main.

The game is one container file, `queen.1c`: a table of members, among them the voice clips (`NAME.SB`, MP3 at
11.025 kHz) and their script (`.DOG` dialogues, `.CUT` cutscenes, `QUEEN2.JAS` strings). The name of a clip identifies
its line. All numbers are big-endian. The formats are documented in the sources of ScummVM.

Speakers are characters of the game. One actor may play several characters, so a held-out character is one without
training data under that name, not necessarily another person.
"""

from __future__ import annotations

import logging
import re
import struct
from collections.abc import Iterator

from tfconformer.data.speech.debian_packages import DebianPackage
from tfconformer.data.speech.recordings import Recording, transcript
from tfconformer.errors import InputError

PACKAGE = "flight-of-the-amazon-queen"
LICENCE = "Flight-of-the-Amazon-Queen-License"
HERO = "JOE"

# Cutscenes name people as on the screen, dialogues as in the name of their file.
_ALIASES = {
    "ANDERSON": "AND", "AZURA OBJ": "PRIN", "BEDRAGGLED PRISONER": "MAN", "BELLBOY": "LARIS", "FERRYMAN": "DEATH",
    "GORILLA": "APE", "GUARD DOG": "DOG", "GUARDIAN": "ORACLE", "JIMMY": "JIM", "JOE KING": "JOE", "MARY-LOU": "LOU",
    "PRINCESS AZURA": "PRIN", "SECRETARY": "SEC", "SHOWERING AMAZON": "SHOWERAM", "TRADER BOB": "BOB",
    "WEDGEWOOD": "WEDGE", "WITCH DOCTOR": "WITCH", "ZOMBIE WOMAN": "ZOMBIE",
}  # fmt: skip
_PROPS = frozenset(  # objects of lines whose speaker varies, such as the letter that several people comment on
    {"BUTTONS", "DOOR", "LILY PAD", "NOTE", "PATH", "ROCK", "SMOKE", "TELEPHONE", "TORCH", "VICIOUS DINOSAUR"}
)

logger = logging.getLogger(__name__)

_HEADER_SIZE = 20  # of every binary member
_COMMAND = re.compile(r"\*(XY\d\d\(\d+,\d+\)|..)")  # stage directions inside a spoken line
_SILENT_COMMANDS = ("GD", "GM")  # Joe grabs something, which does not end the clip
_JOE_RESPONSES = 40  # JOE0001..JOE0040 are stock answers, higher numbers describe objects
_VERBS = 12
_DIALOGUE_NODE_SIZE = 96
_CUTSCENE_OBJECT = struct.Struct(">17h")
_ANIMATION_FRAME_SIZE = 18
_PERSON_IMAGES = (-3, -4)

Lines = dict[str, tuple[str, str]]


def recordings(package: DebianPackage) -> list[Recording]:
    """Returns the voice clips that have a line in the script.

    Raises:
      InputError: the container is missing or not the talkie version.
    """
    path = package.root / "usr/share/scummvm" / PACKAGE / "queen.1c"
    try:
        container = Container(path.read_bytes())
        lines = script(container)
    except (OSError, ValueError, LookupError, struct.error) as error:
        raise InputError(f"{path} is not a Flight of the Amazon Queen container ({error!r})") from None
    result = []
    for member, (offset, size) in sorted(container.members.items()):
        name, _, suffix = member.partition(".")
        if suffix != "SB" or name not in lines:
            continue
        speaker, text = lines[name]
        text = transcript(text)
        if text:
            source = f"{PACKAGE} {package.version}"
            result.append(Recording(source, LICENCE, speaker, name, text, path, offset, size, "mp3"))
    return result


class Container:
    """The members of `queen.1c`: "QTBL", 9 bytes of version, a count, then (name[12], bundle, offset, size) of each.

    Attributes:
      members: (offset, size) in bytes, by name.
    """

    def __init__(self, content: bytes) -> None:
        if content[:4] != b"QTBL":
            raise ValueError("no QTBL signature")
        (count,) = struct.unpack_from(">H", content, 13)
        entries = (struct.unpack_from(">12sBII", content, 15 + 21 * index) for index in range(count))
        self.members = {name.rstrip(b"\0").decode("ascii"): (offset, size) for name, _, offset, size in entries}
        self._content = content

    def __getitem__(self, name: str) -> bytes:
        offset, size = self.members[name]
        return self._content[offset : offset + size]

    def named(self, suffix: str) -> Iterator[str]:
        return (name for name in sorted(self.members) if name.endswith(suffix))


def script(container: Container) -> Lines:
    """Returns (speaker, raw text) of every clip, by its name; the speaker is "" where a cutscene has none."""
    strings = container["QUEEN2.JAS"].decode("cp437").replace("\r", "").split("\n")
    database = _Database(container["QUEEN.JAS"][_HEADER_SIZE:], strings)
    lines: Lines = {}
    for number, text in database.narration():
        lines.update(_segments(f"JOE{number:04d}", HERO, text))
    for member in container.named(".DOG"):
        lines.update(_dialogue(member, container[member][_HEADER_SIZE:]))
    for member in container.named(".CUT"):
        lines.update(_cutscene(member.removesuffix(".CUT"), container[member][_HEADER_SIZE:], database))
    return lines


class _Database:
    """The objects of QUEEN.JAS, among them the characters: counts of strings, then 16-byte records from number 1."""

    def __init__(self, content: bytes, strings: list[str]) -> None:
        self._rooms, self._names, self._objects, self._descriptions = struct.unpack_from(">4H", content)
        records = (struct.unpack_from(">hHHHhHHh", content, 8 + 16 * index) for index in range(self._objects))
        self._records = [(abs(record[0]), record[7]) for record in records]
        self._strings = strings

    def is_person(self, number: int) -> bool:
        return 0 < number <= self._objects and self._records[number - 1][1] in _PERSON_IMAGES

    def speaker(self, number: int) -> str:
        """Returns the character of an object; "" if it is none."""
        if number == 0:
            return HERO
        if not 0 < number <= self._objects or not self._records[number - 1][0]:
            return ""
        name = self._strings[self._descriptions + self._records[number - 1][0] - 1].strip().upper()
        return "" if name in _PROPS else _ALIASES.get(name, name)

    def narration(self) -> Iterator[tuple[int, str]]:
        """Yields (number, text) of Joe's lines outside dialogues."""
        responses = self._descriptions + self._names + self._rooms + _VERBS
        for number in range(1, _JOE_RESPONSES + 1):
            yield number, self._strings[responses + number - 1]
        for number, text in enumerate(self._strings[: self._descriptions], _JOE_RESPONSES + 1):
            yield number, text


class _Reader:
    """A cursor over big-endian words and Pascal strings padded to a multiple of `align`."""

    def __init__(self, content: bytes, offset: int) -> None:
        self._content = content
        self.offset = offset

    def word(self) -> int:
        (value,) = struct.unpack_from(">h", self._content, self.offset)
        self.offset += 2
        return int(value)

    def string(self, align: int = 2) -> str:
        length = self._content[self.offset]
        start = self.offset + 1
        self.offset = start
        if length:
            self.offset = -(-(start + length) // align) * align
        return self._content[start : start + length].decode("cp437")


def _segments(prefix: str, speaker: str, text: str) -> Lines:
    """Cuts a line into clips at its stage directions; clip n, from 1, is named prefix + hexadecimal n."""
    lines: Lines = {}
    start = 0
    index = 1
    for command in _COMMAND.finditer(text):
        if command.group(1) in _SILENT_COMMANDS:
            continue
        lines[f"{prefix}{index:X}"] = (speaker, _COMMAND.sub(" ", text[start : command.start()]))
        start = command.end()
        index += 1
    lines[f"{prefix}{index:X}"] = (speaker, _COMMAND.sub(" ", text[start:]))
    return lines


def _dialogue(member: str, content: bytes) -> Lines:
    """Parses a `.DOG` file: the lines of one person (P) and Joe (J) in a dialogue, by talk key and node number."""
    person = re.sub(r"\d*\.DOG$", "", member)
    levels, _, key, joe_count, person_count = struct.unpack_from(">5h", content)
    person_offset, _, greeting_offset = struct.unpack_from(">3H", content, 22)
    joe_offset = 32 + abs(levels) * _DIALOGUE_NODE_SIZE
    lines: Lines = {}
    for offset, count, letter, speaker in (
        (person_offset, person_count, "P", person),
        (joe_offset, joe_count, "J", HERO),
    ):
        reader = _Reader(content, offset)
        for _ in range(count):
            if reader.offset + 4 > len(content):
                break
            reader.word()
            node = reader.word() & 0xFFFF
            lines.update(_segments(f"{key:02d}{node:04X}{letter}", speaker, reader.string(align=4)))
    first_words = _Reader(content, joe_offset + 2)
    if first_words.word() == 0:
        lines.update(_segments(f"{key:02d}SSSSJ", HERO, first_words.string()))
    greetings = _Reader(content, greeting_offset)
    for letter, speaker in (("P", person), ("J", HERO)):
        if greetings.offset < len(content):
            lines.update(_segments(f"{key:02d}XXXX{letter}", speaker, greetings.string()))
    return lines


def _cutscene(name: str, content: bytes, database: _Database) -> Lines:
    """Parses a `.CUT` file: numbered actions, each with one string and, in its record, its speaker."""
    _, count, _, end_of_actions, strings_offset = struct.unpack_from(">hhhHH", content)
    speakers = _cutscene_speakers(content, abs(count), end_of_actions, database)
    if speakers is None:
        logger.info("cutscene %s: the action table does not parse, its speakers are unknown", name)
    reader = _Reader(content, strings_offset)
    reader.string()  # Joe's initial posture
    lines: Lines = {}
    for index in range(abs(count)):
        if reader.offset >= len(content):
            break
        lines.update(_segments(f"{name:_<5}{index + 1:02d}", speakers[index] if speakers else "", reader.string()))
    return lines


def _cutscene_speakers(content: bytes, count: int, end: int, database: _Database) -> list[str] | None:
    """Returns the speaker of each action, or None if the table does not end at the offset in the header."""
    reader = _Reader(content, 12)
    speakers = []
    try:
        for _ in range(count):
            record = _CUTSCENE_OBJECT.unpack_from(content, reader.offset)
            reader.offset += _CUTSCENE_OBJECT.size
            number, animated, executed, source = record[0], record[4], record[5], record[12]
            if number == -1:  # Joe during a fade
                number = 0
            for _ in range(reader.word()):  # the persons on stage
                reader.word()
            speaks = not animated and (number == 0 or database.is_person(number))
            if number >= 0 and not speaks and source <= 0 and executed:
                while reader.word() != -2:
                    reader.offset += _ANIMATION_FRAME_SIZE
            speakers.append(database.speaker(number))
    except struct.error:
        return None
    return speakers if reader.offset + 2 == end else None  # a closing word
