from __future__ import annotations

import random
from pathlib import Path

import pytest

from tfconformer.data.manifest import Utterance
from tfconformer.data.speech.partition import HELD_OUT_SPEAKERS, leaks, partition
from tfconformer.data.speech.recordings import Recording


def line(speaker: str, text: str, name: str = "x") -> Recording:
    return Recording("package 1", "free", speaker, name, text, Path("file"), 0, 1, "u8")


def utterances(recordings: list[Recording]) -> list[Utterance]:
    return [Utterance(r.name, 1.0, r.text, r.speaker) for r in recordings]


def test_any_script_is_partitioned_without_leaks() -> None:
    seed = random.SystemRandom().randrange(1 << 30)
    print("seed", seed)
    generator = random.Random(seed)
    speakers = ["", "JOE", "BOB", "SPARKY", *sorted(frozenset().union(*HELD_OUT_SPEAKERS.values()))]
    # Few words, so that speakers say the same things all the time.
    lines = [
        line(generator.choice(speakers), " ".join(generator.choices("YES NO WHY NOW HERE".split(), k=length)), str(i))
        for i, length in enumerate(generator.choices(range(1, 7), k=3000))
    ]
    subsets = partition(lines)
    assert leaks({name: utterances(part) for name, part in subsets.items()}) == []
    assert {name for name, part in subsets.items() if part} == {
        "train-human", "dev-human", "test-human", "test-human-seen",
    }  # fmt: skip
    for name, held_out in HELD_OUT_SPEAKERS.items():
        assert {r.speaker for r in subsets[name]} <= held_out
    assert not any(r.speaker == "" for part in subsets.values() for r in part)


def test_a_tested_line_that_stands_in_training_is_dropped() -> None:
    subsets = partition([line("JOE", "YES SIR"), line("FAYE", "YES SIR"), line("FAYE", "NEVER"), line("LOU", "NEVER")])
    assert [r.text for r in subsets["train-human"]] == ["YES SIR"]
    assert [r.text for r in subsets["test-human"]] == ["NEVER"]
    assert subsets["dev-human"] == []


def test_about_a_twentieth_of_the_training_lines_is_held_out() -> None:
    lines = [line("JOE", f"THIS IS LINE {i}") for i in range(4000)]
    held_out = partition(lines)["test-human-seen"]
    assert 0.035 < len(held_out) / len(lines) < 0.065  # a hash is uniform: the standard error is 0.35 %
    repeated = partition([r for r in lines for _ in range(2)])
    assert repeated["test-human-seen"] == []


@pytest.mark.parametrize(
    ("subsets", "found"),
    [
        ({"train-a": [("HI", "1")], "test-a": [("HI", "2")]}, ["test-a and train-a share 1 sentences, such as 'HI'"]),
        ({"train-a": [("HI", "1")], "dev-a": [("HO", "1")]}, ["dev-a and train-a share 1 speakers, such as '1'"]),
        ({"dev-a": [("HI", "1")], "test-a": [("HI", "2")]}, ["dev-a and test-a share 1 sentences, such as 'HI'"]),
        ({"test-a": [("HI", "1")], "test-b": [("HI", "1")]}, []),
        ({"train-human": [("HI", "1")], "test-human-seen": [("HO", "1")]}, []),
        ({"train-human": [("HI", "1")], "test-human-seen": [("HI", "1")]},
         ["test-human-seen and train-human share 1 sentences, such as 'HI'"]),
    ],
)  # fmt: skip
def test_leaks_are_found(subsets: dict[str, list[tuple[str, str]]], found: list[str]) -> None:
    contents = {
        name: [Utterance("x.flac", 1.0, text, speaker) for text, speaker in part] for name, part in subsets.items()
    }
    assert leaks(contents) == found
