"""The sentences of the synthetic corpus: a context-free grammar of spoken commands to a telephone or an assistant.

The split of a sentence, train, dev or test, is a function of its words alone (`split_of`), so that all corpora of this
grammar, of any size and seed, have the same boundaries between the splits.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Iterator

SPLITS = ("train", "dev", "test")

_DIGITS = "ZERO OH ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE".split()
_GRAMMAR: dict[str, list[str]] = {
    "sentence": [
        "<calling> <callee> <maybe when>",
        "<switching> THE <device> <place> <maybe when>",
        "SET THE <device> <place> TO <setting>",
        "<reminding> <clock> <day>",
        "<code> <digits> <maybe key>",
        "<letters>",
        "<asking> <number> <operator> <number>",
        "<travelling> FROM <city> TO <city> <day>",
        "<shopping> <small> <unit> <food> <maybe more food>",
        "<playing> THE <color> <record> <which record>",
        "<appointment> <name> <happens> <clock> <maybe day>",
        "PRESS <digit> <purpose> <name> OR <key> TO <escape>",
        "YOU HAVE <small> <age> MESSAGES <origin>",
        "THE <amount> <spent> <number> DOLLARS AND <small> CENTS",
        "<weather question> IN <city> <day>",
        "<opening> THE <thing> <place> <manner>",
    ],
    "calling": ["CALL", "PLEASE CALL", "DIAL", "RING UP", "CONNECT ME WITH", "SEND A MESSAGE TO"],
    "callee": ["<name>", "<digits>", "<name> AT <workplace>"],
    "workplace": ["HOME", "WORK", "THE OFFICE", "THE HOSPITAL", "THE STATION", "SCHOOL"],
    "maybe when": ["", "", "<day>", "AT <clock>"],
    "switching": ["TURN ON", "TURN OFF", "SWITCH ON", "SWITCH OFF", "START", "CHECK"],
    "device": "LIGHT LAMP FAN HEATER RADIO TELEVISION ALARM CAMERA SPEAKER OVEN PRINTER PUMP".split(),
    "place": [f"IN THE {room}" for room in (
        "KITCHEN", "BEDROOM", "GARAGE", "HALLWAY", "OFFICE", "GARDEN", "BATHROOM", "LIVING ROOM", "CELLAR", "ATTIC",
    )],
    "setting": ["<color>", "<small> PERCENT", "<small> DEGREES", "MAXIMUM", "THE LOWEST LEVEL"],
    "reminding": ["SET AN ALARM FOR", "WAKE ME UP AT", "REMIND ME AT", "SET A TIMER FOR", "I HAVE TO LEAVE AT"],
    "code": ["PLEASE ENTER", "MY NUMBER IS", "YOUR NUMBER IS", "THE CODE IS", "THE PASSWORD IS", "THE ROOM NUMBER IS"],
    "maybe key": ["", "", "FOLLOWED BY THE POUND KEY", "THEN PRESS STAR"],
    "letters": [" ".join(["<letter>"] * count) for count in (3, 4, 5, 6)],
    "letter": (
        "ALPHA BRAVO CHARLIE DELTA ECHO FOXTROT GOLF HOTEL INDIA JULIET KILO LIMA MIKE NOVEMBER OSCAR PAPA QUEBEC "
        "ROMEO SIERRA TANGO UNIFORM VICTOR WHISKEY YANKEE ZULU"
    ).split(),
    "asking": ["HOW MUCH IS", "WHAT IS", "PLEASE CALCULATE"],
    "operator": ["PLUS", "MINUS", "TIMES", "DIVIDED BY"],
    "travelling": ["BOOK A FLIGHT", "BUY A TICKET", "FIND A TRAIN", "SHOW ME THE ROUTE", "HOW LONG IS THE DRIVE"],
    "city": "LONDON PARIS BERLIN MADRID ROME TOKYO BOSTON CHICAGO DENVER SYDNEY VIENNA DUBLIN".split(),
    "shopping": ["ADD", "ORDER", "BUY", "WE NEED", "BRING ME"],
    "unit": ["BOTTLES OF", "BAGS OF", "BOXES OF", "POUNDS OF", "CUPS OF"],
    "food": "COFFEE BREAD MILK CHEESE APPLES RICE CHICKEN SUGAR BUTTER TOMATOES HONEY WATER".split(),
    "maybe more food": ["", "AND <small> <unit> <food>"],
    "playing": ["PLAY", "STOP", "PAUSE", "REPEAT", "SKIP"],
    "color": "RED GREEN BLUE YELLOW WHITE ORANGE PURPLE PINK BLACK SILVER".split(),
    "record": ["SONG", "RECORD", "ALBUM", "MESSAGE", "STORY"],
    "which record": ["NUMBER <small>", "BY <name>", "THAT <name> LIKES"],
    "appointment": ["THE MEETING WITH", "THE LETTER FROM", "A MESSAGE FROM", "MY LESSON WITH", "THE VISIT OF"],
    "happens": ["IS AT", "ARRIVES AT", "STARTS AT", "ENDS AT", "WAS MOVED TO"],
    "purpose": ["FOR", "TO SPEAK WITH", "TO LEAVE A MESSAGE FOR", "TO HEAR"],
    "key": ["STAR", "POUND", "ZERO"],
    "escape": ["EXIT", "REPEAT", "GO BACK", "TRY AGAIN", "HANG UP"],
    "age": ["NEW", "OLD", "SAVED", "URGENT"],
    "origin": ["FROM <name>", "IN YOUR INBOX", "IN THE FOLDER", "SINCE <weekday>"],
    "amount": ["PRICE", "TOTAL", "BALANCE", "BILL"],
    "spent": ["IS", "WAS", "WILL BE"],
    "weather question": ["WILL IT RAIN", "HOW WARM WILL IT BE", "IS IT GOING TO SNOW", "SHOW ME THE WEATHER"],
    "opening": ["OPEN", "CLOSE", "LOCK", "CLEAN"],
    "thing": ["DOOR", "WINDOW", "CURTAIN", "CUPBOARD", "BIG BOX"],
    "manner": ["PLEASE", "RIGHT NOW", "AT <clock>", "BEFORE <name> COMES HOME"],
    "name": "MARY JOHN SARAH DAVID ANNA PETER LAURA THOMAS HELEN ROBERT ALICE GEORGE MARTIN JULIA".split(),
    "clock": [
        "<hour> O'CLOCK", "HALF PAST <hour>", "A QUARTER TO <hour>", "<hour> <minute>", "<hour> <minute> <daytime>",
        "<hour> <daytime>",
    ],
    "hour": "ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE TEN ELEVEN TWELVE".split(),
    "minute": ["FIFTEEN", "THIRTY", "FORTY FIVE", "<teen>", "<ten> <one>"],
    "daytime": ["IN THE MORNING", "IN THE AFTERNOON", "IN THE EVENING", "TONIGHT"],
    "maybe day": ["", "<day>"],
    "day": ["TODAY", "TOMORROW", "ON <weekday>", "ON <weekday> THE <ordinal> OF <month>", "ON <month> <ordinal>"],
    "weekday": "MONDAY TUESDAY WEDNESDAY THURSDAY FRIDAY SATURDAY SUNDAY".split(),
    "month": "JANUARY FEBRUARY MARCH APRIL MAY JUNE JULY AUGUST SEPTEMBER OCTOBER NOVEMBER DECEMBER".split(),
    "ordinal": [
        "FIRST", "SECOND", "THIRD", "FOURTH", "FIFTH", "SIXTH", "SEVENTH", "EIGHTH", "NINTH", "TENTH", "ELEVENTH",
        "TWELFTH", "THIRTEENTH", "FOURTEENTH", "FIFTEENTH", "SIXTEENTH", "SEVENTEENTH", "EIGHTEENTH", "NINETEENTH",
        "TWENTIETH", "TWENTY FIRST", "TWENTY SECOND", "TWENTY FIFTH", "THIRTIETH", "THIRTY FIRST",
    ],
    "digits": [" ".join(["<digit>"] * count) for count in (3, 4, 5, 6, 7)],
    "digit": _DIGITS,
    "number": ["<small>", "<small>", "<one> HUNDRED", "<one> HUNDRED AND <small>", "<small> THOUSAND",
               "<small> THOUSAND <one> HUNDRED"],
    "small": ["<one>", "<teen>", "<ten>", "<ten> <one>", "<ten> <one>"],
    "one": _DIGITS[2:],
    "teen": "TEN ELEVEN TWELVE THIRTEEN FOURTEEN FIFTEEN SIXTEEN SEVENTEEN EIGHTEEN NINETEEN".split(),
    "ten": "TWENTY THIRTY FORTY FIFTY SIXTY SEVENTY EIGHTY NINETY".split(),
}  # fmt: skip

_SYMBOL = re.compile(r"<([a-z ]+)>")
_BOUNDARIES = {"train": range(80), "dev": range(80, 88), "test": range(88, 100)}  # of a hash in 0..99


def split_of(sentence: str) -> str:
    """Returns the split of a sentence: 80 % of all sentences are "train", 8 % "dev", 12 % "test"."""
    bucket = zlib.crc32(sentence.encode()) % 100
    return next(split for split in SPLITS if bucket in _BOUNDARIES[split])


def sentences(split: str, generator: random.Random) -> Iterator[str]:
    """Yields different sentences of one split without end: upper-case words separated by single spaces."""
    seen = set()
    while True:
        sentence = _expand("sentence", generator)
        if sentence not in seen and split_of(sentence) == split:
            seen.add(sentence)
            yield sentence


def vocabulary() -> frozenset[str]:
    """Returns all words of the grammar."""
    return frozenset(
        word for choices in _GRAMMAR.values() for choice in choices for word in _SYMBOL.sub(" ", choice).split()
    )


def _expand(symbol: str, generator: random.Random) -> str:
    choice = generator.choice(_GRAMMAR[symbol])
    return " ".join(_SYMBOL.sub(lambda match: _expand(match.group(1), generator), choice).split())
