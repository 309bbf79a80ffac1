"""A hand-made recognizer with a tokenizer and a configuration, and test sets of noise for it."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import soundfile

from tests.support.model_metadata import metadata, packed_dense
from tests.support.packed_layer import PackedLayer, random_layer
from tests.support.tflite_builder import RecognizerBuilder
from tfconformer.config import Config, TrainingConfig
from tfconformer.data.config import DataConfig, TokenizerConfig
from tfconformer.data.manifest import Utterance, write_manifest
from tfconformer.data.shards import write_shards
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.models.config import ModelConfig

FRAME = 400
CONFIG = Config(
    data=DataConfig(train=("t",), dev=("d",)),
    model=ModelConfig(blocks=1, dim=16, heads=2, conv_kernel=5, subsampling_channels=4),
    training=TrainingConfig(epochs=1, steps_per_epoch=1, learning_rate=1e-3),
)


def write_recognizer(path: Path, layer: PackedLayer | None = None) -> None:
    """Writes a recognizer of one packed layer of 4 bits, with random weights unless `layer` is given."""
    tokenizer = Tokenizer.train(["CALL HOME NOW"], TokenizerConfig())
    layer = layer or random_layer(np.random.default_rng(0), 4, FRAME, tokenizer.vocabulary_size + 1)
    description = metadata(
        packed_dense("ctc_head", layer) | {"sqnr_db": 18.25, "code_bytes": layer.packed.nbytes, "scale_bytes": 2},
        tokenizer=base64.b64encode(tokenizer.to_bytes()).decode(),
        config=CONFIG.model_dump(mode="json"),
    )
    path.write_bytes(RecognizerBuilder([layer], description).finish())


def write_test_set(folder: Path, name: str, count: int = 3) -> None:
    """Writes the manifest and the shards of a test set of noise."""
    generator = np.random.default_rng(0)
    utterances = []
    for i in range(count):
        file = f"{name}-{i}.wav"
        soundfile.write(folder / file, generator.uniform(-0.5, 0.5, FRAME * (8 + i)), 16000, subtype="PCM_16")
        utterances.append(Utterance(file, FRAME * (8 + i) / 16000, "CALL HOME", "speaker"))
    write_manifest(folder / f"{name}.jsonl", utterances)
    write_shards(folder / f"{name}.jsonl", folder, name)


def write_noise_corpus(folder: Path, **counts: int) -> None:
    """Writes shards of short noise with short transcripts, `counts` utterances by the name of the set."""
    random = np.random.default_rng(0)
    for name, count in counts.items():
        utterances = []
        for index in range(count):
            samples = int(random.integers(8000, 16000))
            path = folder / f"{name}{index}.wav"
            soundfile.write(path, random.uniform(-0.3, 0.3, samples), 16000, subtype="PCM_16")
            utterances.append(Utterance(path.name, samples / 16000, random.choice(["YES", "NO MORE", "OH"]), "a"))
        write_manifest(folder / f"{name}.jsonl", utterances)
        write_shards(folder / f"{name}.jsonl", folder / "shards", name)
