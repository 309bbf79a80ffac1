"""Random layers in every weight format, with values of the size that trained ones have."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tf_keras as keras
from numpy.typing import NDArray

from converters.exporter.float_operations import FloatOperation, float_operations
from converters.exporter.pack import PackedWeights, pack_weights
from converters.exporter.pack_builtin import BuiltinWeights, builtin_weights
from tfconformer.quantization.spec import QuantSpec


def random_packed(spec: QuantSpec, k: int, n: int) -> PackedWeights:
    """Returns random weights [K, N] of this project's operation."""
    codes, scales = _codes_and_scales(spec, k, n)
    offsets = {"none": None, "stored": _halves(scales / 2), "implied": -_halves(scales / 2)}
    return pack_weights(codes, scales, offsets[spec.zero_points], spec)


def random_builtin(spec: QuantSpec, k: int, n: int) -> BuiltinWeights:
    """Returns random weights [K, N] of LiteRT's own operation."""
    return builtin_weights(*_codes_and_scales(spec, k, n), spec)


def random_kernel(k: int, n: int) -> NDArray[np.float32]:
    """Returns random float weights [K, N]."""
    return np.random.default_rng(0).standard_normal((k, n), np.float32) / np.float32(np.sqrt(k))


def random_float_operations(
    model: keras.Model, tables: Mapping[str, NDArray[np.float32]] | None = None
) -> dict[str, FloatOperation]:
    """Replaces the float operations of a model whose weights need not exist, see `float_operations`."""
    return float_operations(
        model, tables, lambda variable: np.random.default_rng(0).uniform(0.5, 1, variable.shape).astype("f4")
    )


def _codes_and_scales(spec: QuantSpec, k: int, n: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    low, high = spec.code_range
    codes = rng.integers(low, high + 1, (k, n)).astype(np.float32)
    if spec.n_of_m is not None:
        kept, group = spec.n_of_m
        codes[np.arange(k) % group >= kept] = 0
    # A uniform code has the standard deviation 2^bits / sqrt(12); that of a weight is 1 / sqrt(K).
    scale = np.sqrt(12 / k) / 2**spec.bits
    return codes, _halves(rng.uniform(0.7, 1.3, (spec.blocks(k), n)) * scale)


def _halves(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rounds to the precision in which scales are stored."""
    return values.astype(np.float16).astype(np.float32)
