"""Random attention and what it must compute, written from the definition and not from the C code."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from converters.custom_ops import padded_columns
from tests.support.normalization_layer import lane_sum
from tests.support.packed_layer import fma

# Batch, frames, heads, width, rows of the mask: parts of the registers and of the eight queries that kernels take.
UTTERANCES = [(1, 1, 1, 1, 1), (2, 3, 2, 5, 3), (1, 16, 1, 16, 1), (1, 25, 2, 20, 25), (2, 70, 3, 33, 1)]
# Batch, frames, heads, width, span, capacity, distances: a step that keeps nothing, one that looks at less than it
# keeps, one beyond its distances, and that of a 40 ms stream.
STEPS = [
    (1, 1, 1, 1, 1, 1, 1),
    (2, 3, 2, 5, 8, 10, 8),
    (1, 4, 1, 16, 20, 20, 17),
    (1, 9, 2, 33, 40, 41, 32),
    (1, 1, 3, 32, 65, 65, 65),
]
_LOG2_E = np.float32(float.fromhex("0x1.715476p0"))
_LN_2 = [np.float32(float.fromhex(digits)) for digits in ("0x1.62e400p-1", "0x1.7f7d1cp-20")]
_ROUNDER = np.float32(float.fromhex("0x1.8p23"))
_TAYLOR = [np.float32(1) / np.float32(factorial) for factorial in (5040, 720, 120, 24, 6, 2, 1, 1)]


@dataclass
class AttentionLayer:
    """content_bias and position_bias [heads, width]; positions [distances, dim] of a step, from the farthest on."""

    content_bias: NDArray[np.float32]
    position_bias: NDArray[np.float32]
    positions: NDArray[np.float32] | None = None

    @property
    def params(self) -> NDArray[np.int32]:
        distances = 0 if self.positions is None else len(self.positions)
        return np.array([1, *self.content_bias.shape, distances], np.int32)

    @property
    def position_columns(self) -> NDArray[np.float32]:
        """As a file has them."""
        assert self.positions is not None
        count = len(self.positions)
        return np.pad(self.positions.T, ((0, 0), (0, padded_columns(count) - count)))

    def exact(self, inputs: AttentionInputs) -> NDArray[np.float64]:
        """In float64."""
        content_query, position_query = (
            (inputs.heads(inputs.query, self).astype(np.float64) + bias[:, np.newaxis]) / np.sqrt(bias.shape[1])
            for bias in (self.content_bias, self.position_bias)
        )
        content = content_query @ inputs.heads(inputs.key, self).swapaxes(2, 3)
        distance = position_query @ inputs.heads(inputs.position, self).swapaxes(2, 3)
        scores = content + inputs.by_key(distance) + inputs.mask
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        return inputs.joined(weights @ inputs.heads(inputs.value, self))

    def float32(self, inputs: AttentionInputs) -> NDArray[np.float32]:
        """Bit for bit: every rounding in the documented place and order."""
        scale = np.float32(1) / np.sqrt(np.float32(self.content_bias.shape[1]))
        content_query, position_query = (
            (inputs.heads(inputs.query, self) + bias[:, np.newaxis]) * scale
            for bias in (self.content_bias, self.position_bias)
        )
        content = product(content_query, inputs.heads(inputs.key, self).swapaxes(2, 3))
        distance = product(position_query, inputs.heads(inputs.position, self).swapaxes(2, 3))
        scores = (content + inputs.by_key(distance)) + inputs.mask
        weights = exponential(scores - scores.max(axis=-1, keepdims=True))
        sums = lane_sum(weights.reshape(-1, weights.shape[-1])).reshape(*weights.shape[:-1], 1)
        return inputs.joined(product(weights, inputs.heads(inputs.value, self)) * (np.float32(1) / sums))


@dataclass
class AttentionInputs:
    """What a layer looks at.

    Attributes:
      query: [batch, frames, dim]; key, value: [batch, span, dim].
      position: [1, distances, dim]. The first key of query t is at distance number `nearest` - t.
      mask: [batch, 1, frames or 1, span].
    """

    query: NDArray[np.float32]
    key: NDArray[np.float32]
    value: NDArray[np.float32]
    position: NDArray[np.float32]
    mask: NDArray[np.float32]
    nearest: int

    def heads(self, x: NDArray[np.float32], layer: AttentionLayer) -> NDArray[np.float32]:
        """[batch, frames, dim] -> [batch, heads, frames, width]."""
        return x.reshape(*x.shape[:2], *layer.content_bias.shape).swapaxes(1, 2)

    def joined(self, x: NDArray) -> NDArray:
        """The other way."""
        return x.swapaxes(1, 2).reshape(self.query.shape)

    def by_key(self, distance: NDArray) -> NDArray:
        """[..., frames, distances] -> [..., frames, span], zero beyond the distances."""
        frames, span = self.query.shape[1], self.key.shape[1]
        index = self.nearest - np.arange(frames)[:, np.newaxis] + np.arange(span)
        inside = (index >= 0) & (index < distance.shape[-1])
        rows = np.arange(frames)[:, np.newaxis]
        return np.where(inside, distance[..., rows, np.where(inside, index, 0)], 0).astype(distance.dtype)


def product(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """[..., n, k] by [..., k, m], one fused multiply-add after the other."""
    sums = np.zeros(np.broadcast_shapes((*a.shape[:-1], 1), (*b.shape[:-2], 1, b.shape[-1])), np.float32)
    for d in range(a.shape[-1]):
        sums = fma(a[..., d : d + 1], b[..., d : d + 1, :], sums)
    return sums


def exponential(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """exp(x) for x <= 0 as loops.h defines it."""
    with np.errstate(invalid="ignore", over="ignore"):
        shifted = fma(x, _LOG2_E, _ROUNDER)
        n = shifted - _ROUNDER
        r = fma(-n, _LN_2[1], fma(-n, _LN_2[0], x))
        series = np.broadcast_to(_TAYLOR[0], x.shape)
        for term in _TAYLOR[1:]:
            series = fma(series, r, term)
        exponent = shifted.view(np.uint32) - _ROUNDER.view(np.uint32) + np.uint32(127)
        power = (exponent << np.uint32(23)).view(np.float32)
        return np.where(x < np.float32(-87), np.float32(0), series * power)


def random_utterance(
    rng: np.random.Generator, batch: int, frames: int, heads: int, width: int, mask_rows: int
) -> tuple[AttentionLayer, AttentionInputs]:
    """A layer, and inputs of which some keys are masked."""
    query, key, value = rng.standard_normal((3, batch, frames, heads * width), np.float32)
    position = rng.standard_normal((1, 2 * frames - 1, heads * width), np.float32)
    inputs = AttentionInputs(query, key, value, position, random_mask(rng, batch, mask_rows, frames), frames - 1)
    return AttentionLayer(*rng.standard_normal((2, heads, width), np.float32)), inputs


def random_mask(rng: np.random.Generator, batch: int, rows: int, keys: int) -> NDArray[np.float32]:
    """-1e4 for a third of the keys but the first: beside -1e4 alone, float32 would not keep much of a score."""
    mask = np.where(rng.random((batch, 1, rows, keys)) < 1 / 3, -1e4, 0).astype(np.float32)
    mask[..., 0] = 0
    return mask


@dataclass
class RandomStream:
    """A layer, and frames of a stream for it; [batch, all frames, dim] each."""

    layer: AttentionLayer
    query: NDArray[np.float32]
    key: NDArray[np.float32]
    value: NDArray[np.float32]
    masks: list[NDArray[np.float32]]
    frames: int
    span: int
    capacity: int

    def step(self, index: int) -> AttentionInputs:
        """What step `index` looks at: frames before the first are zeros."""
        first, end = index * self.frames, (index + 1) * self.frames

        def window(x: NDArray[np.float32]) -> NDArray[np.float32]:
            before = max(0, self.capacity - end)
            window = np.pad(x[:, max(0, end - self.capacity) : end], ((0, 0), (before, 0), (0, 0)))
            return window[:, : self.span]

        assert self.layer.positions is not None
        query, position = self.query[:, first:end], self.layer.positions[np.newaxis]
        return AttentionInputs(query, window(self.key), window(self.value), position, self.masks[index], 0)

    def new(self, x: NDArray[np.float32], index: int) -> NDArray[np.float32]:
        """The frames that come in with step `index`."""
        return x[:, index * self.frames : (index + 1) * self.frames]


def random_stream(
    rng: np.random.Generator,
    *shape: int,
    steps: int,
) -> RandomStream:
    """A stream of so many steps; `shape` as in STEPS."""
    batch, frames, heads, width, span, capacity, distances = shape
    layer = replace(
        AttentionLayer(*rng.standard_normal((2, heads, width), np.float32)),
        positions=rng.standard_normal((distances, heads * width), np.float32),
    )
    query, key, value = rng.standard_normal((3, batch, steps * frames, heads * width), np.float32)
    masks = [random_mask(rng, batch, frames, span) for _ in range(steps)]
    return RandomStream(layer, query, key, value, masks, frames, span, capacity)
