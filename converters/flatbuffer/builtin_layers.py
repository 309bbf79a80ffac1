"""Reading LiteRT's own fully connected layers back from a `.tflite` file.

The decoder shares no code with the writer, which it verifies: quantized values are assembled bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from converters.flatbuffer.operators import StoredTensor, block_details, read_operators
from tfconformer.errors import InputError
from tfconformer.quantization.spec import FLOAT_BITS

_BITS = {
    schema.TensorType.FLOAT32: FLOAT_BITS,
    schema.TensorType.FLOAT16: 16,
    schema.TensorType.INT8: 8,
    schema.TensorType.INT4: 4,
    schema.TensorType.INT2: 2,
}


@dataclass(frozen=True)
class StoredBuiltin:
    """The decoded constants of a FULLY_CONNECTED with quantized weights.

    Attributes:
      codes: [N, K] int64, the quantized values in [-2^(bits - 1), 2^(bits - 1) - 1].
      scales: [N, blocks] float32.
      bias: [N] float32; None if the layer has none.
    """

    codes: NDArray[np.int64]
    scales: NDArray[np.float32]
    bias: NDArray[np.float32] | None


@dataclass(frozen=True)
class BuiltinConstants:
    """The stored constants of a FULLY_CONNECTED, before decoding.

    Attributes:
      name: name of the layer.
      bits: width of a weight: 2, 4, 8, or 16 and 32 for float.
      k, n: contraction length and number of output channels.
      block_size: weights per scale along K; None for one scale per output channel, or for float weights.
      weights: the tensor [N, K] of the weights.
      bias: the tensor [N] of the bias; None if the layer has none.
    """

    name: str
    bits: int
    k: int
    n: int
    block_size: int | None
    weights: StoredTensor
    bias: StoredTensor | None

    @property
    def is_quantized(self) -> bool:
        """True for weights with scales."""
        return self.bits <= 8 and bool(self.block_size or self._channel_scales().size)

    @property
    def weight_bytes(self) -> int:
        """Size of weights and scales in bytes."""
        scales = len(self.weights.scales) if self.block_size else 4 * self._channel_scales().size
        return len(self.weights.content) + (scales if self.bits <= 8 else 0)

    @property
    def has_valid_scales(self) -> bool:
        """True if all scales are finite and above zero."""
        if self.block_size and len(self.weights.scales) % 2:
            return False
        scales = np.frombuffer(self.weights.scales, "<f2") if self.block_size else self._channel_scales()
        return bool(np.isfinite(scales).all() and (scales > 0).all())

    def decode(self) -> StoredBuiltin:
        """Decodes quantized weights.

        Raises:
          ValueError: the sizes of the constants do not fit each other, or an integer zero point is not 0.
        """
        if self.block_size:
            scales = np.frombuffer(self.weights.scales, "<f2").astype(np.float32)
        else:
            if np.any(self.weights.tensor.Quantization().ZeroPointAsNumpy()):
                raise ValueError("a zero point is not 0")
            scales = self._channel_scales()
        return StoredBuiltin(
            codes=_decode_codes(self.weights.content, self.bits, self.n * self.k).reshape(self.n, self.k),
            scales=scales.reshape(self.n, -1),
            bias=None if self.bias is None else np.frombuffer(self.bias.content, "<f4"),
        )

    def _channel_scales(self) -> NDArray[np.float32]:
        quantization = self.weights.tensor.Quantization()
        if quantization is None or not quantization.ScaleLength():
            return np.zeros(0, np.float32)
        return np.asarray(quantization.ScaleAsNumpy())


def read_builtin(path: str | Path) -> Iterator[BuiltinConstants]:
    """Yields the built-in fully connected layers of a file whose weights are constants.

    Raises:
      InputError: the file is missing, truncated or damaged.
    """
    for operator in read_operators(path, frozenset(), frozenset({schema.BuiltinOperator.FULLY_CONNECTED})):
        weights = operator.inputs[1] if len(operator.inputs) > 1 else None
        if weights is None or not weights.content or weights.tensor.Type() not in _BITS:
            continue
        if weights.tensor.ShapeLength() != 2:
            raise InputError(f"{path}: the weights {weights.name} are no matrix")
        n, k = (int(size) for size in weights.tensor.ShapeAsNumpy())
        details = block_details(weights.tensor)
        bits = _BITS[weights.tensor.Type()]
        if min(n, k) < 1 or -(-n * k * bits // 8) != len(weights.content):
            raise InputError(f"{path}: the weights {weights.name} have {len(weights.content)} bytes, but are {n} x {k}")
        constants = BuiltinConstants(
            name=weights.name.removesuffix("/codes"),
            bits=bits,
            k=k,
            n=n,
            block_size=None if details is None else max(int(details.BlockSize()), 0) or None,
            weights=weights,
            bias=operator.inputs[2] if len(operator.inputs) > 2 else None,
        )
        if not constants.has_valid_scales:
            raise InputError(f"{path}: a scale of the weights {weights.name} is not above zero, or not finite")
        yield constants


def read_builtin_layers(path: str | Path) -> Iterator[tuple[BuiltinConstants, StoredBuiltin]]:
    """Yields the layers with quantized built-in weights, each with its decoded constants.

    Raises:
      InputError: the file is missing, truncated or damaged, or the constants of a layer contradict each other.
    """
    for stored in read_builtin(path):
        if stored.bits > 8:
            continue
        try:
            yield stored, stored.decode()
        except ValueError as error:
            reason = f"the constants of layer {stored.name} contradict each other ({error})"
            raise InputError(f"{path}: {reason}") from None


def _decode_codes(content: bytes, bits: int, count: int) -> NDArray[np.int64]:
    """Decodes [count] numbers in two's complement: the highest bit of a number has a negative weight."""
    stream = np.unpackbits(np.frombuffer(content, np.uint8), bitorder="little")
    weights = 2 ** np.arange(bits)
    weights[-1] *= -1
    return stream[: count * bits].reshape(count, bits) @ weights
