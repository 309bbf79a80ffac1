"""Shards by Apache Beam, on two processes: the same bytes as the local command's."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.test_bad_input import outcome
from tfconformer.data.beam_shards import beam_runner
from tfconformer.data.manifest import Utterance, write_manifest
from tfconformer.data.shards import ShardJob, read_index, write_shards


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Seven utterances, of which one cannot be used and one is clipped; two of them to a shard."""
    random = np.random.default_rng(0)
    utterances = []
    for index in range(7):
        file = f"{index}.wav"
        samples = (40 if index == 5 else 1) * random.uniform(-0.2, 0.2, 8000)
        soundfile.write(tmp_path / file, samples, 16000, subtype="FLOAT")
        utterances.append(Utterance(file, 0.5, f"WORD {index}", "a"))
    (tmp_path / "3.wav").write_text("no audio")
    write_manifest(tmp_path / "set.jsonl", utterances)
    return tmp_path / "set.jsonl"


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def write_none(jobs: Sequence[ShardJob]) -> Counter[str]:
    assert not jobs
    return Counter()


@pytest.mark.timeout(600)  # Beam starts processes that load TensorFlow
def test_two_workers_write_the_bytes_of_the_local_command(manifest: Path, tmp_path: Path) -> None:
    pytest.importorskip("apache_beam")
    runner = beam_runner("DirectRunner", ["--direct_num_workers=2", "--direct_running_mode=multi_processing"])
    write_shards(manifest, tmp_path / "local", "set", utterances_per_shard=2)
    written = write_shards(manifest, tmp_path / "beam", "set", utterances_per_shard=2, runner=runner)
    assert len(written) == 4
    assert files_of(tmp_path / "beam") == files_of(tmp_path / "local")
    assert [skip.reason for shard in written for skip in read_index(shard).skipped] == ["corrupt audio"]
    # What is up to date is left alone, also by the other command.
    before = [path.stat().st_mtime_ns for path in written]
    write_shards(manifest, tmp_path / "beam", "set", utterances_per_shard=2, runner=write_none)
    assert [path.stat().st_mtime_ns for path in written] == before


def test_without_beam_the_sentence_says_what_to_install(manifest, tmp_path, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    words = ["data", "shards", str(manifest), "--output", str(tmp_path / "out")]
    status, line = outcome([*words, "--runner", "DirectRunner"], capfd)
    assert status == 2 and "pip install 'tfconformer[dataflow]'" in line
    status, line = outcome([*words, "--runner-option", "--direct_num_workers=2"], capfd)
    assert status == 2 and "--runner-option needs --runner" in line
