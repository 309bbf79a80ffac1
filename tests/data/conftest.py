"""A small synthetic corpus: noise of the length of speech, in the three formats the pipeline stores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tfconformer.data.config import TokenizerConfig
from tfconformer.data.manifest import Utterance, read_manifest, write_manifest
from tfconformer.data.shards import write_shards
from tfconformer.data.tokenizer import Tokenizer

RATE = 16000


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """36 utterances of 0.3 to 3 s, every text different."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(20)
    utterances = []
    for number in range(36):
        samples = int(rng.uniform(0.3, 3.0) * RATE)
        wave = (rng.standard_normal(samples) * 2000).astype(np.int16)
        name = f"u{number:02d}.{['flac', 'wav', 'ogg'][number % 3]}"
        soundfile.write(folder / name, wave, RATE)
        text = f"{'ABCDEF'[number // 6]}{'ABCDEF'[number % 6]} " + "WORD " * (samples // 8000)
        utterances.append(Utterance(name, samples / RATE, text.strip(), f"speaker{number % 4}"))
    write_manifest(folder / "manifest.jsonl", utterances)
    return folder / "manifest.jsonl"


@pytest.fixture(scope="session")
def shards(manifest: Path) -> list[Path]:
    return write_shards(manifest, manifest.parent / "shards", "train", utterances_per_shard=10)


@pytest.fixture(scope="session")
def tokenizer(manifest: Path) -> Tokenizer:
    return Tokenizer.train([utterance.text for utterance in read_manifest(manifest)], TokenizerConfig())
