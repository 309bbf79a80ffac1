"""Manifests as other programs write them, and what is refused in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tfconformer.data.manifest import Utterance, read_manifest, write_manifest
from tfconformer.errors import InputError

GOOD = {"audio_filepath": "a.wav", "duration": 1.5, "text": "ONE TWO", "speaker": "s"}


def read(folder: Path, *lines: str, end: str = "\n") -> list[Utterance]:
    path = folder / "m.jsonl"
    path.write_bytes(end.join(lines).encode("utf-8"))
    return read_manifest(path)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    utterances = [
        Utterance("a.wav", 1.5, "ONE", "s"),
        Utterance("a.wav", 1.5, "TWO", "s", offset=0.25),
        Utterance("a.wav", 2.0, "THREE", "s", offset=1.0, id="third"),
    ]
    write_manifest(tmp_path / "m.jsonl", utterances)
    found = read_manifest(tmp_path / "m.jsonl")
    assert [one.name for one in found] == ["a", "a-00000250", "third"]
    assert [(one.text, one.offset, one.duration) for one in found] == [
        ("ONE", None, 1.5),
        ("TWO", 0.25, 1.5),
        ("THREE", 1.0, 2.0),
    ]
    assert json.loads((tmp_path / "m.jsonl").read_text().splitlines()[0]) == {**GOOD, "text": "ONE"}


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\u0085", "\v", "\f", "\x1c"])
def test_a_line_ends_at_a_line_feed_and_nowhere_else(tmp_path: Path, character: str) -> None:
    text = f"ONE{character}TWO"
    escaped = json.dumps({**GOOD, "text": text})
    literal = escaped if ord(character) < 32 else json.dumps({**GOOD, "text": text}, ensure_ascii=False)
    for line in (escaped, literal):
        for end in ("\n", "\r\n"):
            found = read(tmp_path, line, json.dumps({**GOOD, "audio_filepath": "b.wav"}), "", end=end)
            assert [one.text for one in found] == [text, "ONE TWO"]


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    assert read(tmp_path, "\ufeff" + json.dumps(GOOD))[0].text == "ONE TWO"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"duration": None}, "'duration' must be a number of seconds, got NoneType"),
        ({"duration": "1.5"}, "'duration' must be a number of seconds, got str"),
        ({"duration": True}, "'duration' must be a number of seconds, got bool"),
        ({"duration": float("nan")}, "NaN is no number of JSON"),
        ({"duration": float("inf")}, "Infinity is no number of JSON"),
        ({"duration": 10**400}, "'duration' must be from 0 to"),
        ({"duration": -1}, "'duration' must be from 0 to"),
        ({"offset": -0.5}, "'offset' must be from 0 to"),
        ({"offset": "0"}, "'offset' must be a number of seconds, got str"),
        ({"offset": 1.0, "duration": 0}, "a part of a file from 'offset' on needs a 'duration' above 0"),
        ({"text": None}, "'text' must be a string, got NoneType"),
        ({"audio_filepath": 5}, "'audio_filepath' must be a string, got int"),
        ({"id": "two words"}, "'id' must be a name without white space"),
    ],
)
def test_impossible_values_are_one_sentence(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(InputError, match=r"m\.jsonl, line 2: ") as error:
        read(tmp_path, json.dumps({**GOOD, "audio_filepath": "b.wav"}), json.dumps(GOOD | change))
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "null",
        '"text"',
        "{",
        '{"duration": 1e999}',
        "[" * 100_000,
        json.dumps(GOOD)[:-1] + ', "text": "THREE"}',
        json.dumps({**GOOD, "tree": json.loads("[" * 70 + "]" * 70)}),
        "1" * 5000,
    ],
)
def test_what_is_no_line_of_a_manifest_is_one_sentence(tmp_path: Path, line: str) -> None:
    with pytest.raises(InputError, match=r"m\.jsonl, line 1: not a manifest line"):
        read(tmp_path, line)


def test_two_utterances_of_one_name_are_refused(tmp_path: Path) -> None:
    others = {**GOOD, "audio_filepath": "other/a.flac"}
    with pytest.raises(InputError, match=r"line 2: there is an utterance named 'a' already; give .* a field 'id'"):
        read(tmp_path, json.dumps(GOOD), json.dumps(others))
    assert len(read(tmp_path, json.dumps(GOOD), json.dumps({**others, "id": "other-a"}))) == 2
