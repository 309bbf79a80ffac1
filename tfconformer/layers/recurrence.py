"""Recurrent layers: their loop, the LSTM and the GRU.

A recurrence is `state = update(state, gates + rows(state) @ kernel)` in every step. Its matrix is that of a `Dense`, so
that the same rules quantize it. Its loop (`recurrent_scan`) leaves the gradient of the matrix to one matmul for all
steps, which is faster than a product in every step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfconformer.errors import InputError
from tfconformer.layers.base import Layer
from tfconformer.layers.dense import BoundMatmul, Dense, Matmul
from tfconformer.layers.registry import register
from tfconformer.layers.streaming import StreamStep

State = tuple[tf.Tensor, ...]
Rows = Callable[[State], tf.Tensor]
Update = Callable[[State, tf.Tensor, State], State]


def recurrent_scan(
    matmul: BoundMatmul, rows: Rows, update: Update, gates: tf.Tensor, state: State, constants: State = ()
) -> State:
    """Runs a recurrence over all steps.

    The backward pass computes every step again from the state before it, so that nothing else is kept.

    Args:
      matmul: the matmul with the kernel [K, N].
      rows: state -> [..., K], the parts of it that the kernel multiplies; a concatenation.
      update: (state, gates with the products [B, N], constants) -> the next state, of the same shapes.
      gates: [B, S, N], of the inputs.
      state: tensors [B, ...], before the first step.
      constants: other tensors that `update` reads and gradients flow to.

    Returns:
      The states after every step, [B, S, ...] each.
    """
    count = len(state)

    @tf.custom_gradient
    def scan(gates: tf.Tensor, kernel: tf.Tensor, *others: tf.Tensor) -> tuple[State, Callable[..., State]]:
        start, constants = others[:count], others[count:]
        states = _forward(matmul, rows, update, gates, start, constants)

        def backward(*upstream: tf.Tensor) -> State:
            before = tuple(
                tf.concat([first[tf.newaxis], after[:-1]], axis=0) for first, after in zip(start, states, strict=True)
            )
            inputs = rows(before)
            summed = gates + matmul.multiply(inputs)
            to_gates, *to_others = _backward(kernel, rows, update, summed, before, constants, upstream)
            width, outputs = tf.unstack(tf.shape(kernel))
            multiplied = tf.reshape(matmul.rows(inputs), [-1, width])
            to_kernel = tf.matmul(multiplied, tf.reshape(to_gates, [-1, outputs]), transpose_a=True)
            return to_gates, to_kernel, *to_others

        return states, backward

    tensors = (_swapped(gates), matmul.kernel, *state, *constants)
    return tuple(map(_swapped, scan(*map(tf.convert_to_tensor, tensors))))


def _forward(
    matmul: BoundMatmul, rows: Rows, update: Update, gates: tf.Tensor, state: State, constants: State
) -> State:
    """Returns the states after every step, [S, B, ...] each; gates are [S, B, N]."""
    steps = tf.shape(gates)[0]

    def step(index: tf.Tensor, state: State, histories: tuple[tf.TensorArray, ...]) -> tuple[Any, ...]:
        after = update(state, gates[index] + matmul.multiply(rows(state)), constants)
        for part, before in zip(after, state, strict=True):
            part.set_shape(before.shape)  # a static batch of one is lost where it is broadcast
        return (
            index + 1,
            after,
            tuple(history.write(index, part) for history, part in zip(histories, after, strict=True)),
        )

    histories = tuple(tf.TensorArray(part.dtype, steps, element_shape=part.shape) for part in state)
    *_, histories = tf.while_loop(lambda index, *_: index < steps, step, (0, state, histories))
    return tuple(history.stack() for history in histories)


def _backward(
    kernel: tf.Tensor,
    rows: Rows,
    update: Update,
    summed: tf.Tensor,
    before: State,
    constants: State,
    upstream: State,
) -> State:
    """Returns the gradients to the gates [S, B, N], to the first state and to the constants.

    Args:
      kernel: [K, N], the values that rows are multiplied with.
      rows: see `recurrent_scan`.
      update: see `recurrent_scan`.
      summed: gates with the products of every step, [S, B, N].
      before: the states before every step, [S, B, ...] each.
      constants: see `recurrent_scan`.
      upstream: gradients to the states after every step, [S, B, ...] each.
    """
    steps = tf.shape(summed)[0]

    def step(done: tf.Tensor, to_state: State, to_constants: State, history: tf.TensorArray) -> tuple[Any, ...]:
        index = steps - 1 - done
        state, gates = tuple(part[index] for part in before), summed[index]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch((state, gates, constants))
            inputs, outputs = rows(state), update(state, gates, constants)
        total = tuple(later + part[index] for later, part in zip(to_state, upstream, strict=True))
        through, to_gates, more = tape.gradient(outputs, (state, gates, constants), total, unconnected_gradients="zero")
        to_rows = tf.matmul(to_gates, kernel, transpose_b=True)
        fed_back = tape.gradient(inputs, state, to_rows, unconnected_gradients="zero")
        return done + 1, _sums(through, fed_back), _sums(to_constants, more), history.write(index, to_gates)

    zeros = tuple(tf.zeros_like(part[0]) for part in before), tuple(map(tf.zeros_like, constants))
    history = tf.TensorArray(summed.dtype, steps, element_shape=summed.shape[1:])
    _, to_state, to_constants, history = tf.while_loop(lambda done, *_: done < steps, step, (0, *zeros, history))
    return history.stack(), *to_state, *to_constants


def _sums(left: State, right: State) -> State:
    return tuple(a + b for a, b in zip(left, right, strict=True))


def _swapped(x: tf.Tensor) -> tf.Tensor:
    """Swaps the first two axes."""
    return tf.transpose(x, [1, 0, *range(2, x.shape.rank)])


def lstm_step(gates: tf.Tensor, cell: tf.Tensor, forget_bias: float = 1.0) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes (hidden, cell) of an LSTM from its summed gates [B, 4 * units] and the cell before."""
    enter, keep, candidate, leave = tf.split(gates, 4, axis=-1)
    cell = tf.sigmoid(keep + forget_bias) * cell + tf.sigmoid(enter) * tf.tanh(candidate)
    return tf.sigmoid(leave) * tf.tanh(cell), cell


