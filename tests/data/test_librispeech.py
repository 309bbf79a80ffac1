from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tfconformer.data.librispeech import OFFICIAL_SUBSETS, read_subset, write_manifests
from tfconformer.data.manifest import read_manifest
from tfconformer.errors import InputError

RATE = 16000


def add_chapter(root: Path, subset: str, speaker: str, chapter: str, texts: list[str], suffix: str = "flac") -> Path:
    folder = root / subset / speaker / chapter
    folder.mkdir(parents=True)
    lines = []
    for index, text in enumerate(texts):
        name = f"{speaker}-{chapter}-{index:04d}"
        soundfile.write(folder / f"{name}.{suffix}", np.zeros(RATE * (index + 1) // 2, np.float32), RATE)
        lines.append(f"{name} {text}\n")
    (folder / f"{speaker}-{chapter}.trans.txt").write_text("".join(lines))
    return folder


@pytest.mark.parametrize("unpacked_as", ["LibriSpeech", "."])
def test_reads_every_official_subset_as_unpacked(tmp_path: Path, unpacked_as: str) -> None:
    for number, subset in enumerate(OFFICIAL_SUBSETS):
        add_chapter(tmp_path / unpacked_as, subset, str(100 + number), "7", ["GOOD MORNING", "GOOD NIGHT"])
    (tmp_path / unpacked_as / "SPEAKERS.TXT").write_text(";ID\n")
    manifests = write_manifests(tmp_path, tmp_path / "out" / "manifests")
    assert [manifest.name for manifest in manifests] == [f"{subset}.jsonl" for subset in sorted(OFFICIAL_SUBSETS)]
    for number, subset in enumerate(OFFICIAL_SUBSETS):
        first, second = read_manifest(tmp_path / "out" / "manifests" / f"{subset}.jsonl")
        assert (first.text, first.speaker, first.duration) == ("GOOD MORNING", str(100 + number), 0.5)
        assert (second.text, second.duration) == ("GOOD NIGHT", 1.0)
        assert soundfile.info(first.audio_filepath).frames == RATE // 2


def test_speakers_come_in_numeric_order_and_other_formats_are_read(tmp_path: Path) -> None:
    for speaker, suffix in (("1000", "flac"), ("200", "ogg"), ("30", "wav")):
        add_chapter(tmp_path, "train-own", speaker, "1", ["HELLO"], suffix)
    utterances, skipped = read_subset(tmp_path / "train-own")
    assert [utterance.speaker for utterance in utterances] == ["30", "200", "1000"]
    assert not skipped


def test_what_cannot_be_used_is_counted_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = add_chapter(tmp_path, "dev-clean", "1", "2", ["ZERO", "ONE", "TWO", "THREE", "FOUR"])
    transcript = folder / "1-2.trans.txt"
    transcript.write_text(transcript.read_text().replace("1-2-0004 FOUR\n", "1-2-0005 FIVE\n1-2-0006\n"))
    (folder / "1-2-0001.flac").write_bytes(b"")
    (folder / "1-2-0002.flac").write_bytes(b"fLaC this is not audio")
    (folder / "1-2-0003.flac").unlink()
    soundfile.write(folder / "1-2-0003.wav", np.zeros(0, np.float32), RATE)
    soundfile.write(folder / "1-2-0006.flac", np.zeros(100, np.float32), RATE)
    # 0000 is good, 0001 empty, 0002 corrupt, 0003 without samples, 0004 without text, 0005 without audio, 0006 no words
    utterances, skipped = read_subset(tmp_path / "dev-clean")
    assert [utterance.text for utterance in utterances] == ["ZERO"]
    assert dict(skipped) == {
        "the audio file is empty": 1,
        "the audio file is corrupt": 1,
        "the audio file holds no samples": 1,
        "the audio has no transcript": 1,
        "the transcript names a missing audio file": 1,
        "the transcript is empty": 1,
    }
    with caplog.at_level(logging.WARNING):
        write_manifests(tmp_path, tmp_path / "manifests")
    assert caplog.text.count("1 utterances skipped") == 6


def test_a_truncated_file_is_caught_by_its_header(tmp_path: Path) -> None:
    folder = add_chapter(tmp_path, "dev-clean", "1", "2", ["ZERO", "ONE"])
    path = folder / "1-2-0000.flac"
    path.write_bytes(path.read_bytes()[:30])
    utterances, skipped = read_subset(tmp_path / "dev-clean")
    assert [utterance.text for utterance in utterances] == ["ONE"]
    assert sum(skipped.values()) == 1


def test_half_written_chapters_are_not_read(tmp_path: Path) -> None:
    add_chapter(tmp_path, "dev-clean", "1", "2", ["ZERO"])
    add_chapter(tmp_path, "dev-clean", "1", ".3.partial", ["ONE"])
    assert [u.text for u in read_manifest(write_manifests(tmp_path, tmp_path / "m")[0])] == ["ZERO"]


def test_a_folder_without_a_subset_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no LibriSpeech subset: expected SUBSET/SPEAKER/CHAPTER"):
        write_manifests(tmp_path, tmp_path / "manifests")
    with pytest.raises(InputError, match="holds no LibriSpeech subset"):
        write_manifests(tmp_path / "nowhere", tmp_path / "manifests")


def test_a_subset_without_a_usable_utterance_is_an_input_error(tmp_path: Path) -> None:
    folder = add_chapter(tmp_path, "dev-clean", "1", "2", ["ZERO"])
    (folder / "1-2-0000.flac").write_bytes(b"")
    with pytest.raises(InputError, match=r"dev-clean has transcripts but no usable utterance"):
        write_manifests(tmp_path, tmp_path / "manifests")


def test_transcripts_of_other_programs_are_read(tmp_path: Path) -> None:
    """A byte order mark, a tab after the name, line ends of Windows, separators of Unicode, endings in upper case."""
    folder = add_chapter(tmp_path, "dev-clean", "1", "2", ["ZERO", "ONE", "TWO", "THREE"])
    lines = (
        "\ufeff1-2-0000\tZERO\r\n1-2-0001 \u00a0ONE\u2028MORE\r\n1-2-0002\u2003TWO\u0085MORE \r\n1-2-0003  THREE\r\n"
    )
    (folder / "1-2.trans.txt").write_bytes(lines.encode("utf-8"))
    (folder / "1-2-0000.flac").rename(folder / "1-2-0000.FLAC")
    utterances, skipped = read_subset(tmp_path / "dev-clean")
    assert [utterance.text for utterance in utterances] == ["ZERO", "ONE\u2028MORE", "TWO\u0085MORE", "THREE"]
    assert not skipped
    assert [u.text for u in read_manifest(write_manifests(tmp_path, tmp_path / "m")[0])][1] == "ONE\u2028MORE"


def test_files_of_one_name_are_utterances_of_two_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for chapter in ("2", "3"):
        folder = add_chapter(tmp_path, "dev-clean", "1", chapter, ["ZERO", "ONE"])
        for path in folder.glob("*-0000.flac"):
            path.rename(folder / "0000.flac")
        transcript = folder / f"1-{chapter}.trans.txt"
        transcript.write_text(transcript.read_text().replace(f"1-{chapter}-0000", "0000"))
    soundfile.write(folder / "0000.wav", np.zeros(RATE), RATE)
    utterances, skipped = read_subset(tmp_path / "dev-clean")
    assert [one.name for one in utterances] == ["1-2-0000", "1-2-0001", "1-3-0000", "1-3-0001"]
    assert dict(skipped) == {"another audio file has the same name": 1}
