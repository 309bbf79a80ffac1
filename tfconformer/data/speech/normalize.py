"""Text normalization: written English to spoken words in the alphabet of LibriSpeech transcripts.

The result consists of A-Z, apostrophes inside words, and single spaces. Numbers become words, abbreviations that are
always read in full are expanded, and all other characters separate words.
"""

from __future__ import annotations

import re
import unicodedata

_ONES = (
    "ZERO ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE TEN ELEVEN TWELVE THIRTEEN FOURTEEN FIFTEEN SIXTEEN "
    "SEVENTEEN EIGHTEEN NINETEEN"
).split()
_TENS = "_ _ TWENTY THIRTY FORTY FIFTY SIXTY SEVENTY EIGHTY NINETY".split()
_SCALES = ((1_000_000_000, "BILLION"), (1_000_000, "MILLION"), (1000, "THOUSAND"))
_ORDINALS = {
    "ONE": "FIRST", "TWO": "SECOND", "THREE": "THIRD", "FIVE": "FIFTH", "EIGHT": "EIGHTH", "NINE": "NINTH",
    "TWELVE": "TWELFTH",
}  # fmt: skip
_ABBREVIATIONS = {
    "MR": "MISTER", "MRS": "MISSUS", "DR": "DOCTOR", "PROF": "PROFESSOR", "OK": "OKAY", "VS": "VERSUS",
}  # fmt: skip
_SYMBOLS = {"&": " AND ", "%": " PERCENT ", "+": " PLUS ", "@": " AT ", "’": "'", "‘": "'", "`": "'"}
_NUMBER = re.compile(r"(\$)?(\d{1,3}(?:,\d{3})+|\d+)(?:(ST|ND|RD|TH|'?S)(?![A-Z]))?")


def number_words(number: int) -> str:
    """Spells a whole number below 10**12 the American way: 1234 -> ONE THOUSAND TWO HUNDRED THIRTY FOUR.

    Raises:
      ValueError: the number is negative or too large.
    """
    if not 0 <= number < 10**12:
        raise ValueError(f"number_words takes 0 <= number < 10**12, got {number}")
    words: list[str] = []
    for scale, name in _SCALES:
        if number >= scale:
            words += [number_words(number // scale), name]
            number %= scale
    if number >= 100:
        words += [_ONES[number // 100], "HUNDRED"]
        number %= 100
    if number >= 20:
        words.append(_TENS[number // 10])
        number %= 10
        if number:
            words.append(_ONES[number])
    elif number or not words:
        words.append(_ONES[number])
    return " ".join(words)


def ordinal_words(number: int) -> str:
    """Spells an ordinal below 10**12: 21 -> TWENTY FIRST.

    Raises:
      ValueError: the number is negative or too large.
    """
    *head, last = number_words(number).split()
    if last not in _ORDINALS:
        last = last[:-1] + "IETH" if last.endswith("Y") else last + "TH"
    return " ".join([*head, _ORDINALS.get(last, last)])


def normalize(text: str) -> str:
    """Returns a text as upper-case words of A-Z and apostrophes, separated by single spaces; "" if it has no word."""
    text = unicodedata.normalize("NFKD", text)
    text = "".join(character for character in text if not unicodedata.combining(character)).upper()
    for symbol, spoken in _SYMBOLS.items():
        text = text.replace(symbol, spoken)
    text = _NUMBER.sub(_spell_number, text)
    words = (word.strip("'") for word in re.sub(r"[^A-Z']+", " ", text).split())
    return " ".join(_ABBREVIATIONS.get(word, word) for word in words if word)


def _spell_number(match: re.Match[str]) -> str:
    currency, digits, suffix = match.groups()
    plain = digits.replace(",", "")
    number = int(plain)
    if len(plain) > 12 or (len(plain) > 1 and plain.startswith("0")):  # a telephone number or a code: digit by digit
        words = " ".join(_ONES[int(digit)] for digit in plain)
    elif suffix in ("ST", "ND", "RD", "TH"):
        words = ordinal_words(number)
    elif plain == digits and not currency and 1100 <= number < 2000 and number % 100 >= 10:  # a year
        words = f"{number_words(number // 100)} {number_words(number % 100)}"
    else:
        words = number_words(number)
    if suffix in ("S", "'S"):
        words = _plural(words)
    if currency:
        words += " DOLLAR" if number == 1 else " DOLLARS"
    return f" {words} "


def _plural(words: str) -> str:
    if words.endswith("Y"):
        return words[:-1] + "IES"
    return words + ("ES" if words.endswith("X") else "S")
