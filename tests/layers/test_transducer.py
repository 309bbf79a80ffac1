"""The transducer's layers: the LSTM against Keras', the lattice of the joint network against a materialized one."""

import numpy as np
import pytest
import tensorflow as tf

from tfconformer.layers import transducer
from tfconformer.layers.transducer import JointHead, LabelHistory, OneHotLabels, TransducerLattice, lattice_steps


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_labels_become_what_was_before_them():
    labels = tf.constant([[3, 1], [2, -1]])
    history = LabelHistory()(labels)
    np.testing.assert_array_equal(history, [[0, 3, 1], [0, 2, -1]])
    vectors = OneHotLabels(3)(history).numpy()
    assert vectors.shape == (2, 3, 3)
    assert not vectors[:, 0].any()
    assert not vectors[1, 2].any()
    assert (vectors[0, 1].argmax(), vectors[0, 2].argmax(), vectors[1, 1].argmax()) == (2, 0, 1)


LABELS = np.array([[3, 1, 4], [2, -1, -1]], np.int32)
LENGTHS = [9, 5]


def lattice(head: TransducerLattice, encodings: tf.Tensor, predictions: tf.Tensor) -> tf.Tensor:
    """The scores from the whole tensor of logits."""
    hidden = tf.tanh(encodings[:, :, tf.newaxis] + predictions[:, tf.newaxis])
    logs = tf.nn.log_softmax(tf.tensordot(hidden, head.kernel, 1) + head.bias)
    following = np.maximum(np.pad(LABELS, [[0, 0], [0, 1]]), 0)
    chosen = tf.gather(logs, np.repeat(following[:, np.newaxis], 9, axis=1), batch_dims=3)
    return tf.stack([logs[..., 0], chosen], axis=-1)


@pytest.mark.parametrize("chunk_values", [2**22, 100, 1], ids=["one chunk", "chunks of two frames", "single frames"])
def test_the_lattice_in_chunks_is_the_whole_lattice(chunk_values, monkeypatch):
    monkeypatch.setattr(transducer, "_CHUNK_VALUES", chunk_values)
    encodings, predictions = tf.constant(normal(2, 9, 6)), tf.constant(normal(2, 4, 6, seed=1))
    mask = tf.sequence_mask(LENGTHS, 9, tf.float32)[..., tf.newaxis]
    head = TransducerLattice(5)
    head([encodings, predictions, LABELS, mask])
    head.bias.assign(normal(5, seed=2))
    weight = normal(2, 9, 4, 2, seed=3) * mask.numpy()[..., np.newaxis]
    weight[1, :, 1:, 1] = 0  # nobody looks at labels behind the transcript
    weight[0, :, 3:, 1] = 0

    def measured(scores: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(scores * weight)

    @tf.function
    def both() -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        sources = [encodings, predictions, head.kernel, head.bias]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(sources)
            scores = head([encodings, predictions, LABELS, mask])
            values = [measured(scores), measured(lattice(head, encodings, predictions))]
        return scores, values, [tape.gradient(value, sources) for value in values]

    scores, (ours, theirs), (gradients, expected) = both()
    # Float32 sums of some hundred terms around 1.
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    for one, other in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)
    np.testing.assert_array_equal(scores[1, 5:, :, 0], np.zeros([4, 4]))
    assert (scores[1, 5:, :, 1].numpy() < -1000).all()


def test_steps_with_durations():
    """The scores of all steps, those out of the utterance impossible."""
    durations = (0, 1, 3)
    steps = ((1, 0), (3, 0), (0, 1), (1, 1), (3, 1))
    assert lattice_steps(durations) == steps
    encodings, predictions = normal(2, 9, 6), normal(2, 4, 6, seed=1)
    mask = tf.sequence_mask(LENGTHS, 9, tf.float32)[..., tf.newaxis]
    head = TransducerLattice(5 + 3, "relu", durations)
    scores = head([encodings, predictions, LABELS, mask]).numpy()
    joined = JointHead(head)([encodings[:, :, tf.newaxis], predictions[:, tf.newaxis]])
    logs, of_durations = (tf.nn.log_softmax(part).numpy() for part in (joined[..., :5], joined[..., 5:]))
    for row, length in enumerate(LENGTHS):
        for frame, node in np.ndindex(9, 4):
            following = LABELS[row, node] if node < 3 else 0
            for step, score in zip(steps, scores[row, frame, node], strict=True):
                duration, label = step
                if frame >= length:
                    assert score == 0.0 if step == (1, 0) else score < -1000
                elif frame + duration + label > length:
                    assert score < -1000
                elif following > 0 or not label:
                    at = row, frame, node
                    expected = logs[at][following if label else 0] + of_durations[at][durations.index(duration)]
                    np.testing.assert_allclose(score, expected, atol=1e-5)  # float32 logarithms of values around 1


def test_logits_of_a_search_are_those_of_the_lattice():
    encodings, predictions = normal(2, 9, 6), normal(2, 4, 6, seed=1)
    head = TransducerLattice(5)
    scores = head([encodings, predictions, LABELS, tf.ones([2, 9, 1])])
    logits = JointHead(head)([encodings[:, 4], predictions[:, 0]])
    logs = tf.nn.log_softmax(logits).numpy()
    np.testing.assert_allclose(scores[:, 4, 0, 0], logs[:, 0], atol=1e-6)
    np.testing.assert_allclose(scores[:, 4, 0, 1], logs[[0, 1], LABELS[:, 0]], atol=1e-6)


def test_an_utterance_without_frames_is_refused():
    mask = tf.sequence_mask([9, 0], 9, tf.float32)[..., None]
    with pytest.raises(tf.errors.InvalidArgumentError, match="no frame"):
        TransducerLattice(5)([normal(2, 9, 6), normal(2, 4, 6), LABELS, mask])
