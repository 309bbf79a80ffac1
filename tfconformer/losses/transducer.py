"""The exact transducer loss (Graves 2012, 1211.3711): the probability of a transcript over all its alignments.

An alignment is a path through the lattice of nodes (frame t, labels so far u), from (0, 0) to (T, U) behind the last
frame: a blank leads to the next frame, a label to the next u. With a(t, u) the probability of all paths to a node,

    a(t, u) = a(t-1, u) blank(t-1, u) + a(t, u-1) label(t, u-1)

is computed in logarithms along the diagonals t + u, whose nodes do not depend on each other. With durations there are
more steps (token-and-duration transducer, 2304.06795), a blank or a label with every duration, and more terms. The
backward pass is the derivative of that recursion: the probability that an alignment of the transcript takes a step,
computed from the share of each step in the probability of the node it leads to. No term is a small difference of large
numbers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from tfconformer.data.pipeline import LABEL_PADDING
from tfconformer.layers.registry import register
from tfconformer.layers.transducer import Step, lattice_steps
from tfconformer.losses.normalization import per_unit

# Logarithm of probability 0: finite, so that differences are finite, and below all values that a network computes.
_IMPOSSIBLE = -1e30


@register
class TransducerLoss(keras.losses.Loss):
    """Negative log-likelihood of the labels, per label.

    Call: (labels [B, U] int32 padded with -1, scores [B, T, U + 1, steps] float32, log-probabilities of the steps from
    every node, see `lattice_steps`) -> [B] losses, scaled so that their mean is the batch's negative log-likelihood
    divided by its number of labels: utterances are weighted by their length.

    Args:
      durations: see `lattice_steps`.
    """

    def __init__(self, durations: Sequence[int] = (), name: str = "transducer_loss", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.durations = tuple(durations)

    def call(self, labels: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
        counts = tf.reduce_sum(tf.cast(labels != LABEL_PADDING, tf.int32), axis=1)
        losses = -transducer_log_likelihood(scores, counts, self.durations)
        return per_unit(losses, tf.cast(tf.reduce_sum(counts), losses.dtype))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "durations": self.durations}


def transducer_log_likelihood(scores: tf.Tensor, label_counts: tf.Tensor, durations: Sequence[int] = ()) -> tf.Tensor:
    """Computes the log-probability of transcripts, with its gradient.

    Args:
      scores: [B, T, U + 1, steps] float, log-probabilities of the steps from every node, see `lattice_steps`; without
        durations the blank and the transcript's next label. After the last frame of an utterance the blank is forced
        (0), so that lengths in frames are not needed.
      label_counts: [B] int32, length of each transcript, 0 to U; scores beyond it are ignored.
      durations: see `lattice_steps`.

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
        diagonals = tuple(map(_diagonals, tf.unstack(scores, axis=-1, num=len(lattice_steps(durations)))))
    ends = tf.stack([frames + label_counts, tf.range(shape[0]), label_counts], axis=1)
    return _log_likelihood(diagonals, lattice_steps(durations), ends)


