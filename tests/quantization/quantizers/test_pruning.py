"""N:M masks and their gradients against the published cases (2312.08553) and a plain loop."""

import numpy as np
import pytest
import tensorflow as tf

from tfconformer.quantization.quantizers.pruning import SR_STE_DECAY, nm_mask
from tfconformer.quantization.quantizers.weights import fake_quantize_weights, quantize_weights
from tfconformer.quantization.spec import QuantSpec


def test_published_masks():
    weights = tf.reshape(tf.range(1.0, 73.0), [6, 12])
    expected = np.ones((6, 12))
    expected[[0, 3]] = 0
    np.testing.assert_array_equal(nm_mask(weights, 2, 3), expected)
    along_rows = tf.transpose(nm_mask(tf.transpose(weights), 2, 3)) * weights
    np.testing.assert_array_equal(along_rows[0], [0, 2, 3, 0, 5, 6, 0, 8, 9, 0, 11, 12])
    np.testing.assert_array_equal(nm_mask(tf.ones([4, 1]), 2, 4).numpy().T, [[1, 1, 0, 0]])


@pytest.mark.parametrize("seed", range(4))
def test_masks_keep_the_largest_of_every_group(seed):
    random = np.random.default_rng(seed)
    group = int(random.integers(2, 9))
    kept, k, n = int(random.integers(1, group)), int(random.integers(1, 40)), int(random.integers(1, 5))
    print(f"seed {seed}: {kept}:{group}, K={k} N={n}")
    weights = random.integers(-3, 4, size=(k, n)).astype(np.float32)  # many ties
    expected = np.zeros((k, n))
    for column in range(n):
        for first in range(0, k, group):
            rows = range(first, min(first + group, k))
            for row in sorted(rows, key=lambda row: (-abs(weights[row, column]), row))[:kept]:
                expected[row, column] = 1
    np.testing.assert_array_equal(nm_mask(tf.constant(weights), kept, group), expected)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
def test_pruned_weights_are_exactly_zero_and_the_others_quantized_as_before(bits, symmetric):
    weights = np.random.default_rng(0).normal(size=(40, 7)).astype(np.float32)
    spec = QuantSpec(bits=bits, symmetric=symmetric, block_size=16, sparsity="2:4")
    quantized = quantize_weights(tf.constant(weights), spec)
    mask = quantized.mask.numpy().astype(bool)
    assert mask.reshape(10, 4, 7).sum(axis=1).tolist() == [[2] * 7] * 10
    dequantized = quantized.dequantize().numpy()
    assert not dequantized[~mask].any() and not quantized.codes.numpy()[~mask].any()
    dense = QuantSpec(bits=bits, symmetric=symmetric, block_size=16)
    np.testing.assert_array_equal(
        dequantized[mask], fake_quantize_weights(tf.constant(weights * mask), dense).numpy()[mask]
    )


@pytest.mark.parametrize("symmetric", [True, False])
def test_gradients_of_pruned_weights(symmetric):
    weights = tf.constant(np.random.default_rng(1).uniform(-1, 1, size=(8, 3)).astype(np.float32))
    gradients = {}
    for kind in ("masked", "ste", "sr-ste"):
        spec = QuantSpec(bits=8, symmetric=symmetric, sparsity="1:4", pruning_gradient=kind, scale_gradient=False)
        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss = tf.reduce_sum(fake_quantize_weights(weights, spec))
        gradients[kind] = tape.gradient(loss, weights).numpy()
    pruned = nm_mask(weights, 1, 4).numpy() == 0
    assert not gradients["masked"][pruned].any() and gradients["masked"][~pruned].all()
    np.testing.assert_allclose(gradients["ste"], 1.0, rtol=1e-6)
    decay = SR_STE_DECAY * weights.numpy() * pruned
    # Around 1, so float32 leaves seven digits of the decay of 2e-4 * w.
    np.testing.assert_allclose(gradients["sr-ste"] - gradients["ste"], decay, atol=2e-7)


@pytest.mark.parametrize("sparsity", ["4:4", "5:4", "2", "2:4:8", "0:4", "a:b"])
def test_a_sparsity_that_means_nothing_is_refused(sparsity):
    with pytest.raises(ValueError, match="sparsity"):
        QuantSpec(bits=4, sparsity=sparsity)
