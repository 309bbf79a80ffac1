"""Parts of the transducer (Graves 2012, 1211.3711): the prediction network's recurrence and the joint network's head.

Both hold their matrix as `Dense` does, so that the same rules quantize it, its product in integers included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras as keras

from tfconformer.layers.dense import Dense, Matmul, float_matmul
from tfconformer.layers.masking import NEVER
from tfconformer.layers.registry import register

# Largest number of values of one tensor that the joint network holds at a time, 16 MiB of float32.
_PIECE_VALUES = 2**22


@register
class LabelHistory(keras.layers.Layer):
    """Labels [B, U] -> [B, U + 1]: the label before each place of a transcript, the blank at its beginning."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.pad(inputs, [[0, 0], [1, 0]])


@register
class OneHotLabels(keras.layers.Layer):
    """Labels [B, U] int32 -> [B, U, vocabulary] float32: label i at i - 1, zeros for the blank (0) and padding (-1).

    So the embedding is a dense layer like any other, and a transcript begins with a vector of zeros, as in 1211.3711.
    """

    def __init__(self, vocabulary: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.vocabulary = vocabulary

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        # Not one_hot(inputs - 1): the TFLite converter would make a table of it, and look up the blank in row -1.
        return tf.one_hot(inputs, self.vocabulary + 1)[..., 1:]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "vocabulary": self.vocabulary}


