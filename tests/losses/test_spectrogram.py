"""The losses of a spectrogram decoder against loops in float64."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from tfconformer.losses.spectrogram import SpectrogramLoss, StopLoss

RANDOM = np.random.default_rng(0)
WEIGHTS = np.array([[1, 1, 1, 0], [1, 0, 0, 0]], np.float32)


@pytest.mark.parametrize("squared", [0.0, 0.5])
def test_spectrogram_loss_is_the_mean_over_what_counts(squared: float) -> None:
    target, made = (RANDOM.normal(size=[2, 4, 3]).astype(np.float32) for _ in range(2))
    made[WEIGHTS == 0] = 1e6
    with_weights = np.concatenate([target, WEIGHTS[..., np.newaxis]], axis=-1)
    errors = [
        abs(float(made[b, s, i]) - target[b, s, i]) + squared * (float(made[b, s, i]) - target[b, s, i]) ** 2
        for b in range(2) for s in range(4) for i in range(3) if WEIGHTS[b, s]
    ]  # fmt: skip
    loss = SpectrogramLoss(squared)(with_weights, made)
    np.testing.assert_allclose(loss, np.mean(errors), rtol=1e-6)


def test_stop_loss_is_the_weighted_cross_entropy_of_what_counts() -> None:
    label = np.array([[0, 0, 1, 1], [1, 1, 1, 1]], np.float32)
    logits = RANDOM.normal(size=[2, 4, 1]).astype(np.float32)
    losses = []
    for b in range(2):
        for s in range(4):
            probability = 1 / (1 + np.exp(-float(logits[b, s, 0])))
            entropy = -3.0 * np.log(probability) if label[b, s] else -np.log(1 - probability)
            losses += [entropy] * int(WEIGHTS[b, s])
    loss = StopLoss(positive_weight=3.0)(np.stack([label, WEIGHTS], axis=-1), logits)
    np.testing.assert_allclose(loss, np.mean(losses), rtol=1e-6)


def test_a_batch_in_which_nothing_counts_has_no_loss() -> None:
    assert SpectrogramLoss()(tf.zeros([1, 2, 4]), tf.ones([1, 2, 3])) == 0


def test_losses_are_restored_from_their_configurations() -> None:
    for loss in (SpectrogramLoss(0.3), StopLoss(2.0)):
        restored = keras.losses.deserialize(keras.losses.serialize(loss))
        assert restored.get_config() == loss.get_config()