def _log_likelihood(scores: tuple[tf.Tensor, ...], steps: Sequence[Step], ends: tf.Tensor) -> tf.Tensor:
    """Computes log-likelihoods [B].

    Args:
      scores: of each step, [D, B, U + 1] by diagonal.
      steps: the steps.
      ends: [B, 3], the nodes (d, b, u) behind the last frames.
    """
    distances = [frames + labels for frames, labels in steps]  # in diagonals
    kinds = list(zip(distances, (labels for _, labels in steps), strict=True))

    @tf.custom_gradient
    def compute(*scores: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
        arriving = tuple(_later(one, distance) for one, distance in zip(scores, distances, strict=True))
        nowhere = tf.zeros_like(scores[0][0]) + _IMPOSSIBLE
        origin = tf.one_hot(
            tf.zeros_like(nowhere[:, 0], tf.int32), tf.shape(nowhere)[1], 0.0, _IMPOSSIBLE, dtype=nowhere.dtype
        )

        def forward(before: tf.Tensor, arriving: tuple[tf.Tensor, ...]) -> tf.Tensor:
            terms = (
                _next(before[distance - 1] + one, labels)
                for one, (distance, labels) in zip(arriving, kinds, strict=True)
            )
            return tf.concat([functools.reduce(_log_add, terms)[tf.newaxis], before[:-1]], axis=0)

        # Diagonals as far back as the longest step, the latest first.
        before = tf.stack([origin, *[nowhere] * (max(distances) - 1)])
        alphas = tf.scan(forward, tuple(one[1:] for one in arriving), before)[:, 0]
        alphas = tf.concat([origin[tf.newaxis], alphas], axis=0)

        def backward(upstream: tf.Tensor) -> tuple[tf.Tensor, ...]:
            # The share of a step in the probability of the node it leads to.
            shares = [
                tf.exp(_next(_later(alphas, distance) + one, labels) - alphas)
                for one, (distance, labels) in zip(arriving, kinds, strict=True)
            ]
            to_ends = tf.scatter_nd(ends, upstream, tf.shape(alphas, out_type=ends.dtype))

            def back(after: tf.Tensor, inputs: tuple[tf.Tensor, tuple[tf.Tensor, ...]]) -> tf.Tensor:
                passed, leaving = inputs
                for share, (distance, labels) in zip(leaving, kinds, strict=True):
                    passed += _previous(after[distance - 1] * share, labels)
                return tf.concat([passed[tf.newaxis], after[:-1]], axis=0)

            leaving = tuple(_earlier(share, distance) for share, distance in zip(shares, distances, strict=True))
            passed = tf.scan(back, (to_ends, leaving), tf.zeros_like(before), reverse=True)[:, 0]
            return tuple(
                _earlier(_previous(passed * share, labels), distance)
                for share, (distance, labels) in zip(shares, kinds, strict=True)
            )

        return tf.gather_nd(alphas, ends), backward

    return compute(*scores)


def _diagonals(x: tf.Tensor) -> tf.Tensor:
    """Skews [B, T, W] to [T + W, B, W]: entry (t, u) moves to (t + u, u); all other entries are impossible."""
    shape = tf.shape(x)
    batch, frames, width = shape[0], shape[1] + 1, shape[2]  # with the nodes behind the last frame
    x = tf.pad(tf.transpose(x, [0, 2, 1]), [[0, 0], [0, 0], [0, width + 1]], constant_values=_IMPOSSIBLE)
    # Reading the flat rows with a length that is smaller by one shifts row u to the right by u.
    flat = tf.reshape(x, [batch, width * (frames + width)])[:, : width * (frames + width - 1)]
    return tf.transpose(tf.reshape(flat, [batch, width, frames + width - 1]), [2, 0, 1])


def _log_add(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    return tf.maximum(a, b) + tf.math.softplus(-tf.abs(a - b))


def _later(x: tf.Tensor, distance: int) -> tf.Tensor:
    """Shifts the first axis: entry d moves to d + distance, and the first ones become impossible."""
    padding = [[distance, 0], *[[0, 0]] * (x.shape.rank - 1)]
    return tf.pad(x, padding, constant_values=_IMPOSSIBLE)[: tf.shape(x)[0]]


def _earlier(x: tf.Tensor, distance: int) -> tf.Tensor:
    """Shifts the first axis: entry d moves to d - distance, and the last ones become 0."""
    return tf.pad(x, [[0, distance], *[[0, 0]] * (x.shape.rank - 1)])[distance:]


def _next(x: tf.Tensor, labels: int) -> tf.Tensor:
    """Shifts the last axis: entry u moves to u + labels, and the first ones become impossible."""
    padding = [[0, 0]] * (x.shape.rank - 1)
    return tf.pad(x, [*padding, [labels, 0]], constant_values=_IMPOSSIBLE)[..., : tf.shape(x)[-1]] if labels else x


def _previous(x: tf.Tensor, labels: int) -> tf.Tensor:
    """Shifts the last axis: entry u moves to u - labels, and the last ones become 0."""
    return tf.pad(x, [*[[0, 0]] * (x.shape.rank - 1), [0, labels]])[..., labels:]
