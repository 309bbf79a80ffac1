"""The subset `test-prompts`: Asterisk voice prompts by a professional speaker (Allison Smith), 16 kHz, CC-BY-SA-3.0.

The package has no transcripts, so only recordings whose words are certain from the file name are used: numbers,
ordinals, days, months and the spelling alphabet. They are single words, joined into sentences: human wideband speech
with the intonation of a voice menu.
"""

from __future__ import annotations

import random

from tfconformer.data.speech.chapters import ConnectedWordsChapter
from tfconformer.data.speech.debian_packages import DebianPackage
from tfconformer.data.speech.normalize import number_words, ordinal_words
from tfconformer.data.speech.recordings import Recording
from tfconformer.data.speech.sentences import split_of
from tfconformer.errors import InputError

PACKAGE = "asterisk-core-sounds-en-g722"
LICENCE = "CC-BY-SA-3.0"
SUBSET = "test-prompts"

_SPEAKER = 9001
_NAME = "Allison Smith"
_FOLDER = "usr/share/asterisk/sounds/en_US_f_Allison"
_DAYS = "SUNDAY MONDAY TUESDAY WEDNESDAY THURSDAY FRIDAY SATURDAY".split()
_MONTHS = "JANUARY FEBRUARY MARCH APRIL MAY JUNE JULY AUGUST SEPTEMBER OCTOBER NOVEMBER DECEMBER".split()
_LETTERS = (
    "ALPHA BRAVO CHARLIE DELTA ECHO FOXTROT GOLF HOTEL INDIA JULIET KILO LIMA MIKE OSCAR PAPA QUEBEC ROMEO SIERRA "
    "TANGO UNIFORM VICTOR WHISKEY YANKEE ZULU"
).split()
_DIGITS = [number_words(digit) for digit in range(10)]
_HOURS = [number_words(hour) for hour in range(1, 13)]
_TENS = [number_words(10 * ten) for ten in range(2, 10)]
_ORDINALS = [ordinal_words(day) for day in range(1, 21)]


def chapter(package: DebianPackage, sentences: int, seed: int) -> ConnectedWordsChapter:
    """Returns the chapter of `test-prompts`, with `sentences` different sentences of five kinds.

    Raises:
      InputError: a recording is missing from the package.
    """
    recordings = words(package)
    generator = random.Random(f"{seed} prompts")
    chosen: dict[tuple[str, ...], None] = {}
    while len(chosen) < sentences:
        sentence = tuple(_sentence(generator))
        if split_of(" ".join(sentence)) == "test":
            chosen[sentence] = None
    used = {word for sentence in chosen for word in sentence}
    clips = tuple(recordings[word] for word in sorted(used))
    return ConnectedWordsChapter(SUBSET, _SPEAKER, _NAME, clips, tuple(chosen), seed)


def words(package: DebianPackage) -> dict[str, Recording]:
    """Returns the recordings by word.

    Raises:
      InputError: a recording is missing.
    """
    names = {number_words(number): f"digits/{number}" for number in (*range(20), *range(20, 100, 10))}
    names |= {ordinal_words(day): f"digits/h-{day}" for day in range(1, 21)}
    names |= {day: f"digits/day-{index}" for index, day in enumerate(_DAYS)}
    names |= {month: f"digits/mon-{index}" for index, month in enumerate(_MONTHS)}
    names |= {letter: f"phonetic/{letter[0].lower()}_p" for letter in _LETTERS}
    names |= {"HUNDRED": "digits/hundred", "THOUSAND": "digits/thousand", "DOLLARS": "digits/dollars"}
    names |= {"O'CLOCK": "digits/oclock", "AT": "digits/at"}
    recordings = {}
    for word, name in names.items():
        path = package.root / _FOLDER / f"{name}.g722"
        if not path.is_file():
            raise InputError(f"the package {package.name} {package.version} has no recording {name}.g722")
        source = f"{package.name} {package.version}"
        recordings[word] = Recording(source, LICENCE, _NAME, name, word, path, 0, path.stat().st_size, "g722")
    return recordings


def _sentence(generator: random.Random) -> list[str]:
    pick = generator.choice
    kind = generator.randrange(5)
    if kind == 0:
        return [pick(_DIGITS) for _ in range(generator.randint(4, 8))]
    if kind == 1:
        return [pick(_LETTERS) for _ in range(generator.randint(3, 6))]
    if kind == 2:
        return [pick(_DAYS), pick(_MONTHS), pick(_ORDINALS)]
    if kind == 3:
        return [pick(_DAYS), "AT", pick(_HOURS), "O'CLOCK"]
    return [pick(_DIGITS[1:]), pick(["HUNDRED", "THOUSAND"]), pick(_TENS), pick(_DIGITS[1:]), "DOLLARS"]
