"""Parts of the transducer (Graves 2012, 1211.3711): the inputs of its prediction network, and the joint network.

The joint network holds its matrix as `Dense` does, so that the same rules quantize it, its integer matmul included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import tensorflow as tf
import tf_keras as keras

from tfconformer.layers.base import Layer
from tfconformer.layers.dense import Dense, DenseWrapper, Matmul, affine, float_layer, float_matmul
from tfconformer.layers.masking import NEVER
from tfconformer.layers.registry import register

# A step between the nodes of a lattice: by so many frames and so many labels.
Step = tuple[int, int]
# Largest number of values of one tensor that the joint network holds at a time, 16 MiB of float32.
_CHUNK_VALUES = 2**22
_ACTIVATIONS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {"tanh": tf.tanh, "relu": tf.nn.relu}


def lattice_steps(durations: Sequence[int]) -> tuple[Step, ...]:
    """Lists the steps from a node of a lattice.

    Args:
      durations: numbers of frames that the joint network chooses from for every label and blank; a blank takes one
        frame or more (token-and-duration transducer, 2304.06795). Empty: a blank takes one frame, and a label none.
    """
    if not durations:
        return (1, 0), (0, 1)
    return *((duration, 0) for duration in durations if duration), *((duration, 1) for duration in durations)


@register
class LabelHistory(Layer):
    """The label before each node of a lattice, the blank at the beginning: labels [B, U] -> [B, U + 1]."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.pad(inputs, [[0, 0], [1, 0]])


@register
class OneHotLabels(Layer):
    """One-hot labels, [B, U] int32 -> [B, U, vocabulary]: label i at i - 1, zeros for blank (0) and padding (-1).

    So the embedding is a dense layer like any other, and a transcript begins with a vector of zeros, as in 1211.3711.
    """

    def __init__(self, vocabulary: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.vocabulary = vocabulary

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        # Not one_hot(inputs - 1): the TFLite converter would make a table of it, with the blank in row -1.
        return tf.one_hot(inputs, self.vocabulary + 1)[..., 1:]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "vocabulary": self.vocabulary}


@register
class TransducerLattice(Dense):
    """The joint network on all nodes of a training lattice: log-probabilities of the steps from each.

    Call: (encodings [B, T, J], predictions [B, U + 1, J], labels [B, U] int32 padded with -1, mask [B, T, 1]) ->
    [B, T, U + 1, steps], which is all that the loss reads; the steps are those of `lattice_steps`, without durations
    the blank and the next label. After the end of an utterance the blank is forced, and a label ends before it. The
    logits of a node are activation(encoding + prediction) @ kernel + bias, the blank at 0 and the durations last; a
    search computes them with a `JointHead` of the same weights.

    The [B, T, U + 1, units] logits of the lattice never exist at once, see `_ChunkedJoint`.

    Args:
      units: number of logits, vocabulary + 1 and the number of durations.
      activation: "tanh" or "relu".
      durations: see `lattice_steps`.
      max_symbols: largest number of labels that a search finds in a frame, for whoever searches; the scores do not
        depend on it.
    """

    exported_as: ClassVar[type[Layer] | None]  # `JointWeights`, below

    def __init__(
        self,
        units: int,
        activation: str = "tanh",
        durations: Sequence[int] = (),
        max_symbols: int = 5,
        **kwargs: Any,
    ):
        super().__init__(units, **kwargs)
        self.activation = activation
        self.durations = tuple(durations)
        self.max_symbols = max_symbols

    def activate(self, x: tf.Tensor) -> tf.Tensor:
        """Applies the activation between sum and matrix."""
        return _ACTIVATIONS[self.activation](x)

    def _contraction(self, input_shape: Any) -> int:
        return int(input_shape[0][-1])

    def call(self, inputs: tuple[tf.Tensor, ...], matmul: Matmul | None = None) -> tf.Tensor:
        encodings, predictions, labels, mask = inputs
        tf.debugging.assert_positive(tf.reduce_sum(mask, axis=[1, 2]), "an utterance of the batch has no frame")
        next_labels = tf.pad(labels, [[0, 0], [0, 1]])  # the loss does not read the score that follows the last label
        joint = _ChunkedJoint(self.activate, matmul or float_matmul, next_labels, encodings, self.units, self.durations)
        scores = joint.scores(encodings, predictions, self.kernel, self.bias)
        steps = lattice_steps(self.durations)
        if self.durations:
            # The last step is a blank that leads behind the last frame, and no further.
            frames = [duration + label for duration, label in steps]
            left = (
                tf.reduce_sum(mask, axis=1, keepdims=True)
                - tf.range(tf.cast(tf.shape(mask)[1], mask.dtype))[:, tf.newaxis]
            )
            scores = tf.where((tf.constant(frames, mask.dtype) <= left)[:, :, tf.newaxis], scores, NEVER)
        forced = [0.0 if step == (1, 0) else NEVER for step in steps]
        return tf.where(mask[:, :, tf.newaxis] > 0, scores, forced)

    def compute_output_shape(self, input_shape: tuple[tf.TensorShape, ...]) -> tf.TensorShape:
        encodings, predictions, *_ = map(tf.TensorShape, input_shape)
        return tf.TensorShape([*encodings[:2], predictions[1], len(lattice_steps(self.durations))])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "activation": self.activation,
            "durations": self.durations,
            "max_symbols": self.max_symbols,
        }


