"""SparseGPT against the optimal brain surgeon's steps with an inverse of its own for each weight."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfconformer.quantization.post_training.sparse_gpt import sparse_gpt
from tfconformer.quantization.quantizers.pruning import nm_mask


def surgeon(weights, hessian, n, m, damping):
    """Chooses the weights of every group by what pruning costs, and inverts the Hessian of the rest for each."""
    contraction, columns = weights.shape
    hessian = hessian + damping * np.mean(np.diag(hessian)) * np.eye(contraction)
    costs = [np.linalg.inv(hessian[k:, k:])[0, 0] for k in range(contraction)]
    left = weights.astype(np.float64)
    for column, first in itertools.product(range(columns), range(0, contraction, m)):
        group = range(first, min(first + m, contraction))
        cost = {k: left[k, column] ** 2 / costs[k] for k in group}
        pruned = sorted(group, key=lambda k, cost=cost: -cost[k])[n:]
        for k in sorted(pruned):
            inverse = np.linalg.inv(hessian[k:, k:])
            left[k:, column] -= left[k, column] / inverse[0, 0] * inverse[:, 0]
            left[k, column] = 0
    return left


def case(seed, contraction, columns=5):
    random = np.random.default_rng(seed)
    weights = random.standard_normal([contraction, columns]).astype(np.float32)
    inputs = random.standard_normal([200, contraction]) @ random.standard_normal([contraction, contraction])
    return weights, inputs


@pytest.mark.parametrize(("n", "m", "contraction"), [(2, 4, 20), (1, 4, 18), (3, 8, 21)])
def test_weights_are_the_surgeons(n, m, contraction):
    weights, inputs = case(n, contraction)
    pruned = sparse_gpt(weights, inputs.T @ inputs, (n, m))
    expected = surgeon(weights, inputs.T @ inputs, n, m, damping=0.01)
    np.testing.assert_allclose(pruned, expected, rtol=1e-4, atol=1e-5)  # float32, after steps in float64
    np.testing.assert_array_equal(pruned != 0, nm_mask(tf.constant(pruned), n, m))


def test_outputs_change_less_than_by_magnitude():
    for seed in range(5):
        weights, inputs = case(seed, 64, 16)
        by_magnitude = weights * nm_mask(tf.constant(weights), 2, 4).numpy()
        pruned = sparse_gpt(weights, inputs.T @ inputs, (2, 4))
        errors = [np.linalg.norm(inputs @ (one - weights)) for one in (pruned, by_magnitude)]
        assert errors[0] < 0.8 * errors[1], f"seed {seed}"
