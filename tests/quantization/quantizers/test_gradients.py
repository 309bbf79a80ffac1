"""Gradients against float64: finite differences of a function whose roundings are held fixed, and LSQ's own formula.

Straight-through gradients are the exact ones of a surrogate: every rounding adds a constant, the residual it had, and
which codes are clipped does not change. The surrogate is written here in NumPy, from the equations of the paper.
"""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfconformer.quantization.quantizers.clipping import with_lsq_gradient
from tfconformer.quantization.quantizers.weights import StateValues, fake_quantize_weights, quantize_weights
from tfconformer.quantization.spec import QuantSpec

K, N, BLOCK = 24, 3, 8
EPSILON = 2.0**-23


def random_case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return tuple(random.normal(size=(K, N)).astype(np.float32) for _ in range(2))


def ranges(w: np.ndarray, clip: np.ndarray, spec: QuantSpec) -> tuple[np.ndarray, np.ndarray]:
    """Scales and offsets before they are stored, [blocks, N]."""
    low, high = spec.code_range
    blocks = w.reshape(-1, BLOCK, N)
    if spec.symmetric:
        return clip * np.abs(blocks).max(axis=1) / high + EPSILON, np.zeros((K // BLOCK, N))
    least, most = blocks.min(axis=1), blocks.max(axis=1)
    scales = clip * (most - least) / (high - low) + EPSILON
    return scales, scales * low - clip * least


class Surrogate:
    """The dequantized weights as a function of (w, clip), in float64, with the roundings of a point held fixed."""

    def __init__(self, w: np.ndarray, clip: np.ndarray, spec: QuantSpec):
        self.spec, self.point = spec, w
        self.fixed_scales, _ = ranges(w, clip, spec)
        unclipped = self._units(w, clip)
        codes = np.floor(unclipped + 0.5)
        low, high = spec.code_range
        self.inside = (low <= codes) & (codes <= high)
        self.residual = codes - unclipped
        self.clipped = np.clip(codes, low, high)

    def __call__(self, w: np.ndarray, clip: np.ndarray) -> np.ndarray:
        scales, offsets = (np.repeat(part, BLOCK, axis=0) for part in self._ranges(w, clip))
        return np.where(self.inside, self._units(w, clip) + self.residual, self.clipped) * scales - offsets

    def _ranges(self, w: np.ndarray, clip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scales, offsets = ranges(w, clip, self.spec)
        if not self.spec.scale_gradient:  # of the weights; that of the factor stays
            scales = ranges(self.point, clip, self.spec)[0]
            if not self.spec.symmetric:
                offsets = scales * self.spec.code_range[0] - clip * w.reshape(-1, BLOCK, N).min(axis=1)
        return scales, offsets

    def _units(self, w: np.ndarray, clip: np.ndarray) -> np.ndarray:
        scales, offsets = self._ranges(w, clip) if hasattr(self, "residual") else ranges(w, clip, self.spec)
        return (w + np.repeat(offsets, BLOCK, axis=0)) / np.repeat(scales, BLOCK, axis=0)


def differences(function, at: np.ndarray) -> np.ndarray:
    """Central differences of a scalar function."""
    step = 1e-6
    gradient = np.zeros(at.shape)
    for index in np.ndindex(at.shape):
        change = np.zeros(at.shape)
        change[index] = step
        gradient[index] = (function(at + change) - function(at - change)) / (2 * step)
    return gradient


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("scale_gradient", [True, False])
def test_gradients_of_weights_are_finite_differences(bits, symmetric, scale_gradient):
    """With a clip of 0.6, so that weights are clipped at both ends."""
    weights, upstream = random_case(seed=bits)
    spec = QuantSpec(
        bits=bits,
        symmetric=symmetric,
        block_size=BLOCK,
        clip=0.6,
        scale_gradient=scale_gradient,
        scale_dtype="float32",
    )
    variable = tf.constant(weights)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        loss = tf.reduce_sum(fake_quantize_weights(variable, spec) * upstream)
    clip = np.full((K // BLOCK, N), 0.6)
    surrogate = Surrogate(weights.astype(np.float64), clip, spec)
    assert not surrogate.inside.all()
    expected = differences(lambda w: np.sum(surrogate(w, clip) * upstream), weights.astype(np.float64))
    # Sums of up to 8 float32 products of order 1.
    np.testing.assert_allclose(tape.gradient(loss, variable), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("learn", ["tensor", "channel", "block"])
def test_gradients_of_learned_clips_are_finite_differences(bits, symmetric, learn):
    weights, upstream = random_case(seed=bits)
    spec = QuantSpec(bits=bits, symmetric=symmetric, block_size=BLOCK, clip={"learn": learn}, scale_dtype="float32")
    shape = {"tensor": (1, 1), "channel": (1, N), "block": (K // BLOCK, N)}[learn]
    clip = np.random.default_rng(1).uniform(0.4, 0.9, size=shape)
    factors = tf.constant(clip, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(factors)
        state = StateValues(clip=with_lsq_gradient(factors, K * N, spec))
        loss = tf.reduce_sum(quantize_weights(tf.constant(weights), spec, state).dequantize() * upstream)
    clip = factors.numpy().astype(np.float64)
    surrogate = Surrogate(weights.astype(np.float64), clip + np.zeros((K // BLOCK, N)), spec)
    expected = differences(lambda c: np.sum(surrogate(weights.astype(np.float64), c) * upstream), clip)
    share = 1 / math.sqrt(K * N / clip.size * spec.code_range[1])
    # Sums of up to 72 float32 products of order 1.
    np.testing.assert_allclose(tape.gradient(loss, factors), expected * share, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_the_gradient_of_a_learned_scale_is_that_of_lsq(bits):
    """1902.08153, eq. 3: q - w/s where a weight is inside of the range, the clipped code where it is not."""
    weights, upstream = random_case(seed=bits)
    spec = QuantSpec(bits=bits, clip={"learn": "channel"}, scale_dtype="float32")
    factors = tf.fill([1, N], 0.5)
    with tf.GradientTape() as tape:
        tape.watch(factors)
        state = StateValues(clip=with_lsq_gradient(factors, K * N, spec))
        loss = tf.reduce_sum(quantize_weights(tf.constant(weights), spec, state).dequantize() * upstream)
    low, high = spec.code_range
    expected = np.zeros(N)
    for n in range(N):
        peak = max(abs(float(w)) for w in weights[:, n])
        scale = 0.5 * peak / high
        for k in range(K):
            ratio = float(weights[k, n]) / scale
            code = math.floor(ratio + 0.5)
            slope = code - ratio if low <= code <= high else min(max(code, low), high)
            expected[n] += float(upstream[k, n]) * slope * peak / high / math.sqrt(K * high)
    # Sums of 24 float32 products of order 1; 8-bit slopes are differences of numbers up to 128.
    np.testing.assert_allclose(tape.gradient(loss, factors)[0], expected, rtol=1e-3, atol=2e-5)
