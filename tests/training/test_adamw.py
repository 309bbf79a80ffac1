"""The fused AdamW against its formula and against Keras's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from tfconformer.training.adamw import FusedAdamW
from tfconformer.training.schedules import WarmupCosine

RATE = 1e-2
# Float32 has 1.2e-7; a step divides by a square root and adds three terms.
ROUNDING = 1e-6


def steps(optimizer: keras.optimizers.Optimizer, count: int = 5) -> list[np.ndarray]:
    """Returns three weights, one with sparse gradients, after steps with random gradients."""
    random = np.random.default_rng(3)
    weights = [tf.Variable(random.standard_normal(shape), dtype=tf.float32) for shape in ([4, 3], [5], [6, 2])]
    optimizer.build(weights)

    @tf.function
    def step(dense: tf.Tensor, vector: tf.Tensor, rows: tf.Tensor, indices: tf.Tensor) -> None:
        sparse = tf.IndexedSlices(rows, indices, [6, 2])
        optimizer.apply_gradients(zip([dense, vector, sparse], weights, strict=True))

    for _ in range(count):
        gradients = [tf.constant(random.standard_normal(shape), tf.float32) for shape in ([4, 3], [5], [2, 2])]
        step(*gradients, tf.constant([1, 4]))
    return [weight.numpy() for weight in weights]


def test_steps_are_those_of_the_formula() -> None:
    optimizer = FusedAdamW(RATE, weight_decay=0.1, beta_2=0.98)
    random = np.random.default_rng(3)
    weights = [random.standard_normal(shape).astype(np.float32).astype(float) for shape in ([4, 3], [5], [6, 2])]
    moments = [[np.zeros_like(weight), np.zeros_like(weight)] for weight in weights]
    for t in range(1, 6):
        gradients = [random.standard_normal(shape) for shape in ([4, 3], [5], [2, 2])]
        sparse = np.zeros([6, 2])
        sparse[[1, 4]] = gradients[2]
        for weight, (m, v), gradient in zip(weights, moments, [*gradients[:2], sparse], strict=True):
            weight -= 0.1 * RATE * weight
            m += (1 - 0.9) * (gradient - m)
            v += (1 - 0.98) * (gradient**2 - v)
            weight -= RATE * m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.98**t)) + 1e-7 / np.sqrt(1 - 0.98**t))
    for weight, expected in zip(steps(optimizer), weights, strict=True):
        np.testing.assert_allclose(weight, expected, rtol=10 * ROUNDING, atol=10 * ROUNDING)


@pytest.mark.parametrize(
    "settings",
    [
        {"weight_decay": 0.01, "global_clipnorm": 0.5, "beta_2": 0.98},
        {"learning_rate": WarmupCosine(1e-2, 1e-4, 2, 4), "use_ema": True, "ema_momentum": 0.9},
    ],
)
def test_steps_are_those_of_keras(settings: dict) -> None:
    fused, plain = FusedAdamW(**settings), keras.optimizers.AdamW(**settings)
    for ours, theirs in zip(steps(fused), steps(plain), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=ROUNDING, atol=ROUNDING)
    for ours, theirs in zip(fused.variables, plain.variables, strict=True):
        assert ours.name == theirs.name
        np.testing.assert_allclose(ours, theirs, rtol=ROUNDING, atol=ROUNDING, err_msg=ours.name)


def test_a_checkpoint_of_keras_is_continued(tmp_path: Path) -> None:
    plain = keras.optimizers.AdamW(RATE)
    steps(plain)
    path = tf.train.Checkpoint(optimizer=plain).write(str(tmp_path / "backup"))
    fused = FusedAdamW(RATE)
    tf.train.Checkpoint(optimizer=fused).restore(path)
    steps(fused, count=0)
    for ours, theirs in zip(fused.variables, plain.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_it_is_saved_and_loaded_by_keras() -> None:
    optimizer = FusedAdamW(WarmupCosine(1e-2, 1e-4, 2, 4), weight_decay=0.02)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again, FusedAdamW)
    assert again.get_config() == optimizer.get_config()


def test_what_the_operation_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="has no amsgrad"):
        FusedAdamW(amsgrad=True).build([tf.Variable([1.0])])
