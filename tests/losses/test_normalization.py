"""An utterance without frames and labels, which fills up the part of a replica, changes no loss."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfconformer.layers.masking import NEVER
from tfconformer.losses.ctc import CTCLoss, InfeasibleUtterances
from tfconformer.losses.spectrogram import SpectrogramLoss
from tfconformer.losses.transducer import TransducerLoss

LABELS = tf.constant([[1, 2], [2, -1]])
FILLING = tf.constant([[-1, -1]])


def mean_and_gradient(loss, labels, outputs):
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        value = loss(labels, outputs)
    return float(value), tape.gradient(value, outputs).numpy()


def require_unchanged(loss, labels, outputs, filled_labels, filled_outputs):
    value, gradient = mean_and_gradient(loss, labels, outputs)
    filled, filled_gradient = mean_and_gradient(loss, filled_labels, filled_outputs)
    # The factor B / B rounds once.
    np.testing.assert_allclose(filled, value, rtol=1e-6)
    np.testing.assert_allclose(filled_gradient[:-1], gradient, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(filled_gradient[-1], 0)


def test_ctc():
    logits = tf.random.stateless_normal([2, 6, 4], [0, 1])
    blanks = tf.tile(tf.constant([[[0.0, NEVER, NEVER, NEVER]]]), [1, 6, 1])
    filled = tf.concat([LABELS, FILLING], 0), tf.concat([logits, blanks], 0)
    require_unchanged(CTCLoss(), LABELS, logits, *filled)
    metric = InfeasibleUtterances()
    metric.update_state(*filled)
    assert float(metric.result()) == 0


def test_transducer():
    scores = tf.math.log_softmax(tf.random.stateless_normal([2, 5, 3, 2], [0, 2]))
    forced = tf.tile(tf.constant([[[[0.0, -1e4]]]]), [1, 5, 3, 1])
    value = TransducerLoss()(LABELS, scores)
    filled = TransducerLoss()(tf.concat([LABELS, FILLING], 0), tf.concat([scores, forced], 0))
    np.testing.assert_allclose(filled, value, rtol=1e-6)


def test_spectrogram():
    target = tf.concat([tf.random.stateless_normal([2, 4, 3], [0, 3]), tf.ones([2, 4, 1])], -1)
    output = tf.random.stateless_normal([2, 4, 3], [0, 4])
    nothing = tf.zeros([1, 4, 4])
    require_unchanged(
        SpectrogramLoss(0.5), target, output, tf.concat([target, nothing], 0), tf.concat([output, nothing[..., :3]], 0)
    )
