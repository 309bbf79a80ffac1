from __future__ import annotations

import pytest

from tfconformer.data.speech.recordings import transcript


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Oh, no!", "OH NO"),
        ("Yes.", "YES"),
        ("I'll do it", "I'LL DO IT"),
        ("My ID?", "MY ID"),
        ("Why", "WHY"),
        ("Super Soldier Treatment^_.", "SUPER SOLDIER TREATMENT"),
        ("Hello. 5 planes.", "HELLO FIVE PLANES"),
    ],
)
def test_words_are_transcribed(written: str, said: str) -> None:
    assert transcript(written) == said


@pytest.mark.parametrize(
    "written", ["", "...", "Ha ha ha!", "NOOOO!", "NVHHZTV", "R.", "I...", "(sigh)", "<gulp>", "F...(WHISTLE) YOU",
                "GIVE UP (Y/N)?", "at 19:00", "only 0.80", "@@ love @@"]
)  # fmt: skip
def test_what_the_script_does_not_tell_is_left_out(written: str) -> None:
    assert transcript(written) == ""
