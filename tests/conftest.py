"""Models that several test files look at; a conversion takes seconds, so each is made once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

import converters.custom_ops
from tests.support.tiny_conformer import (
    INT8_ACTIVATIONS,
    WEIGHTS_ONLY,
    tiny_config,
    tiny_model,
    tiny_tokenizer,
    tiny_waveforms,
)


@dataclass(frozen=True)
class Exported:
    """A quantized model, what was decided about it, the frozen graph and the file."""

    trained: object
    config: object
    prepared: object
    frozen: bytes
    path: Path


@pytest.fixture(scope="session")
def native_library() -> Path:
    return converters.custom_ops.library_path()


@pytest.fixture(scope="session")
def weights_only(tmp_path_factory) -> Exported:
    return _export(WEIGHTS_ONLY, tmp_path_factory.mktemp("weights_only"))


@pytest.fixture(scope="session")
def int8_activations(tmp_path_factory) -> Exported:
    return _export(INT8_ACTIVATIONS, tmp_path_factory.mktemp("int8_activations"))


@pytest.fixture(scope="session")
def waveforms():
    return tiny_waveforms()


def _export(rules: list[dict], folder: Path) -> Exported:
    from converters.export import prepare
    from converters.freeze import freeze
    from converters.metadata import metadata_json
    from converters.rewrite import rewrite

    config, tokenizer = tiny_config(rules), tiny_tokenizer()
    trained = tiny_model(config)
    prepared = prepare(trained, config, tokenizer.vocabulary_size)
    frozen = freeze(prepared.model, config.features, prepared.packed.keys())
    metadata = metadata_json(tokenizer.to_bytes(), config, prepared.layers)
    path = folder / "model.tflite"
    path.write_bytes(rewrite(frozen, prepared.packed, metadata))
    return Exported(trained, config, prepared, frozen, path)
