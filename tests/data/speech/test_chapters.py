from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tfconformer.data.librispeech import read_subset
from tfconformer.data.speech import chapters
from tfconformer.data.speech.chapters import Chapter, HumanChapter, Provenance, Take
from tfconformer.data.speech.recordings import Recording


@dataclass(frozen=True)
class ToneChapter(Chapter):
    """Tones of the given seconds instead of speech."""

    seconds: tuple[float, ...]
    fail_after: int = 1000

    def takes(self) -> Iterator[Take]:
        for index, seconds in enumerate(self.seconds):
            if index >= self.fail_after:
                raise RuntimeError("power cut")
            samples = np.sin(np.arange(int(seconds * 16000)) * 0.1).astype(np.float32) * 1.5
            yield Take(f"TONE {chr(65 + index)}", samples, "package 1", f"tone {index}", "free")


CHAPTER = ToneChapter("train-tones", 12, "a fork", (0.5, 1.0, 0.1, 30.0, 0.75))


@pytest.mark.parametrize("encoding", ["flac", "ogg"])
def test_a_chapter_is_librispeech_with_the_provenance_of_every_file(tmp_path: Path, encoding: str) -> None:
    assert chapters.write(tmp_path, CHAPTER, encoding) == 3  # one is too short, one too long
    utterances, skipped = read_subset(tmp_path / "train-tones")
    assert [(u.text, u.duration, u.speaker) for u in utterances] == [
        ("TONE A", 0.5, "12"), ("TONE B", 1.0, "12"), ("TONE E", 0.75, "12"),
    ]  # fmt: skip
    assert not skipped
    folder = CHAPTER.folder(tmp_path)
    lines = (folder / "12-100012.provenance.jsonl").read_text().splitlines()
    records = [Provenance(**json.loads(line)) for line in lines]
    assert [record.audio for record in records] == sorted(path.name for path in folder.glob(f"*.{encoding}"))
    assert [record.detail for record in records] == ["tone 0", "tone 1", "tone 4"]
    assert {(r.speaker, r.source, r.licence, r.recipe) for r in records} == {
        ("a fork", "package 1", "free", CHAPTER.digest())
    }
    samples, rate = soundfile.read(folder / f"12-100012-0000.{encoding}")
    assert rate == 16000
    # Clipped to full scale; Vorbis may overshoot a little.
    assert np.abs(samples).max() == pytest.approx(1.0, abs=0.15)


def test_a_finished_chapter_is_recognized_and_a_changed_one_is_not(tmp_path: Path) -> None:
    assert not chapters.is_done(tmp_path, CHAPTER, "flac")
    chapters.write(tmp_path, CHAPTER, "flac")
    assert chapters.is_done(tmp_path, CHAPTER, "flac")
    assert not chapters.is_done(tmp_path, CHAPTER, "ogg")
    shorter = replace(CHAPTER, seconds=(0.5,))
    assert not chapters.is_done(tmp_path, shorter, "flac")
    chapters.write(tmp_path, shorter, "flac")
    assert [path.name for path in CHAPTER.folder(tmp_path).glob("*.flac")] == ["12-100012-0000.flac"]


def test_an_interrupted_chapter_leaves_what_was_there(tmp_path: Path) -> None:
    chapters.write(tmp_path, CHAPTER, "flac")
    with pytest.raises(RuntimeError, match="power cut"):
        chapters.write(tmp_path, replace(CHAPTER, fail_after=1), "flac")
    assert chapters.is_done(tmp_path, CHAPTER, "flac")
    assert len(read_subset(tmp_path / "train-tones")[0]) == 3


def test_lines_that_do_not_fit_their_script_are_left_out(tmp_path: Path) -> None:
    def line(text: str, seconds: float) -> Recording:
        path = tmp_path / f"{len(text)}.als"
        content = (128 + 50 * np.sin(np.arange(int(seconds * 11025)) * 0.3)).astype(np.uint8).tobytes()
        path.write_bytes(content)
        return Recording("package 1", "free", "JOE", text, text, path, 0, len(content), "u8")

    fitting = line("AS FAST AS PEOPLE SPEAK", 1.5)
    too_fast = line("FAR MORE WORDS THAN ANYONE COULD SAY IN THIS TIME", 1.0)
    too_slow = line("NO", 4.0)
    takes = list(HumanChapter("train-human", 1, "JOE", (fitting, too_fast, too_slow)).takes())
    assert [take.text for take in takes] == [fitting.text]
    assert np.abs(takes[0].samples).max() == pytest.approx(0.6, rel=1e-6)


def test_a_line_that_cannot_be_decoded_is_skipped_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "bad").write_bytes(b"not an mp3 file at all" * 10)
    bad = Recording("package 1", "free", "JOE", "LINE7", "HELLO THERE", tmp_path / "bad", 0, 220, "mp3")
    assert list(HumanChapter("train-human", 1, "JOE", (bad,)).takes()) == []
    assert "LINE7" in caplog.text and "cannot be decoded" in caplog.text
