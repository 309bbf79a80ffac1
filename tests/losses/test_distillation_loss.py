"""The loss of distillation against its definition in float64."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfconformer.layers.masking import NEVER
from tfconformer.losses.distillation import DistillationLoss


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def test_loss_and_gradient_are_those_of_the_divergence_of_valid_frames_per_label():
    random = np.random.default_rng(5)
    frames, labels = [7, 4], np.array([[3, 1, 2], [2, -1, -1]], np.int32)
    logits = random.normal(0, 3, [2, 2, 7, 5]).astype(np.float32)  # [B, teacher or model, T, V]
    forced = NEVER * (np.arange(5) != 0)
    logits[1, :, 4:] = forced
    value = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = DistillationLoss()(labels, value)
    gradient = tape.gradient(loss, value).numpy()[:, 1]
    expected, slopes = 0.0, np.zeros_like(gradient)
    for index, count in enumerate(frames):
        teacher, model = softmax(logits[index, :, :count].astype(np.float64))
        expected += np.sum(teacher * np.log(teacher / model))
        slopes[index, :count] = (model - teacher) / 4  # labels of the batch
    np.testing.assert_allclose(loss, expected / 4, rtol=1e-5)  # float32 sums of 55 terms
    np.testing.assert_allclose(gradient, slopes, atol=1e-6)


def test_equal_distributions_cost_nothing():
    logits = np.random.default_rng(0).normal(0, 50, [1, 1, 9, 30]).astype(np.float32)
    assert DistillationLoss()(np.array([[1]], np.int32), np.repeat(logits, 2, axis=1)) == 0
