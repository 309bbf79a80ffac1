from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from click.testing import CliRunner

from tfconformer.commands.data import data
from tfconformer.data import records
from tfconformer.data.shards import read_index
from tfconformer.data.speech import debian_packages
from tfconformer.data.speech.debian_packages import ArchiveUnreachableError
from tfconformer.errors import InputError


@pytest.fixture
def librispeech(tmp_path: Path) -> Path:
    """Two subsets of one chapter with two utterances each."""
    rng = np.random.default_rng(11)
    for subset in ("dev-clean", "test-other"):
        folder = tmp_path / "LibriSpeech" / subset / "84" / "121123"
        folder.mkdir(parents=True)
        for index in range(2):
            wave = (rng.standard_normal(16000) * 1000).astype(np.int16)
            soundfile.write(folder / f"84-121123-000{index}.flac", wave, 16000)
        (folder / "84-121123.trans.txt").write_text("84-121123-0000 GO\n84-121123-0001 DO YOU HEAR\n")
    return tmp_path


def test_librispeech_becomes_manifests_and_shards(librispeech: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    result = CliRunner().invoke(data, ["librispeech", str(librispeech), "--output", str(output)])
    assert result.exit_code == 0, result.output
    assert "dev-clean.jsonl: 2 utterances, 0.00 hours, 1 shards" in result.output
    assert sorted(path.name for path in (output / "manifests").iterdir()) == ["dev-clean.jsonl", "test-other.jsonl"]
    for subset in ("dev-clean", "test-other"):
        (shard,) = (output / "shards").glob(f"{subset}-[0-9]*.tfrecord")
        assert read_index(shard).samples == (16000, 16000)


@pytest.mark.parametrize(("words", "format"), [([], b"fLaC"), (["--wav"], b"RIFF")])
def test_audio_is_stored_as_it_is_or_as_pcm(librispeech: Path, words: list[str], format: bytes) -> None:
    output = librispeech / "out"
    result = CliRunner().invoke(data, ["librispeech", str(librispeech), "--output", str(output), *words])
    assert result.exit_code == 0, result.output
    (shard,) = (output / "shards").glob("dev-clean-[0-9]*.tfrecord")
    stored = [records.parse(record[tf.newaxis]).audio[0].numpy()[:4] for record in tf.data.TFRecordDataset(str(shard))]
    assert stored == [format] * 2


def test_manifests_of_one_name_are_refused_before_anything_is_written(librispeech: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    names = [str(tmp_path / folder / "train.jsonl") for folder in ("a", "b")]
    result = CliRunner().invoke(data, ["shards", *names, "--output", str(output)])
    assert isinstance(result.exception, InputError)
    assert str(result.exception).startswith("several manifests are named train: ")
    assert not output.exists()


def test_the_longest_utterance_is_an_option(librispeech: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        data, ["librispeech", str(librispeech), "--output", str(tmp_path / "out"), "--max-seconds", "0.5"]
    )
    assert isinstance(result.exception, InputError)
    assert "none of its 2 utterances is usable (2 too long)" in str(result.exception)


def test_a_subset_that_does_not_exist_is_a_usage_error(tmp_path: Path) -> None:
    arguments = ["speech", "--output", str(tmp_path), "--cache", str(tmp_path), "--subset", "test-martian"]
    result = CliRunner().invoke(data, arguments)
    assert result.exit_code == 2
    assert "test-martian is none of train-synthetic, dev-clean" in " ".join(result.output.split())


def test_human_speech_alone_needs_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(name: str, cache: Path) -> None:
        raise ArchiveUnreachableError("no network")

    monkeypatch.setattr(debian_packages, "fetch", unreachable)
    arguments = ["speech", "--output", str(tmp_path), "--cache", str(tmp_path), "--subset", "test-human"]
    result = CliRunner().invoke(data, arguments)
    assert isinstance(result.exception, ArchiveUnreachableError)
    assert not list(tmp_path.iterdir())
