"""The wrapper that makes a `Dense` layer train quantized, and the callback that gives wrappers the training step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras
from tensorflow_model_optimization.quantization.keras import QuantizeConfig, QuantizeWrapperV2
from tensorflow_model_optimization.quantization.keras.quantizers import Quantizer

from tfconformer.errors import InputError
from tfconformer.layers.dense import BoundMatmul, Dense, DenseWrapper, Matmul, float_matmul
from tfconformer.layers.registry import register
from tfconformer.quantization.layers.matmul import bind_quantized
from tfconformer.quantization.layers.quantizer_state import QuantizerState
from tfconformer.quantization.quantizers.weights import QuantizedWeights, quantize_weights, sparse_weights
from tfconformer.quantization.spec import QuantSpec, Schedule


@register
class DenseQuantizeConfig(QuantizeConfig):
    """The specs of a quantized `Dense` layer. The matmul is replaced, so the toolkit has no weight to quantize.

    Attributes:
      specs: one, or several that the same weights are trained for in turn.
    """

    def __init__(self, specs: Sequence[QuantSpec | dict[str, Any]]):
        self.specs = tuple(QuantSpec.model_validate(spec) for spec in specs)

    def get_weights_and_quantizers(self, layer: Dense) -> list[tuple[tf.Variable, Quantizer]]:
        return []

    def set_quantize_weights(self, layer: Dense, quantize_weights: list[tf.Tensor]) -> None:
        assert not quantize_weights

    def get_activations_and_quantizers(self, layer: Dense) -> list[tuple[Any, Quantizer]]:
        return []

    def set_quantize_activations(self, layer: Dense, quantize_activations: list[Any]) -> None:
        assert not quantize_activations

    def get_output_quantizers(self, layer: Dense) -> list[Quantizer]:
        return []

    def get_config(self) -> dict[str, Any]:
        return {"specs": [spec.model_dump() for spec in self.specs]}


@register
class QuantizedDense(DenseWrapper, QuantizeWrapperV2):
    """A `Dense` layer that keeps float master weights and multiplies with their quantized values.

    With several specs training takes them in turn, step by step, the same one in all layers; outside of training
    `precision` chooses.

    Attributes:
      optimizer_step: the last step that `advance` was called for, -1 before; what schedules go by.
      precision: index of the spec outside of training; None with one spec.
      has_schedule: true if training depends on the step, so that `advance` must be called before each.
    """

    def build(self, input_shape: tf.TensorShape) -> None:
        super().build(input_shape)
        specs = self.quantize_config.specs
        prefixes = [f"bits{spec.bits}_" for spec in specs] if len(specs) > 1 else [""]
        self._states = [
            QuantizerState(spec, self.layer.kernel, self.add_weight, prefix)
            for spec, prefix in zip(specs, prefixes, strict=True)
        ]
        self.precision = None
        if len(specs) > 1:
            self.precision = self.add_weight("precision", [], tf.int32, initializer="zeros", trainable=False)
        self.has_schedule = len(specs) > 1 or specs[0].has_schedule

    def matmul(self, training: bool | tf.Tensor | None) -> Matmul:
        in_training = tf.constant(False) if training is None else tf.cast(training, tf.bool)
        step = tf.convert_to_tensor(self.optimizer_step)
        if self.has_schedule:
            message = "training quantized layers with a schedule needs the callback QuantizationSteps"
            advanced = tf.debugging.Assert(tf.logical_or(step >= 0, tf.logical_not(in_training)), [message])
            with tf.control_dependencies([advanced]):
                step = tf.identity(step)
        return _TrainedMatmul(self._states, self.precision, step, in_training)

    @property
    def spec(self) -> QuantSpec:
        """The spec that counts outside of training."""
        return self._active_state.spec

    def quantized(self) -> QuantizedWeights:
        """Quantizes the master weights as outside of training."""
        values = self._active_state.read(tf.constant(False), tf.convert_to_tensor(self.optimizer_step))
        return quantize_weights(tf.convert_to_tensor(self.layer.kernel), self.spec, values)

    def initialize(self) -> None:
        """Sets what training starts from, for the kernel's present value."""
        for state in self._states:
            state.initialize()

    def advance(self, step: int) -> None:
        """Prepares for a training step; steps come in order, and skipped ones are made up for."""
        previous = int(self.optimizer_step)
        for state in self._states:
            state.advance(previous, step)
        self.optimizer_step.assign(step)

    @property
    def _active_state(self) -> QuantizerState:
        return self._states[0 if self.precision is None else int(self.precision)]


