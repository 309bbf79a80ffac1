"""The metadata that export writes, for models assembled by hand."""

from __future__ import annotations

import base64
from typing import Any

from tests.support.packed_layer import PackedLayer
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.quantization.spec import QuantSpec


def dense(name: str, k: int, n: int, **more: Any) -> dict[str, Any]:
    parameters = k * n + n
    return {
        "name": name,
        "kind": "dense",
        "parameters": parameters,
        "float_bytes": 4 * parameters,
        "k": k,
        "n": n,
        **more,
    }


def packed_dense(name: str, layer: PackedLayer) -> dict[str, Any]:
    n, k = layer.codes.shape
    spec = QuantSpec(
        bits=layer.bits,
        symmetric=layer.half_integers or layer.offsets is None,
        scheme="half_integer" if layer.half_integers else "uniform",
        block_size=layer.block_size or None,
        activation_bits=8 if layer.int8_activations else None,
    )
    return dense(name, k, n, spec=spec.model_dump())


def metadata(*layers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"format": 1, "config": {}, "layers": list(layers), **more}


def recognizer_metadata(tokenizer: Tokenizer, **more: Any) -> dict[str, Any]:
    """The metadata in format 2 of a recognizer of CTC, with one graph for whole utterances."""
    return {
        "format": 2,
        "task": {"name": "recognition_ctc", "search": "ctc", "vocabulary": tokenizer.vocabulary_size},
        "tokenizer": base64.b64encode(tokenizer.to_bytes()).decode(),
        "graphs": [
            {
                "signature": "transcribe",
                "inputs": [{"name": "waveform", "shape": [1, -1], "dtype": "float32"}],
                "outputs": [{"name": "logits", "shape": [1, -1, tokenizer.vocabulary_size + 1], "dtype": "float32"}],
            }
        ],
        **more,
    }
