"""The CTC loss against the forward recursion of the paper in float64, and its gradient by finite differences."""

import numpy as np
import tensorflow as tf

from tfconformer.layers.masking import BlankBeyondEnd, frame_mask
from tfconformer.losses.ctc import CTCLoss, InfeasibleUtterances
from tfconformer.training.schedules import WarmupCosine


def negative_log_likelihood(logits: np.ndarray, labels: list[int]) -> float:
    """Graves et al. 2006, eq. 5-8: sums the probabilities of all alignments."""
    probabilities = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities /= probabilities.sum(-1, keepdims=True)
    extended = [0, *(symbol for label in labels for symbol in (label, 0))]
    alpha = np.zeros(len(extended))
    alpha[0] = probabilities[0, 0]
    if len(extended) > 1:
        alpha[1] = probabilities[0, extended[1]]
    for frame in probabilities[1:]:
        previous = alpha.copy()
        for s, symbol in enumerate(extended):
            total = previous[s] + (previous[s - 1] if s else 0.0)
            if s > 1 and symbol != 0 and symbol != extended[s - 2]:
                total += previous[s - 2]
            alpha[s] = total * frame[symbol]
    return -np.log(alpha[-1] + (alpha[-2] if len(alpha) > 1 else 0.0))


def test_equals_the_forward_recursion_per_label():
    seed = 5
    print(f"seed {seed}")
    random = np.random.default_rng(seed)
    logits = random.normal(size=(3, 9, 5))
    lengths = [9, 6, 4]
    sentences = [[1, 2, 2, 4], [3], [4, 4]]
    labels = np.full((3, 5), -1)
    for row, sentence in zip(labels, sentences, strict=True):
        row[: len(sentence)] = sentence

    def loss(values: np.ndarray) -> tf.Tensor:
        marked = BlankBeyondEnd()([tf.cast(values, tf.float32), frame_mask(tf.constant(lengths), 9)])
        return CTCLoss()(tf.constant(labels), marked)

    expected = sum(
        negative_log_likelihood(x[:n], sentence) for x, n, sentence in zip(logits, lengths, sentences, strict=True)
    ) / sum(map(len, sentences))
    np.testing.assert_allclose(loss(logits).numpy(), expected, rtol=1e-5)  # float32

    variable = tf.constant(logits, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        value = loss(variable)
    gradient = tape.gradient(value, variable).numpy()
    for index in [(0, 0, 0), (0, 4, 2), (1, 5, 3), (2, 1, 4)]:
        step = np.zeros_like(logits)
        step[index] = 0.05
        difference = (loss(logits + step).numpy() - loss(logits - step).numpy()) / 0.1
        # Central differences of a float32 loss around 2: rounding 1e-6 / 0.1, curvature 0.05^2.
        np.testing.assert_allclose(gradient[index], difference, atol=2e-3)
    assert np.all(gradient[1, 6:] == 0) and np.all(gradient[2, 4:] == 0)


def test_more_labels_than_frames_contribute_nothing():
    impossible, possible = [1, 2, 3, 1, 2], [3, 1, -1, -1, -1]
    logits = tf.zeros([2, 3, 4])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = CTCLoss(reduction="none")(tf.constant([impossible, possible]), logits)
    assert loss[0] == 0 and loss[1] > 0
    assert np.all(tape.gradient(loss, logits).numpy()[0] == 0)


def test_blanks_between_equal_labels_need_frames_too():
    """22 characters and six blanks in 25 frames, as in an utterance of a second; and the same in 27 and 28."""
    text = "MISSISSIPPI BOOKKEEPER"
    labels = [sorted(set(text)).index(character) + 1 for character in text]
    assert len(labels) == 22
    lengths = tf.constant([25, 27, 28, 0])
    logits = tf.random.stateless_normal([4, 30, 14], seed=(1, 2))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        marked = BlankBeyondEnd()([logits, frame_mask(lengths, 30)])
        loss = CTCLoss(reduction="none")(tf.constant([labels] * 4), marked)
    gradient = tape.gradient(loss, logits).numpy()
    assert loss.numpy()[[0, 1, 3]].tolist() == [0, 0, 0] and np.all(gradient[[0, 1, 3]] == 0)
    expected = 4 / (4 * 22) * negative_log_likelihood(logits[2, :28].numpy(), labels)
    np.testing.assert_allclose(loss[2], expected, rtol=1e-5)  # float32
    assert np.any(gradient[2] != 0)
    count = InfeasibleUtterances()
    for _ in range(2):
        count.update_state(tf.constant([labels] * 4), marked)
    assert count.result() == 6


def test_schedule_rises_linearly_and_falls_to_the_end():
    schedule = WarmupCosine(peak=1e-3, final=1e-5, warmup_steps=10, total_steps=110)
    rates = np.array([float(schedule(step)) for step in range(120)])
    np.testing.assert_allclose(rates[:10], 1e-3 * np.arange(1, 11) / 10, rtol=1e-6)
    assert rates.argmax() in (9, 10)
    np.testing.assert_allclose(rates[60], (1e-3 + 1e-5) / 2, rtol=1e-4)
    np.testing.assert_allclose(rates[110:], 1e-5, rtol=1e-4)
    assert np.all(np.diff(rates[10:]) <= 0)
