from __future__ import annotations

import random
import re

import pytest

from tfconformer.data.speech.normalize import normalize, number_words, ordinal_words


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Hello, world!", "HELLO WORLD"),
        ("", ""),
        ("... --- ?!", ""),
        ("Don't  you\tdare", "DON'T YOU DARE"),
        ("don’t", "DON'T"),
        ("'quoted' words' end", "QUOTED WORDS END"),
        ("rock'n'roll", "ROCK'N'ROLL"),
        ("Señor Müller's café", "SENOR MULLER'S CAFE"),
        ("Mr. and Mrs. Jones, Dr. No", "MISTER AND MISSUS JONES DOCTOR NO"),
        ("OK", "OKAY"),
        ("B.J.", "B J"),
        ("R&D at 50%", "R AND D AT FIFTY PERCENT"),
        ("room 512", "ROOM FIVE HUNDRED TWELVE"),
        ("it was 1944.", "IT WAS NINETEEN FORTY FOUR"),
        ("1,944 planes", "ONE THOUSAND NINE HUNDRED FORTY FOUR PLANES"),
        ("the 1940's", "THE NINETEEN FORTIES"),
        ("two 6s", "TWO SIXES"),
        ("2000", "TWO THOUSAND"),
        ("agent 007", "AGENT ZERO ZERO SEVEN"),
        ("the 21st", "THE TWENTY FIRST"),
        ("on June 12th", "ON JUNE TWELFTH"),
        ("$1 or $250", "ONE DOLLAR OR TWO HUNDRED FIFTY DOLLARS"),
        ("cell 2B", "CELL TWO B"),
        ("model X7", "MODEL X SEVEN"),
        ("24thx", "TWENTY FOUR THX"),
    ],
)
def test_writes_what_is_said(written: str, spoken: str) -> None:
    assert normalize(written) == spoken


def test_any_text_ends_in_the_alphabet_and_stays_there() -> None:
    seed = random.SystemRandom().randrange(1 << 30)
    print("seed", seed)
    generator = random.Random(seed)
    for _ in range(500):
        text = "".join(
            chr(generator.choice([generator.randrange(32, 127), generator.randrange(160, 0x2000)]))
            for _ in range(generator.randrange(40))
        )
        spoken = normalize(text)
        assert re.fullmatch(r"([A-Z]+('[A-Z]+|'+[A-Z]+)*( |$))*", spoken + (" " if spoken else "")), (text, spoken)
        assert normalize(spoken) == spoken


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "ZERO"), (7, "SEVEN"), (13, "THIRTEEN"), (20, "TWENTY"), (99, "NINETY NINE"), (100, "ONE HUNDRED"),
        (110, "ONE HUNDRED TEN"), (1000, "ONE THOUSAND"), (1005, "ONE THOUSAND FIVE"),
        (12345, "TWELVE THOUSAND THREE HUNDRED FORTY FIVE"), (1_000_000, "ONE MILLION"),
        (2_000_000_001, "TWO BILLION ONE"),
    ],
)  # fmt: skip
def test_spells_numbers(number: int, words: str) -> None:
    assert number_words(number) == words


@pytest.mark.parametrize("number", [-1, 10**12])
def test_refuses_numbers_it_has_no_words_for(number: int) -> None:
    with pytest.raises(ValueError, match="number_words"):
        number_words(number)


@pytest.mark.parametrize(
    ("number", "words"),
    [(1, "FIRST"), (3, "THIRD"), (8, "EIGHTH"), (12, "TWELFTH"), (20, "TWENTIETH"), (32, "THIRTY SECOND"),
     (100, "ONE HUNDREDTH")],
)  # fmt: skip
def test_spells_ordinals(number: int, words: str) -> None:
    assert ordinal_words(number) == words