@register
class ZeroState(keras.layers.Layer):
    """Anything [B, ...] -> the state of an LSTM before the first label: (hidden, cell), zeros [B, units] each."""

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = units

    def call(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        zeros = tf.zeros([tf.shape(inputs)[0], self.units])
        return zeros, zeros

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@register
class Recurrence(Dense):
    """The recurrent half of an LSTM; a `Dense` of 4 * `units` outputs before it is the other half.

    Call: (inputs to the gates [B, U, 4 * units], hidden [B, units], cell [B, units]) -> (outputs [B, U, units],
    hidden, cell). The gates are, in this order, input, forget, candidate and output; the forget gate has a bias of 1
    besides the trained one (Jozefowicz et al. 2015).

    Attributes:
      kernel: [units, 4 * units].
    """

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(4 * units, use_bias=False, **kwargs)

    def _contraction(self, input_shape: Any) -> int:
        return int(input_shape[1][-1])

    def call(
        self, inputs: tuple[tf.Tensor, tf.Tensor, tf.Tensor], matmul: Matmul = float_matmul
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        gates, hidden, cell = inputs

        def step(state: tuple[tf.Tensor, tf.Tensor], gates: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            hidden, cell = state
            enter, keep, candidate, leave = tf.split(gates + self.affine(hidden, matmul), 4, axis=-1)
            cell = tf.sigmoid(keep + 1.0) * cell + tf.sigmoid(enter) * tf.tanh(candidate)
            return tf.sigmoid(leave) * tf.tanh(cell), cell

        if gates.shape[1] == 1:  # a step of its own needs no loop
            hidden, cell = step((hidden, cell), gates[:, 0])
            return hidden[:, tf.newaxis], hidden, cell
        hiddens, cells = tf.scan(step, tf.transpose(gates, [1, 0, 2]), (hidden, cell))
        return tf.transpose(hiddens, [1, 0, 2]), hiddens[-1], cells[-1]

    def compute_output_shape(self, input_shape: tuple[tf.TensorShape, ...]) -> tuple[tf.TensorShape, ...]:
        gates, hidden, cell = map(tf.TensorShape, input_shape)
        return tf.TensorShape([*gates[:2], hidden[-1]]), hidden, cell

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["use_bias"]
        return {**config, "units": self.units // 4}


@register
class JointHead(Dense):
    """The joint network behind its two projections: logits = tanh(encoding + prediction) @ kernel + bias.

    Two calls:
      (encoding [..., J], prediction [..., J]) -> logits [..., vocabulary + 1], the blank at 0: a step of a search.
      (encodings [B, T, J], predictions [B, U + 1, J], labels [B, U] int32 padded with -1, mask [B, T, 1]) ->
        [B, T, U + 1, 2]: log-probabilities of the blank and of the next label at every node of the training lattice,
        which is all that the loss needs. Behind the end of an utterance the blank is certain.

    The [B, T, U + 1, vocabulary + 1] logits of the lattice never exist at once: they are made, and in the backward
    pass made again, for as many frames at a time as fit `_PIECE_VALUES`.
    """

    def _contraction(self, input_shape: Any) -> int:
        return int(input_shape[0][-1])

    def call(self, inputs: tuple[tf.Tensor, ...], matmul: Matmul = float_matmul) -> tf.Tensor:
        if len(inputs) == 2:
            return self.affine(tf.tanh(inputs[0] + inputs[1]), matmul)
        encodings, predictions, labels, mask = inputs
        tf.debugging.assert_positive(tf.reduce_sum(mask, axis=[1, 2]), "an utterance of the batch has no frame")
        following = tf.pad(labels, [[0, 0], [0, 1]])  # nobody looks at what follows the last label
        scores = _lattice_scores(matmul, encodings, predictions, self.kernel, self.bias, following)
        return tf.where(mask[:, :, tf.newaxis] > 0, scores, [0.0, NEVER])

    def compute_output_shape(self, input_shape: tuple[tf.TensorShape, ...]) -> tf.TensorShape:
        shapes = list(map(tf.TensorShape, input_shape))
        if len(shapes) == 2:
            return super().compute_output_shape(shapes[0])
        return tf.TensorShape([*shapes[0][:2], shapes[1][1], 2])


def _lattice_scores(
    matmul: Matmul,
    encodings: tf.Tensor,
    predictions: tf.Tensor,
    kernel: tf.Tensor,
    bias: tf.Tensor,
    labels: tf.Tensor,
) -> tf.Tensor:
    """[B, T, J] and [B, W, J] -> [B, T, W, 2], log-probabilities of the blank and of `labels` [B, W]."""
    shape, width, symbols = tf.shape(encodings), tf.shape(labels)[1], tf.shape(bias)[0]
    batch, frames = shape[0], shape[1]
    chosen = tf.one_hot(labels, symbols)[:, tf.newaxis]
    frame_values = batch * width * tf.maximum(symbols, shape[2])
    piece = tf.clip_by_value(_PIECE_VALUES // tf.maximum(frame_values, 1), 1, tf.maximum(frames, 1))
    pieces = -(-frames // piece)

    def in_pieces(x: tf.Tensor) -> tf.Tensor:
        """[B, T, ...] -> [pieces, B, piece, ...]."""
        padded = tf.pad(x, [[0, 0], [0, pieces * piece - frames], *[[0, 0]] * (x.shape.rank - 2)])
        split = tf.reshape(padded, tf.concat([[batch, pieces, piece], tf.shape(x)[2:]], axis=0))
        return tf.transpose(split, [1, 0, 2, *range(3, split.shape.rank)])

    def joined(x: tf.Tensor) -> tf.Tensor:
        """[pieces, B, piece, ...] -> [B, T, ...]."""
        x = tf.transpose(x, [1, 0, 2, *range(3, x.shape.rank)])
        return tf.reshape(x, tf.concat([[batch, pieces * piece], tf.shape(x)[3:]], axis=0))[:, :frames]

    def score(encodings: tf.Tensor, predictions: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        hidden = tf.tanh(encodings[:, :, tf.newaxis] + predictions[:, tf.newaxis])
        logits = tf.nn.bias_add(matmul(hidden, kernel), bias)
        two = tf.stack([logits[..., 0], tf.reduce_sum(logits * chosen, axis=-1)], axis=-1)
        return two - tf.reduce_logsumexp(logits, axis=-1, keepdims=True)

    @tf.custom_gradient
    def scores(
        encodings: tf.Tensor, predictions: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, ...]]]:
        split = in_pieces(encodings)

        def backward(upstream: tf.Tensor) -> tuple[tf.Tensor, ...]:
            upstreams = in_pieces(upstream)

            def add(index: tf.Tensor, to_encodings: tf.TensorArray, *sums: tf.Tensor) -> tuple[Any, ...]:
                sources = (split[index], predictions, kernel, bias)
                with tf.GradientTape() as tape:
                    tape.watch(sources)
                    result = score(*sources)
                first, *others = tape.gradient(result, sources, upstreams[index])
                summed = (total + one for total, one in zip(sums, others, strict=True))
                return index + 1, to_encodings.write(index, first), *summed

            start = (0, tf.TensorArray(split.dtype, pieces), *map(tf.zeros_like, (predictions, kernel, bias)))
            _, to_encodings, *sums = tf.while_loop(lambda index, *_: index < pieces, add, start)
            return joined(to_encodings.stack()), *sums

        return joined(tf.map_fn(lambda one: score(one, predictions, kernel, bias), split)), backward

    return scores(*map(tf.convert_to_tensor, (encodings, predictions, kernel, bias)))
