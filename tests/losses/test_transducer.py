"""The transducer loss against plain loops in float64, cases with a known answer, and finite differences."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfconformer.layers.transducer import lattice_steps
from tfconformer.losses.transducer import TransducerLoss, transducer_log_likelihood


def log_likelihood(scores: np.ndarray, labels: int) -> float:
    """Graves 2012, eq. 16-18, node by node. Scores [T, U + 1, 2]."""
    frames = len(scores)
    alpha = np.full([frames, labels + 1], -np.inf)
    alpha[0, 0] = 0.0
    for t in range(frames):
        for u in range(labels + 1):
            if t:
                alpha[t, u] = np.logaddexp(alpha[t, u], alpha[t - 1, u] + scores[t - 1, u, 0])
            if u:
                alpha[t, u] = np.logaddexp(alpha[t, u], alpha[t, u - 1] + scores[t, u - 1, 1])
    return alpha[-1, -1] + scores[-1, labels, 0]


def log_likelihood_of_steps(scores: np.ndarray, labels: int, steps: tuple[tuple[int, int], ...]) -> float:
    """The same with any steps, each by so many frames and labels. Scores [T, U + 1, steps]."""
    frames = len(scores)
    alpha = np.full([frames + 1, labels + 1], -np.inf)
    alpha[0, 0] = 0.0
    for t in range(frames + 1):
        for u in range(labels + 1):
            for index, (frame, label) in enumerate(steps):
                if t >= frame and u >= label and t - frame < frames:
                    arriving = alpha[t - frame, u - label] + scores[t - frame, u - label, index]
                    alpha[t, u] = np.logaddexp(alpha[t, u], arriving)
    return alpha[-1, -1]


def value_and_gradient(
    scores: np.ndarray, counts: list[int], durations: tuple[int, ...] = ()
) -> tuple[np.ndarray, np.ndarray]:
    @tf.function
    def both(scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(scores)
            value = transducer_log_likelihood(scores, tf.constant(counts), durations)
        return value, tape.gradient(value, scores)

    value, gradient = both(tf.constant(scores))
    return value.numpy(), gradient.numpy()


# Padded batches, no label, one frame, more labels than frames.
SIZES = [(5, 3, [3, 0, 1]), (1, 0, [0]), (1, 3, [3, 2]), (2, 8, [8, 5]), (6, 1, [1, 0])]


@pytest.mark.parametrize(("frames", "labels", "counts"), SIZES)
def test_equals_plain_loops_and_their_finite_differences(frames, labels, counts):
    seed = 7
    print(f"seed {seed}")
    random = np.random.default_rng(seed)
    scores = -random.exponential(size=(len(counts), frames, labels + 1, 2))
    value, gradient = value_and_gradient(scores, counts)
    expected = [log_likelihood(one, count) for one, count in zip(scores, counts, strict=True)]
    np.testing.assert_allclose(value, expected, rtol=1e-12)  # float64 sums in another order
    difference = np.zeros_like(scores)
    for index in np.ndindex(scores.shape):
        step = np.zeros_like(scores)
        step[index] = 1e-5
        row, count = index[0], counts[index[0]]
        rise = log_likelihood((scores + step)[row], count) - log_likelihood((scores - step)[row], count)
        difference[index] = rise / 2e-5
    np.testing.assert_allclose(gradient, difference, atol=1e-8)  # rounding 1e-15 / 1e-5, curvature 1e-10


@pytest.mark.parametrize("durations", [(0, 1), (0, 1, 2, 4), (3, 1)])
@pytest.mark.parametrize(("frames", "labels", "counts"), SIZES)
def test_durations_equal_plain_loops_and_their_finite_differences(frames, labels, counts, durations):
    seed, steps = 8, lattice_steps(durations)
    print(f"seed {seed}")
    scores = -np.random.default_rng(seed).exponential(size=(len(counts), frames, labels + 1, len(steps)))
    value, gradient = value_and_gradient(scores, counts, durations)
    expected = [log_likelihood_of_steps(one, count, steps) for one, count in zip(scores, counts, strict=True)]
    possible = np.isfinite(expected)  # without a duration of 0 there are no more labels than frames
    np.testing.assert_allclose(value[possible], np.array(expected)[possible], rtol=1e-12)  # as above
    assert (value[~possible] < -1e29).all()
    random = np.random.default_rng(seed)
    for index in map(tuple, np.argwhere(possible)[random.integers(0, possible.sum(), 20)] if possible.any() else ()):
        (row,) = index
        index = (row, *(random.integers(0, size) for size in scores.shape[1:]))
        step = np.zeros_like(scores)
        step[index] = 1e-5
        rise, fall = (log_likelihood_of_steps(one[row], counts[row], steps) for one in (scores + step, scores - step))
        np.testing.assert_allclose(gradient[index], (rise - fall) / 2e-5, atol=1e-8)  # as above


def test_counts_alignments():
    """With every step certain the likelihood is the number of alignments: U labels before the last of T blanks."""
    for frames, labels in [(1, 4), (4, 4), (7, 2), (30, 20)]:
        value = transducer_log_likelihood(tf.zeros([1, frames, labels + 1, 2], tf.float64), [labels])
        np.testing.assert_allclose(value, math.log(math.comb(frames - 1 + labels, labels)), rtol=1e-12)


def test_every_alignment_takes_a_blank_in_every_frame_and_every_label_once():
    random = np.random.default_rng(3)
    scores = (-20 * random.exponential(size=(2, 40, 31, 2))).astype(np.float32)
    counts = [30, 12]
    _, gradient = value_and_gradient(scores, counts)
    for row, count in enumerate(counts):
        # Expected numbers of steps, in float32 over 70 diagonals.
        np.testing.assert_allclose(gradient[row, :, :, 0].sum(axis=1), np.ones(40), atol=1e-4)
        np.testing.assert_allclose(gradient[row, :, :count, 1].sum(axis=0), np.ones(count), atol=1e-4)
        assert not gradient[row, :, count:, 1].any()


def test_long_unlikely_utterances_stay_exact_in_float32():
    random = np.random.default_rng(4)
    scores = (-30 * random.exponential(size=(1, 150, 61, 2))).astype(np.float32)
    value = transducer_log_likelihood(scores, [60])
    # 210 additions of float32 to a number that grows to -2000.
    np.testing.assert_allclose(value, log_likelihood(scores[0].astype(np.float64), 60), rtol=210 * 2**-24)


@pytest.mark.parametrize(
    ("frames", "counts", "message"),
    [(0, [1], "at least one frame"), (3, [3], "more labels"), (3, [-1], "negative number")],
)
def test_impossible_lengths_are_refused(frames, counts, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        transducer_log_likelihood(tf.zeros([1, frames, 3, 2]), counts)


def test_the_keras_loss_is_per_label():
    random = np.random.default_rng(5)
    scores = -random.exponential(size=(2, 6, 4, 2))
    labels = np.array([[5, 1, 1], [2, -1, -1]], np.int32)
    total = log_likelihood(scores[0], 3) + log_likelihood(scores[1], 1)
    # Keras averages over the batch; float32.
    np.testing.assert_allclose(TransducerLoss()(labels, tf.constant(scores, tf.float32)), -total / 4, rtol=1e-6)
