"""The exact transducer loss (Graves 2012, 1211.3711): the probability of a transcript over all its alignments.

An alignment is a path through the lattice of nodes (frame t, labels so far u), from (0, 0) to the end: a blank leads to
the next frame, a label to the next u. With a(t, u) the probability of all paths to a node,

    a(t, u) = a(t-1, u) blank(t-1, u) + a(t, u-1) label(t, u-1)

is computed in logarithms along the diagonals t + u, whose nodes do not depend on each other. The backward pass is the
derivative of that recursion: the probability that an alignment of the transcript takes a step, computed from the share
of each step in the probability of the node it leads to. No term is a small difference of large numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras as keras

from tfconformer.data.pipeline import LABEL_PADDING
from tfconformer.layers.registry import register
from tfconformer.losses.normalization import per_unit

# Logarithm of probability 0: finite, so that differences are finite, and below all values that a network computes.
_IMPOSSIBLE = -1e30


@register
class TransducerLoss(keras.losses.Loss):
    """Negative log-likelihood of the labels, per label.

    Call: (labels [B, U] int32 padded with -1, scores [B, T, U + 1, 2] float32, log-probabilities of the blank and of
    the next label at every node) -> [B] losses, scaled so that their mean is the batch's negative log-likelihood
    divided by its number of labels: utterances are weighted by their length.
    """

    def __init__(self, name: str = "transducer_loss", **kwargs: Any):
        super().__init__(name=name, **kwargs)

    def call(self, labels: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
        counts = tf.reduce_sum(tf.cast(labels != LABEL_PADDING, tf.int32), axis=1)
        losses = -transducer_log_likelihood(scores, counts)
        return per_unit(losses, tf.cast(tf.reduce_sum(counts), losses.dtype))


def transducer_log_likelihood(scores: tf.Tensor, label_counts: tf.Tensor) -> tf.Tensor:
    """Computes the log-probability of transcripts, with its gradient.

    Args:
      scores: [B, T, U + 1, 2] float, log-probabilities of the blank and of the transcript's next label at every node.
        After the last frame of an utterance the blank is forced (0), so that lengths in frames are not needed.
      label_counts: [B] int32, length of each transcript, 0 to U; scores beyond it are ignored.

    Returns:
      [B] float, at most 0.

    Raises:
      tf.errors.InvalidArgumentError: T is 0, or a count is outside 0 to U.
    """
    shape = tf.shape(scores)
    frames, width = shape[1], shape[2]
    with tf.control_dependencies(
        [
            tf.debugging.assert_positive(frames, "the transducer loss needs at least one frame"),
            tf.debugging.assert_non_negative(label_counts, "a transcript has a negative number of labels"),
            tf.debugging.assert_less(label_counts, width, "a transcript has more labels than the lattice has room for"),
        ]
    ):
        blank, label = _diagonals(scores[..., 0], 0.0), _diagonals(scores[..., 1], _IMPOSSIBLE)
    ends = tf.stack([frames - 1 + label_counts, tf.range(shape[0]), label_counts], axis=1)
    return _log_likelihood(blank, label, ends)


@tf.custom_gradient
def _log_likelihood(blank: tf.Tensor, label: tf.Tensor, ends: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    """Computes log-likelihoods [B] from step scores by diagonal [D, B, U + 1] and end nodes [B, 3] = (d, b, u)."""
    start = tf.one_hot(tf.zeros_like(blank[0, :, 0], tf.int32), tf.shape(blank)[2], 0.0, _IMPOSSIBLE, dtype=blank.dtype)

    def forward(alpha: tf.Tensor, steps: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        return _log_add(alpha + steps[0], _next(alpha + steps[1], _IMPOSSIBLE))

    reached = tf.scan(forward, (blank[:-1], label[:-1]), initializer=start)
    alphas = tf.concat([start[tf.newaxis], reached], axis=0)
    last_blank = tf.gather_nd(blank, ends)

    def backward(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, None]:
        # The share of a step in the probability of the node it leads to.
        blank_share = tf.exp(alphas[:-1] + blank[:-1] - alphas[1:])
        label_share = tf.exp(_next(alphas[:-1] + label[:-1], _IMPOSSIBLE) - alphas[1:])
        to_ends = tf.scatter_nd(ends, upstream, tf.shape(alphas, out_type=ends.dtype))

        def back(after: tf.Tensor, steps: tuple[tf.Tensor, ...]) -> tf.Tensor:
            end, blank_share, label_share = steps
            return end + after * blank_share + _previous(after * label_share)

        passed = tf.scan(back, (to_ends[:-1], blank_share, label_share), initializer=to_ends[-1], reverse=True)
        passed = tf.concat([passed[1:], to_ends[-1:]], axis=0)
        nothing = tf.zeros_like(passed[:1])
        to_blank = tf.concat([passed * blank_share, nothing], axis=0) + to_ends
        return to_blank, tf.concat([_previous(passed * label_share), nothing], axis=0), None

    return tf.gather_nd(alphas, ends) + last_blank, backward


def _diagonals(x: tf.Tensor, outside: float) -> tf.Tensor:
    """Skews [B, T, W] to [T + W - 1, B, W]: entry (t, u) moves to (t + u, u); all other entries are `outside`."""
    shape = tf.shape(x)
    batch, frames, width = shape[0], shape[1], shape[2]
    x = tf.pad(tf.transpose(x, [0, 2, 1]), [[0, 0], [0, 0], [0, width]], constant_values=outside)
    # Reading the flat rows with a length that is smaller by one shifts row u to the right by u.
    flat = tf.reshape(x, [batch, width * (frames + width)])[:, : width * (frames + width - 1)]
    return tf.transpose(tf.reshape(flat, [batch, width, frames + width - 1]), [2, 0, 1])


def _log_add(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    return tf.maximum(a, b) + tf.math.softplus(-tf.abs(a - b))


def _next(x: tf.Tensor, first: float) -> tf.Tensor:
    """Shifts the last axis by one: entry u moves to u + 1, entry 0 becomes `first`."""
    padding = [[0, 0]] * (x.shape.rank - 1)
    return tf.pad(x[..., :-1], [*padding, [1, 0]], constant_values=first)


def _previous(x: tf.Tensor) -> tf.Tensor:
    """Shifts the last axis by one: entry u moves to u - 1, the last entry becomes 0."""
    return tf.pad(x[..., 1:], [*[[0, 0]] * (x.shape.rank - 1), [0, 1]])