class _TrainedMatmul(Matmul):
    """The matmul with the quantized values of a kernel, those of the step's precision if there are several.

    Args:
      states: the state of every precision.
      precision: index of the precision outside of training; None with one.
      step: the step that training is at, -1 before the first.
      training: true in a training step, a scalar tensor.
    """

    def __init__(
        self, states: Sequence[QuantizerState], precision: tf.Tensor | None, step: tf.Tensor, training: tf.Tensor
    ):
        self._states = states
        self._precision = precision
        self._step = step
        self._training = training

    def __call__(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        if self._precision is None:
            return self._bind(self._states[0], kernel).multiply(x)
        # Only the weights of the step's precision are computed.
        branches = [lambda state=state: self._bind(state, kernel).multiply(x) for state in self._states]
        return tf.switch_case(self._index(), branches)

    def bind(self, kernel: tf.Tensor) -> BoundMatmul:
        bounds = [self._bind(state, kernel) for state in self._states]
        if self._precision is None:
            return bounds[0]
        index = self._index()

        def chosen(function: Callable[[BoundMatmul], tf.Tensor]) -> tf.Tensor:
            return tf.switch_case(index, [lambda bound=bound: function(bound) for bound in bounds])

        return BoundMatmul(
            kernel=chosen(lambda bound: bound.kernel),
            multiply=lambda x: chosen(lambda bound: bound.multiply(x)),
            rows=lambda x: chosen(lambda bound: bound.rows(x)),
        )

    def _index(self) -> tf.Tensor:
        return tf.where(self._training, self._step % len(self._states), self._precision)

    def _bind(self, state: QuantizerState, kernel: tf.Tensor) -> BoundMatmul:
        """Quantizes the kernel; while training outside of the spec's schedule the bound matmul is in float."""
        spec, schedule = state.spec, state.spec.schedule
        values = state.read(self._training, self._step)
        weights = quantize_weights(kernel, spec, values)
        quantized = bind_quantized(weights)
        if schedule == Schedule(freeze=schedule.freeze):
            return quantized
        outside = self._step < schedule.begin
        if schedule.end is not None:
            outside = tf.logical_or(outside, self._step >= schedule.end)
        in_float = tf.logical_and(self._training, outside)
        # Chosen, not branched: TensorFlow 2.17 loses custom gradients of a branch.
        float_weights = sparse_weights(kernel, spec, values)[0]
        chosen = float_matmul.bind(tf.where(in_float, float_weights, quantized.kernel))
        if not spec.activation_bits:
            return chosen
        return BoundMatmul(
            kernel=chosen.kernel,
            multiply=lambda x: tf.where(in_float, float_matmul(x, float_weights), quantized.multiply(x)),
            rows=lambda x: tf.where(in_float, x, quantized.rows(x)),
        )


class QuantizationSteps(keras.callbacks.Callback):
    """Advances the quantized layers of a model before every batch, which schedules and co-training need."""

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        step = int(self.model.optimizer.iterations)
        for layer in self.model.layers:
            if isinstance(layer, QuantizedDense) and layer.has_schedule:
                layer.advance(step)


def trained_bits(model: keras.Model) -> tuple[int, ...]:
    """Returns the widths that a model is co-trained for, in the order of its rules; empty with one spec per layer."""
    for layer in model.layers:
        if isinstance(layer, QuantizedDense) and layer.precision is not None:
            return tuple(spec.bits for spec in layer.quantize_config.specs)
    return ()


def set_active_bits(model: keras.Model, bits: int | None) -> None:
    """Sets the width with which a co-trained model is evaluated and exported; None: its first.

    Raises:
      InputError: the model was not trained for this width.
    """
    trained = trained_bits(model)
    if bits is not None and bits not in trained:
        raise InputError(
            f"the model was not co-trained for {bits} bits"
            + (f", but for {', '.join(map(str, trained))}" if trained else "")
        )
    for layer in model.layers:
        if isinstance(layer, QuantizedDense) and layer.precision is not None:
            layer.precision.assign(0 if bits is None else trained.index(bits))
