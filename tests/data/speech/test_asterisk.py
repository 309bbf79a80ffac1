from __future__ import annotations

from pathlib import Path

import pytest

from tfconformer.data.speech import asterisk
from tfconformer.data.speech.debian_packages import DebianPackage
from tfconformer.data.speech.sentences import split_of
from tfconformer.errors import InputError

FOLDER = "usr/share/asterisk/sounds/en_US_f_Allison"


@pytest.fixture
def package(tmp_path: Path) -> DebianPackage:
    """Every recording is 0.25 s of G.722 noise."""
    names = [f"digits/{number}" for number in (*range(20), *range(20, 100, 10))]
    names += [f"digits/h-{day}" for day in range(1, 21)] + [f"digits/day-{day}" for day in range(7)]
    names += [f"digits/mon-{month}" for month in range(12)] + [f"phonetic/{chr(97 + i)}_p" for i in range(26)]
    names += [f"digits/{word}" for word in ("hundred", "thousand", "dollars", "oclock", "at")]
    for name in names:
        path = tmp_path / FOLDER / f"{name}.g722"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes((37 * i) % 256 for i in range(2000)))
    return DebianPackage(asterisk.PACKAGE, "1.0", tmp_path)


def test_words_are_those_the_file_names_say(package: DebianPackage) -> None:
    names = {word: recording.name for word, recording in asterisk.words(package).items()}
    assert names["SEVEN"] == "digits/7" and names["NINETY"] == "digits/90"
    assert names["SUNDAY"] == "digits/day-0" and names["DECEMBER"] == "digits/mon-11"
    assert names["THIRD"] == "digits/h-3" and names["TWENTIETH"] == "digits/h-20"
    assert names["FOXTROT"] == "phonetic/f_p" and names["O'CLOCK"] == "digits/oclock"


def test_sentences_are_different_and_of_the_test_split(package: DebianPackage) -> None:
    chapter = asterisk.chapter(package, 60, seed=3)
    texts = [" ".join(sentence) for sentence in chapter.sentences]
    assert len(set(texts)) == 60
    assert all(split_of(text) == "test" for text in texts)
    assert chapter == asterisk.chapter(package, 60, seed=3)
    assert chapter != asterisk.chapter(package, 60, seed=4)


def test_takes_join_the_words_with_short_pauses(package: DebianPackage) -> None:
    chapter = asterisk.chapter(package, 5, seed=0)
    for sentence, take in zip(chapter.sentences, chapter.takes(), strict=True):
        assert take.text == " ".join(sentence)
        assert len(take.detail.split()) == len(sentence)
        # 0.25 s a word, trimmed by nothing, and a pause of 0.02 to 0.12 s after each.
        assert 0.26 * len(sentence) < len(take.samples) / 16000 < 0.38 * len(sentence)


def test_a_missing_recording_is_an_input_error(package: DebianPackage) -> None:
    (package.root / FOLDER / "digits/7.g722").unlink()
    with pytest.raises(InputError, match=r"no recording digits/7\.g722"):
        asterisk.words(package)
