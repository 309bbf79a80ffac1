"""Hand-made recognizers, of utterances and of streams, with a tokenizer and a configuration, and test sets of noise."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import soundfile
from ai_edge_litert import schema_py_generated as schema

from tests.support.model_metadata import metadata, packed_dense
from tests.support.packed_layer import PackedLayer, random_layer
from tests.support.tflite_builder import ModelBuilder, RecognizerBuilder
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


def write_stream(path: Path) -> None:
    """Writes a streaming recognizer of one packed layer of 4 bits, of which a step is a frame."""
    tokenizer = Tokenizer.train(["CALL HOME NOW"], TokenizerConfig())
    layer = random_layer(np.random.default_rng(0), 4, FRAME, tokenizer.vocabulary_size + 1)
    builder = ModelBuilder()
    audio = builder.tensor("audio", [1, FRAME])
    count, position, received = (builder.tensor(name, [1], np.int32) for name in ("count", "position", "received"))
    step = builder.constant("step", np.array([FRAME], np.int32))
    next_position, next_received, frames = (builder.tensor(f"next_{i}", [1], np.int32) for i in range(3))
    builder.operator(schema.BuiltinOperator.ADD, [position, step], next_position)
    builder.operator(schema.BuiltinOperator.ADD, [received, count], next_received)
    builder.operator(schema.BuiltinOperator.FLOOR_DIV, [next_received, step], frames)
    frame = builder.reshape(audio, [1, 1, FRAME], "frame")
    logits = builder.fully_connected(frame, layer, "layer", [1, 1, tokenizer.vocabulary_size + 1])
    inputs = {"audio": audio, "count": count, "position": position, "received": received}
    outputs = {"logits": logits, "frames": frames, "position": next_position, "received": next_received}
    for signature in ("encode_step", "flush"):
        builder.signature(signature, inputs, outputs)
    description = metadata(
        packed_dense("ctc_head", layer),
        tokenizer=base64.b64encode(tokenizer.to_bytes()).decode(),
        config=CONFIG.model_dump(mode="json"),
        streaming={
            "sample_rate": 16000, "step_samples": FRAME, "frame_samples": FRAME, "delay_frames": 0, "flush_samples": 0,
            "states": [{"name": name, "shape": [1], "dtype": "int32"} for name in ("position", "received")],
        },
    )  # fmt: skip
    builder.metadata("TFCONFORMER", description)
    path.write_bytes(builder.build(list(inputs.values()), list(outputs.values())))


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
