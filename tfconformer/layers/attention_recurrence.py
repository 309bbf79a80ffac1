"""LSTMs that read a memory through attention: by position alone, or by content and location."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfconformer.layers.dense import Matmul
from tfconformer.layers.masking import NEVER
from tfconformer.layers.recurrence import RecurrentDense, State, lstm_step, recurrent_scan
from tfconformer.layers.registry import register

# Width of the hidden layer of the network that moves the attention.
_QUERY_WIDTH = 64
# Standard deviation of the components of the attention, in frames of the memory: the least one, which keeps the weights
# of neighbouring frames different from zero, and the one of an untrained layer.
_LEAST_DEVIATION = 0.3
_FIRST_DEVIATION = 6.0
# The filters of location-sensitive attention, and their size in frames.
_FILTERS, _FILTER_SIZE = 16, 15


class AttentionRecurrence(RecurrentDense):
    """The recurrent half of an LSTM that reads a memory through attention: the base of the kinds of attention.

    Call: (inputs of the gates [B, S, 4 * units], memory [B, T, M], mask [B, T, 1], hidden [B, units], cell [B, units],
    context [B, M], states of the attention, certain [B, 1]) -> (outputs [B, S, units], contexts [B, S, M], attention
    weights [B, S, T], and hidden, cell, context, states, certain after the steps). Attention reads the first `certain`
    frames of the memory; `clock` more are certain in each step than in the one before it, as while a speaker speaks.

    The network of the attention stays float: it is small, and its errors would add up.

    Attributes:
      kernel: [units + M, 4 * units], for hidden and context.
      frame_states: names of the states of the attention that have a number for each frame, [B, T]. Before them there is
        its position.

    Args:
      units: width of the LSTM.
      clock: frames of the memory that a speaker takes for a step.
    """

    constants = ("kernel",)
    frame_states: ClassVar[tuple[str, ...]] = ()

    def __init__(self, units: int, clock: float = 1.0, **kwargs: Any):
        super().__init__(units, **kwargs)
        self.clock = clock

    def _contraction(self, input_shape: Any) -> int:
        return self.units // 4 + int(input_shape[1][-1])

    def call(self, inputs: tuple[tf.Tensor, ...], matmul: Matmul | None = None) -> tuple[tf.Tensor, ...]:
        gates, memory, mask, *first = inputs
        constants = memory, mask, *map(tf.convert_to_tensor, self._network(memory))
        start = *first, tf.zeros_like(mask[..., 0])
        if gates.shape[1] == 1:  # a step of its own needs no loop
            summed = gates[:, 0] + self.affine(_hidden_and_context(start), matmul)
            last = self._step(start, summed, constants)
            states = tuple(part[:, tf.newaxis] for part in last)
        else:
            states = recurrent_scan(self.bind(matmul), _hidden_and_context, self._step, gates, start, constants)
            last = tuple(part[:, -1] for part in states)
        hidden, _, context, *_, attention = states
        return hidden, context, attention, *last[: len(first)]

    def compute_output_shape(self, input_shape: tuple[tf.TensorShape, ...]) -> tuple[tf.TensorShape, ...]:
        gates, memory, _, *states = map(tf.TensorShape, input_shape)
        widths = self.units // 4, memory[-1], memory[1]
        return *(tf.TensorShape([*gates[:2], width]) for width in widths), *states

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "clock": self.clock}

    def _network(self, memory: tf.Tensor) -> State:
        """Returns the tensors that `_attend` reads in every step, which depend on weights and memory alone."""
        raise NotImplementedError

    def _attend(self, hidden: tf.Tensor, states: State, mask: tf.Tensor, network: State) -> tuple[tf.Tensor, State]:
        """Computes the attention of a step.

        Args:
          hidden: [B, units].
          states: those of the attention before the step.
          mask: [B, T], 1 on the frames that it may read.
          network: from `_network`.

        Returns:
          The weights [B, T], and the states after the step.
        """
        raise NotImplementedError

    def _step(self, state: State, gates: tf.Tensor, constants: State) -> State:
        """Computes a step of the LSTM and of its attention.

        Args:
          state: (hidden, cell, context, states of the attention, certain, weights); the last one is not read.
          gates: [B, 4 * units], summed.
          constants: memory, mask, and the network of the attention.

        Returns:
          The state after the step; its `certain` is that of the next one.
        """
        _, cell, _, *states, certain, _ = state
        memory, mask, *network = constants
        hidden, cell = lstm_step(gates, cell)
        readable = mask[..., 0] * tf.cast(_frames(mask[..., 0]) + 1 <= certain, tf.float32)
        weights, after = self._attend(hidden, tuple(states), readable, tuple(network))
        context = tf.matmul(weights[:, tf.newaxis], memory)[:, 0]
        return hidden, cell, context, *after, certain + self.clock, weights


@register
class MixtureAttention(AttentionRecurrence):
    """GMM attention (1910.10288, the variant V2b), see `AttentionRecurrence`.

    In every step the attention's components move forward along the memory by a positive distance, and the context is
    the sum of the frames around them: attention is monotonic from the first training step on, and a window of frames
    suffices for a memory of any length. Its state is the position [B, components] in frames of the memory.

    Attributes:
      query_kernel, query_bias, mixture_kernel, mixture_bias: of the network from the hidden state to weights, distances
        and deviations of the components.

    Args:
      units: width of the LSTM.
      components: number of Gaussian components.
      frames_per_step: frames of the memory that an untrained layer moves in a step.
      clock: frames of the memory that a speaker takes for a step.
    """

    def __init__(self, units: int, components: int, frames_per_step: float = 1.0, clock: float = 1.0, **kwargs: Any):
        super().__init__(units, clock, **kwargs)
        self.components = components
        self.frames_per_step = frames_per_step

    def build(self, input_shape: Any) -> None:
        units, outputs = self.units // 4, 3 * self.components
        self.query_kernel = self.add_weight("query_kernel", [units, _QUERY_WIDTH], initializer="glorot_uniform")
        self.query_bias = self.add_weight("query_bias", [_QUERY_WIDTH], initializer="zeros")
        self.mixture_kernel = self.add_weight("mixture_kernel", [_QUERY_WIDTH, outputs], initializer=_small_normal)
        self.mixture_bias = self.add_weight("mixture_bias", [outputs], initializer=self._first_mixture)
        super().build(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "components": self.components, "frames_per_step": self.frames_per_step}

    def _first_mixture(self, shape: Any, dtype: Any = None) -> tf.Tensor:
        """Returns biases of equal weights, of steps of `frames_per_step`, and of broad components."""
        inverses = (math.log(math.expm1(value)) for value in (self.frames_per_step, _FIRST_DEVIATION))
        return tf.constant(np.repeat([0.0, *inverses], self.components), dtype)

    def _network(self, memory: tf.Tensor) -> State:
        return self.query_kernel, self.query_bias, self.mixture_kernel, self.mixture_bias

    def _attend(self, hidden: tf.Tensor, states: State, mask: tf.Tensor, network: State) -> tuple[tf.Tensor, State]:
        (position,) = states
        query_kernel, query_bias, mixture_kernel, mixture_bias = network
        mixture = tf.matmul(tf.tanh(tf.matmul(hidden, query_kernel) + query_bias), mixture_kernel) + mixture_bias
        shares, distances, deviations = tf.split(mixture, 3, axis=-1)
        shares = tf.nn.softmax(shares)
        position += tf.nn.softplus(distances)
        deviations = tf.nn.softplus(deviations) + _LEAST_DEVIATION
        deviations = deviations[..., tf.newaxis]
        distance = (_frames(mask) - position[..., tf.newaxis]) / deviations
        densities = tf.exp(-0.5 * tf.square(distance)) / (deviations * math.sqrt(2 * math.pi))
        return tf.matmul(shares[:, tf.newaxis], densities)[:, 0] * mask, (position,)


@register
class LocationAttention(AttentionRecurrence):
    """Location-sensitive attention (1506.07503, as in Tacotron 2), see `AttentionRecurrence`.

    A frame's score depends on its content, on the hidden state, and on the weights of the frames around it in the last
    step and in all steps before. Attention may jump, and it learns to align later than GMM attention. Its states are
    the position [B, 1], where the mean of its weights lies, and the weights of the last step and of all steps together,
    [B, T].

    Attributes:
      query_kernel [units, width], key_kernel [M, width], location_filters [size, 2, filters], location_kernel
        [filters, width], score_bias [width], score_kernel [width, 1]: of the network from hidden state, memory and
        weights to scores.

    Args:
      units: width of the LSTM.
      width: width of the network.
      clock: frames of the memory that a speaker takes for a step.
    """

    frame_states = ("last_weights", "weight_sums")

    def __init__(self, units: int, width: int, clock: float = 1.0, **kwargs: Any):
        super().__init__(units, clock, **kwargs)
        self.width = width

    def build(self, input_shape: Any) -> None:
        shapes = {
            "query_kernel": [self.units // 4, self.width],
            "key_kernel": [int(input_shape[1][-1]), self.width],
            "location_filters": [_FILTER_SIZE, len(self.frame_states), _FILTERS],
            "location_kernel": [_FILTERS, self.width],
            "score_kernel": [self.width, 1],
        }
        for name, shape in shapes.items():
            setattr(self, name, self.add_weight(name, shape, initializer="glorot_uniform"))
        self.score_bias = self.add_weight("score_bias", [self.width], initializer="zeros")
        super().build(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width}

    def _network(self, memory: tf.Tensor) -> State:
        keys = tf.tensordot(memory, self.key_kernel, 1) + self.score_bias
        return keys, self.query_kernel, self.location_filters, self.location_kernel, self.score_kernel

    def _attend(self, hidden: tf.Tensor, states: State, mask: tf.Tensor, network: State) -> tuple[tf.Tensor, State]:
        _, last, sums = states
        keys, query_kernel, filters, location_kernel, score_kernel = network
        located = tf.nn.conv1d(tf.stack([last, sums], axis=-1), filters, stride=1, padding="SAME")
        features = tf.tensordot(located, location_kernel, 1) + keys + tf.matmul(hidden, query_kernel)[:, tf.newaxis]
        scores = tf.tensordot(tf.tanh(features), score_kernel, 1)[..., 0]
        weights = tf.nn.softmax(scores + (1.0 - mask) * NEVER)
        position = tf.reduce_sum(weights * _frames(mask), axis=-1, keepdims=True)
        return weights, (position, weights, sums + weights)


def _frames(mask: tf.Tensor) -> tf.Tensor:
    """Returns the numbers of the frames [T] of a mask [B, T]."""
    return tf.cast(tf.range(tf.shape(mask)[1]), tf.float32)


def _small_normal(shape: Any, dtype: Any = None) -> tf.Tensor:
    return tf.random.normal(shape, stddev=0.01, dtype=dtype)


def _hidden_and_context(state: State) -> tf.Tensor:
    return tf.concat([state[0], state[2]], axis=-1)
