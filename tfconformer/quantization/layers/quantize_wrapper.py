"""The wrapper that makes a `Dense` layer train quantized, and the callback that gives wrappers the training step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras
from tensorflow_model_optimization.quantization.keras import QuantizeConfig, QuantizeWrapperV2
from tensorflow_model_optimization.quantization.keras.quantizers import Quantizer

from tfconformer.errors import InputError
from tfconformer.layers.dense import Dense, DenseWrapper, Matmul, float_matmul
from tfconformer.layers.registry import register
from tfconformer.quantization.layers.matmul import quantized_matmul
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
        return lambda x, kernel: self._matmul(x, kernel, in_training)

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

    def _matmul(self, x: tf.Tensor, kernel: tf.Tensor, training: tf.Tensor) -> tf.Tensor:
        step = tf.convert_to_tensor(self.optimizer_step)
        checks = []
        if self.has_schedule:
            message = "training quantized layers with a schedule needs the callback QuantizationSteps"
            checks = [tf.debugging.Assert(tf.logical_or(step >= 0, tf.logical_not(training)), [message])]
        with tf.control_dependencies(checks):
            if self.precision is None:
                return _scheduled_matmul(self._states[0], x, kernel, training, step)
            index = tf.where(training, step % len(self._states), self.precision)
        branches = [lambda state=state: _scheduled_matmul(state, x, kernel, training, step) for state in self._states]
        return tf.switch_case(index, branches)


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


def _scheduled_matmul(
    state: QuantizerState, x: tf.Tensor, kernel: tf.Tensor, training: tf.Tensor, step: tf.Tensor
) -> tf.Tensor:
    """Multiplies with quantized weights, and while training outside of the spec's schedule with float ones."""
    spec, schedule = state.spec, state.spec.schedule
    values = state.read(training, step)

    weights = quantize_weights(kernel, spec, values)
    if schedule == Schedule(freeze=schedule.freeze):
        return quantized_matmul(x, weights)
    outside = step < schedule.begin
    if schedule.end is not None:
        outside = tf.logical_or(outside, step >= schedule.end)
    in_float = tf.logical_and(training, outside)
    # Chosen, not branched: TensorFlow 2.17 loses custom gradients of a branch.
    float_weights = sparse_weights(kernel, spec, values)[0]
    if spec.activation_bits:
        return tf.where(in_float, float_matmul(x, float_weights), quantized_matmul(x, weights))
    return float_matmul(x, tf.where(in_float, float_weights, weights.dequantize()))
