"""The base test of streams: any model, on whole utterances and in pieces of any size, must compute the same."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfconformer.models.streaming import StreamingModel

PIECES = (1, 2, 3, 7, "random")


def assert_streams(
    streaming: StreamingModel, inputs: np.ndarray, pieces: int | str, tolerance: float, seed: int = 0
) -> None:
    """Compares the outputs on `inputs` [B, T, ...] with those of a stream of pieces of that many inputs.

    Also checks that nothing comes later than the model says, and that memory does not grow.
    """
    expected = whole(streaming.model, inputs)
    stream = streaming.open(len(inputs))
    taken, given, outputs, bytes_held = 0, 0, [], set()
    for piece in split(inputs, pieces, seed):
        outputs.append(stream.push(piece))
        taken, given = taken + piece.shape[1], given + outputs[-1].shape[1]
        out = taken // streaming.step_multiple * streaming.step_multiple // streaming.stride - streaming.delay
        assert given == max(0, out), f"after {taken} inputs"
        bytes_held.add(sum(value.numpy().nbytes for value in stream.state.values()))
    outputs.append(stream.finish())
    actual = np.concatenate(outputs, axis=1)
    assert actual.shape == expected.shape
    assert len(bytes_held) <= 1
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance, err_msg=f"pieces {pieces}, seed {seed}")


def whole(model: keras.Model, inputs: np.ndarray) -> np.ndarray:
    """The output of a model on whole utterances."""
    lengths = np.full(len(inputs), inputs.shape[1], np.int32)
    (outputs,) = [one for one in tf.nest.flatten(model([inputs, lengths])) if one.dtype.is_floating]
    return outputs.numpy()


def split(inputs: np.ndarray, pieces: int | str, seed: int) -> Iterator[np.ndarray]:
    """`inputs` in pieces of that many, or of random numbers of them, 0 included."""
    random, start = np.random.default_rng(seed), 0
    while start < inputs.shape[1]:
        size = int(random.integers(0, max(2, inputs.shape[1] // 3))) if pieces == "random" else int(pieces)
        yield inputs[:, start : start + size]
        start += size
