"""The metadata that export writes, for models assembled by hand."""

from __future__ import annotations

from typing import Any

from tests.support.packed_layer import PackedLayer
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
        symmetric=layer.offsets is None,
        block_size=layer.block_size or None,
        activation_bits=8 if layer.int8_activations else None,
    )
    return dense(name, k, n, spec=spec.model_dump())


def metadata(*layers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"format": 1, "config": {}, "layers": list(layers), **more}
