"""Quantizers: functions from weights to scales, float zero points and quantized values, one file each.

The file's name is `QuantSpec.scheme`. A file that is put here and defines `SCHEME` is a new quantizer: it trains, is
evaluated, exported and verified like the others, since everything else depends on the quantized values, scales and
float zero points of a layer alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import tensorflow as tf

from tfconformer.quantization.spec import QuantSpec


@dataclass(frozen=True)
class Scheme:
    """A quantizer, as two differentiable functions.

    Attributes:
      ranges: (weights [K, N], spec, clip factors that broadcast to [blocks, N]) -> (scales, float zero points or None),
        each [blocks, N] and representable in `spec.scale_dtype`.
      codes: (weights [K, N], scales, float zero points, spec) -> q [K, N], integers in `spec.code_range`, as float32.
    """

    ranges: Callable[[tf.Tensor, QuantSpec, float | tf.Tensor], tuple[tf.Tensor, tf.Tensor | None]]
    codes: Callable[[tf.Tensor, tf.Tensor, tf.Tensor | None, QuantSpec], tf.Tensor]


def scheme(name: str) -> Scheme:
    """Returns the scheme of that name."""
    found: Scheme = import_module(f"{__name__}.{name}").SCHEME
    return found