@register
class ZeroState(Layer):
    """The states of a recurrence before the first step, zeros [B, width] for each of `widths`, given any [B, ...].

    A width of None is that of the second axis of the input.
    """

    def __init__(self, widths: tuple[int | None, ...], **kwargs: Any):
        super().__init__(**kwargs)
        self.widths = tuple(widths)

    def call(self, inputs: tf.Tensor) -> tuple[tf.Tensor, ...]:
        sizes = tf.shape(inputs)  # sliced, not unstacked, so that a static batch stays one
        return tuple(tf.zeros([sizes[0], sizes[1] if width is None else width]) for width in self.widths)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "widths": self.widths}


class RecurrentDense(Dense):
    """A `Dense` in a loop, which holds the recurrent half of an LSTM of `units` in its kernel [K, 4 * units].

    A `Dense` of 4 * `units` outputs before it is the other half. The gates are, in this order, input, forget, candidate
    and output; the forget gate has a bias of 1 besides the trained one (Jozefowicz et al. 2015).
    """

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(4 * units, use_bias=False, **kwargs)

    def stream(self, inputs: Any, step: StreamStep) -> Any:
        raise InputError(f"the layer {self.name} ({type(self).__name__}) cannot run on a stream")

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["use_bias"]
        return {**config, "units": self.units // 4}


@register
class Recurrence(RecurrentDense):
    """The recurrent half of an LSTM.

    Call: (inputs of the gates [B, S, 4 * units], hidden [B, units], cell [B, units]) -> (outputs [B, S, units],
    hidden, cell).

    Attributes:
      kernel: [units, 4 * units].

    Args:
      units: width of the LSTM.
      forget_bias: bias of the forget gate besides the trained one.
    """

    def __init__(self, units: int, forget_bias: float = 1.0, **kwargs: Any):
        super().__init__(units, **kwargs)
        self.forget_bias = forget_bias

    def _contraction(self, input_shape: Any) -> int:
        return int(input_shape[1][-1])

    def call(self, inputs: tuple[tf.Tensor, ...], matmul: Matmul | None = None) -> tuple[tf.Tensor, ...]:
        gates, hidden, cell = inputs
        if gates.shape[1] == 1:  # a step of its own needs no loop
            hidden, cell = lstm_step(gates[:, 0] + self.affine(hidden, matmul), cell, self.forget_bias)
            return hidden[:, tf.newaxis], hidden, cell
        hiddens, cells = recurrent_scan(
            self.bind(matmul),
            rows=lambda state: state[0],
            update=lambda state, gates, _: lstm_step(gates, state[1], self.forget_bias),
            gates=gates,
            state=(hidden, cell),
        )
        return hiddens, hiddens[:, -1], cells[:, -1]

    def compute_output_shape(self, input_shape: tuple[tf.TensorShape, ...]) -> tuple[tf.TensorShape, ...]:
        gates, hidden, cell = map(tf.TensorShape, input_shape)
        return tf.TensorShape([*gates[:2], hidden[-1]]), hidden, cell

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "forget_bias": self.forget_bias}


