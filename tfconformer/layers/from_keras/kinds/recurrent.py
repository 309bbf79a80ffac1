"""`keras.layers.LSTM` and `GRU`: a `Dense` layer for the inputs of all steps, and a recurrence."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import tf_keras as keras

from tfconformer.layers.dense import Dense
from tfconformer.layers.from_keras.expansion import Expansion, activation, expands
from tfconformer.layers.from_keras.matrix import WeightMatrix
from tfconformer.layers.recurrence import GatedRecurrence, Recurrence, ZeroState

# Options that recurrences do not have, with the only value that is accepted.
_OPTIONS = {
    "activation": "tanh",
    "recurrent_activation": "sigmoid",
    "dropout": 0.0,
    "recurrent_dropout": 0.0,
    "go_backwards": False,
    "stateful": False,
    "time_major": False,
    "reset_after": True,
}


class _RecurrentExpansion(Expansion):
    """A `Dense` layer, zero states and a recurrence."""

    states: int
    gates: int

    @classmethod
    def weights(cls, layer: Any) -> Mapping[str, WeightMatrix]:
        return {
            "kernel": WeightMatrix("cell.kernel"),
            "recurrent_kernel": WeightMatrix("cell.recurrent_kernel"),
        }

    @classmethod
    def refusal(cls, layer: Any) -> str | None:
        for name, expected in _OPTIONS.items():
            value = layer.get_config().get(name, expected)
            if value != expected:
                return f"with {name}={value!r}: set it to {expected!r}"
        return None

    def expand(self) -> None:
        layer = self.layer
        self.inputs = self.matrix(
            "kernel",
            lambda **options: Dense(self.gates * layer.units, layer.use_bias, **options),
            bias=lambda: self._input_bias(layer.cell.bias.numpy()),
        )
        self.zeros = ZeroState((layer.units,) * self.states, name=f"{self.name}_zeros")
        self.recurrence = self.matrix("recurrent_kernel", self._recurrence)
        self.activation = activation(layer, self.name, keras.activations.linear)

    @abstractmethod
    def _recurrence(self, **options: Any) -> Dense:
        """Returns the recurrence."""

    def _input_bias(self, bias: Any) -> Any:
        return bias

    def call(self, inputs: Any, initial_state: Any = None, training: Any = None) -> Any:
        if isinstance(inputs, (list, tuple)):  # so Keras passes states along
            inputs, *initial_state = inputs
        state = self.zeros(inputs) if initial_state is None else initial_state
        state = list(state) if isinstance(state, (list, tuple)) else [state]
        outputs, *last = self.recurrence([self.inputs(inputs), *state])
        result = self.activation(outputs if self.layer.return_sequences else last[0])
        return [result, *last] if self.layer.return_state else result


@expands(keras.layers.LSTM)
class LSTMExpansion(_RecurrentExpansion):
    """The layers of an LSTM, whose bias holds that of the forget gate."""

    states = 2
    gates = 4

    def _recurrence(self, **options: Any) -> Dense:
        return Recurrence(self.layer.units, forget_bias=0.0, **options)


@expands(keras.layers.GRU)
class GRUExpansion(_RecurrentExpansion):
    """The layers of a GRU, which has a bias for the inputs and one for the recurrence."""

    states = 1
    gates = 3

    def _recurrence(self, **options: Any) -> Dense:
        return GatedRecurrence(self.layer.units, self.layer.use_bias, **options)

    def _input_bias(self, bias: Any) -> Any:
        return bias[0]

    def copy_weights(self) -> None:
        """Sets the weights, the recurrent bias among them."""
        super().copy_weights()
        if self.layer.use_bias:
            self.recurrence.recurrent_bias.assign(self.layer.cell.bias[1])