class JointHead(keras.layers.Layer):
    """A step of a search in the joint network: (encodings [..., J], predictions [..., J]) -> logits [..., units].

    Args:
      weights: the `TransducerLattice` whose weights and matmul it shares, or its wrapper.
    """

    def __init__(self, weights: Dense | DenseWrapper):
        super().__init__(name=float_layer(weights).name)
        self.lattice = weights

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        encoding, prediction = inputs
        return affine(self.lattice, float_layer(self.lattice).activate(encoding + prediction))


class _ChunkedJoint:
    """The scores of a lattice, computed in chunks of frames whose logits fit `_CHUNK_VALUES`.

    The backward pass computes the logits of a chunk again instead of keeping them.

    Args:
      activate: function from the sums of encodings and predictions to the rows that are multiplied.
      matmul: (x [..., J], kernel [J, units]) -> logits without the bias.
      labels: [B, U + 1] int32, the label that follows at each node.
      encodings: [B, T, J], for their shape.
      units: number of logits.
      durations: see `lattice_steps`; their logits are the last ones.
    """

    def __init__(
        self,
        activate: Callable[[tf.Tensor], tf.Tensor],
        matmul: Matmul,
        labels: tf.Tensor,
        encodings: tf.Tensor,
        units: int,
        durations: Sequence[int],
    ):
        self._activate = activate
        self._matmul = matmul
        self._durations = durations
        self._symbols = units - len(durations)
        self._label_mask = tf.one_hot(labels, self._symbols)[:, tf.newaxis]
        shape = tf.shape(encodings)
        self._batch, self._num_frames = shape[0], shape[1]
        frame_values = self._batch * tf.shape(labels)[1] * tf.maximum(units, shape[2])
        chunk = _CHUNK_VALUES // tf.maximum(frame_values, 1)
        self._chunk = tf.clip_by_value(chunk, 1, tf.maximum(self._num_frames, 1))
        self._num_chunks = -(-self._num_frames // self._chunk)

    def scores(self, encodings: tf.Tensor, predictions: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        """Computes log-probabilities of steps: [B, T, J] and [B, U + 1, J] -> [B, T, U + 1, steps]."""

        @tf.custom_gradient
        def chunked(
            encodings: tf.Tensor, *shared: tf.Tensor
        ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, ...]]]:
            chunks = self._to_chunks(encodings)
            scores = tf.map_fn(lambda chunk: self._forward_chunk(chunk, *shared), chunks)
            return self._from_chunks(scores), lambda upstream: self._backward(upstream, chunks, shared)

        return chunked(*map(tf.convert_to_tensor, (encodings, predictions, kernel, bias)))

    def _forward_chunk(
        self, encodings: tf.Tensor, predictions: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor
    ) -> tf.Tensor:
        hidden = self._activate(encodings[:, :, tf.newaxis] + predictions[:, tf.newaxis])
        joined = tf.nn.bias_add(self._matmul(hidden, kernel), bias)
        logits, of_durations = joined[..., : self._symbols], joined[..., self._symbols :]
        label_logits = tf.reduce_sum(logits * self._label_mask, axis=-1)
        blank_and_label = tf.stack([logits[..., 0], label_logits], axis=-1)
        scores = blank_and_label - tf.reduce_logsumexp(logits, axis=-1, keepdims=True)
        if not self._durations:
            return scores
        blank, label = tf.split(scores, 2, axis=-1)
        advances = tf.nn.log_softmax(of_durations)
        moving = [index for index, duration in enumerate(self._durations) if duration]
        return tf.concat([blank + tf.gather(advances, moving, axis=-1), label + advances], axis=-1)

    def _backward(self, upstream: tf.Tensor, chunks: tf.Tensor, shared: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
        """Returns the gradients to the encodings, and to predictions, kernel and bias, which all chunks share."""
        upstreams = self._to_chunks(upstream)

        def backward_chunk(index: tf.Tensor, to_chunks: tf.TensorArray, *to_shared: tf.Tensor) -> tuple[Any, ...]:
            sources = (chunks[index], *shared)
            with tf.GradientTape() as tape:
                tape.watch(sources)
                scores = self._forward_chunk(*sources)
            to_chunk, *others = tape.gradient(scores, sources, upstreams[index])
            sums = (total + one for total, one in zip(to_shared, others, strict=True))
            return index + 1, to_chunks.write(index, to_chunk), *sums

        start = (0, tf.TensorArray(chunks.dtype, self._num_chunks), *map(tf.zeros_like, shared))
        _, to_chunks, *to_shared = tf.while_loop(lambda index, *_: index < self._num_chunks, backward_chunk, start)
        return self._from_chunks(to_chunks.stack()), *to_shared

    def _to_chunks(self, x: tf.Tensor) -> tf.Tensor:
        """Splits the frames into chunks, the last one filled up with zeros: [B, T, ...] -> [chunks, B, chunk, ...]."""
        missing = self._num_chunks * self._chunk - self._num_frames
        padded = tf.pad(x, [[0, 0], [0, missing], *[[0, 0]] * (x.shape.rank - 2)])
        shape = tf.concat([[self._batch, self._num_chunks, self._chunk], tf.shape(x)[2:]], axis=0)
        split = tf.reshape(padded, shape)
        return tf.transpose(split, [1, 0, 2, *range(3, split.shape.rank)])

    def _from_chunks(self, chunks: tf.Tensor) -> tf.Tensor:
        """Joins chunks and drops the padding: [chunks, B, chunk, ...] -> [B, T, ...]."""
        x = tf.transpose(chunks, [1, 0, 2, *range(3, chunks.shape.rank)])
        shape = tf.concat([[self._batch, self._num_chunks * self._chunk], tf.shape(x)[3:]], axis=0)
        return tf.reshape(x, shape)[:, : self._num_frames]


@register
class JointWeights(TransducerLattice):
    """The weights of a `TransducerLattice` in an exported graph, for its `JointHead`; the scores are zeros."""

    def call(self, inputs: tuple[tf.Tensor, ...], matmul: Matmul | None = None) -> tf.Tensor:
        encodings, predictions, *_ = inputs
        steps = len(lattice_steps(self.durations))
        return tf.zeros([*tf.unstack(tf.shape(encodings)[:2]), tf.shape(predictions)[1], steps])


TransducerLattice.exported_as = JointWeights