@register
class GatedRecurrence(Dense):
    """The recurrent half of a GRU (1406.1078) that resets the product of the hidden state, as cuDNN does.

    A `Dense` of 3 * `units` outputs before it is the other half. The gates are, in this order, update, reset and
    candidate.

    Call: (inputs of the gates [B, S, 3 * units], hidden [B, units]) -> (outputs [B, S, units], hidden).

    Attributes:
      kernel: [units, 3 * units].
      recurrent_bias: [3 * units] variable, added to the products with the kernel; None without one.

    Args:
      units: width of the GRU.
      recurrent_bias: true for a bias of the products.
    """

    def __init__(self, units: int, recurrent_bias: bool = True, **kwargs: Any):
        super().__init__(3 * units, use_bias=False, **kwargs)
        self._has_bias = recurrent_bias

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.recurrent_bias = None
        if self._has_bias:
            self.recurrent_bias = self.add_weight("recurrent_bias", [self.units], initializer="zeros")

    def _contraction(self, input_shape: Any) -> int:
        return int(input_shape[1][-1])

    def call(self, inputs: tuple[tf.Tensor, ...], matmul: Matmul | None = None) -> tuple[tf.Tensor, ...]:
        gates, hidden = inputs
        gates = self._apart(gates)
        if gates.shape[1] == 1:  # a step of its own needs no loop
            hidden = _gru(gates[:, 0] + self._padded(self.affine(hidden, matmul)), hidden)
            return hidden[:, tf.newaxis], hidden
        bound = self.bind(matmul)
        (hiddens,) = recurrent_scan(
            BoundMatmul(self._padded(bound.kernel), lambda x: self._padded(bound.multiply(x)), bound.rows),
            rows=lambda state: state[0],
            update=lambda state, gates, _: (_gru(gates, state[0]),),
            gates=gates,
            state=(hidden,),
        )
        return hiddens, hiddens[:, -1]

    def _apart(self, gates: tf.Tensor) -> tf.Tensor:
        """Returns the gates with the candidate's input apart from its products, which are reset: [B, S, 4 * units]."""
        update, reset, candidate = tf.split(gates, 3, axis=-1)
        if self.recurrent_bias is None:
            return tf.concat([update, reset, tf.zeros_like(candidate), candidate], axis=-1)
        biases = tf.split(tf.convert_to_tensor(self.recurrent_bias), 3)
        products = tf.zeros_like(candidate) + biases[2]
        return tf.concat([update + biases[0], reset + biases[1], products, candidate], axis=-1)

    def _padded(self, products: tf.Tensor) -> tf.Tensor:
        """Appends zeros for the candidate's input to products [..., 3 * units]."""
        return tf.pad(products, [*[(0, 0)] * (products.shape.rank - 1), (0, self.units // 3)])

    def compute_output_shape(self, input_shape: tuple[tf.TensorShape, ...]) -> tuple[tf.TensorShape, ...]:
        gates, hidden = map(tf.TensorShape, input_shape)
        return tf.TensorShape([*gates[:2], hidden[-1]]), hidden

    def stream(self, inputs: Any, step: StreamStep) -> Any:
        raise InputError(f"the layer {self.name} ({type(self).__name__}) cannot run on a stream")

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["use_bias"]
        return {**config, "units": self.units // 3, "recurrent_bias": self._has_bias}


def _gru(gates: tf.Tensor, hidden: tf.Tensor) -> tf.Tensor:
    """Computes the hidden state of a GRU from its gates, see `GatedRecurrence._apart`, and the one before."""
    update, reset, products, candidate = tf.split(gates, 4, axis=-1)
    update = tf.sigmoid(update)
    return update * hidden + (1.0 - update) * tf.tanh(candidate + tf.sigmoid(reset) * products)
