"""A `Dense` layer that trains quantized, and the callback that tells such layers which step it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras
from tensorflow_model_optimization.quantization.keras import QuantizeConfig, QuantizeWrapperV2
from tensorflow_model_optimization.quantization.keras.quantizers import Quantizer

from tfconformer.layers.dense import Dense, float_product
from tfconformer.layers.registry import register
from tfconformer.quantization.layers.product import quantized_product
from tfconformer.quantization.layers.quantizer_state import Memory
from tfconformer.quantization.quantizers.weights import QuantizedWeights, quantize_weights, sparse_weights
from tfconformer.quantization.spec import QuantSpec, Schedule


@register
class DenseQuantizeConfig(QuantizeConfig):
    """How a `Dense` layer is quantized. The wrapper does it: the product is replaced, not the weights.

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
class QuantizedDense(QuantizeWrapperV2):
    """Wraps a `Dense` layer, whose variables it keeps in float, and multiplies with their quantized values.

    With several specs training takes them in turn, step by step, the same one in all layers; outside of training
    `precision` chooses.

    Attributes:
      optimizer_step: the last step that `update` was called for, -1 before; what schedules go by.
      precision: index of the spec outside of training; None with one spec.
    """

    def build(self, input_shape: tf.TensorShape) -> None:
        super().build(input_shape)
        specs = self.quantize_config.specs
        prefixes = [f"bits{spec.bits}_" for spec in specs] if len(specs) > 1 else [""]
        self._memories = [
            Memory(spec, self.layer.kernel, self.add_weight, prefix)
            for spec, prefix in zip(specs, prefixes, strict=True)
        ]
        self.precision = None
        if len(specs) > 1:
            self.precision = self.add_weight("precision", [], tf.int32, initializer="zeros", trainable=False)
        self.follows_steps = len(specs) > 1 or specs[0].follows_steps

    # There is no Python control flow on tensors below, and conversion makes tracing slow.
    @tf.autograph.experimental.do_not_convert
    def call(self, inputs: tf.Tensor, training: bool | tf.Tensor | None = None) -> tf.Tensor:
        in_training = tf.constant(False) if training is None else tf.cast(training, tf.bool)
        self.layer.product = lambda x, kernel: self._product(x, kernel, in_training)
        try:
            return self.layer.call(inputs)
        finally:
            # It holds a tensor of the graph that is being made, and would keep all of that in memory.
            self.layer.product = float_product

    @property
    def memory(self) -> Memory:
        """Of the spec that counts outside of training."""
        return self._memories[0 if self.precision is None else int(self.precision)]

    def start(self) -> None:
        """Prepares for training with the kernel as it is."""
        for memory in self._memories:
            memory.start()

    def update(self, step: int) -> None:
        """Prepares for a training step; every step must be announced, in order, or skipped and made up for later."""
        previous = int(self.optimizer_step)
        for memory in self._memories:
            memory.update(previous, step)
        self.optimizer_step.assign(step)

    def quantized(self) -> QuantizedWeights:
        """What is multiplied with outside of training."""
        memory = self.memory
        remembered = memory.recall(tf.constant(False), tf.convert_to_tensor(self.optimizer_step))
        return quantize_weights(tf.convert_to_tensor(self.layer.kernel), memory.spec, remembered)

    def _product(self, x: tf.Tensor, kernel: tf.Tensor, training: tf.Tensor) -> tf.Tensor:
        step = tf.convert_to_tensor(self.optimizer_step)
        checks = []
        if self.follows_steps:
            message = "training quantized layers with a schedule needs the callback QuantizationSteps"
            checks = [tf.debugging.Assert(tf.logical_or(step >= 0, tf.logical_not(training)), [message])]
        with tf.control_dependencies(checks):
            if self.precision is None:
                return _product(self._memories[0], x, kernel, training, step)
            index = tf.where(training, step % len(self._memories), self.precision)
        return tf.switch_case(
            index, [lambda memory=memory: _product(memory, x, kernel, training, step) for memory in self._memories]
        )


class QuantizationSteps(keras.callbacks.Callback):
    """Tells the quantized layers of a model before every batch which step it is; needed where a spec has a schedule."""

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        step = int(self.model.optimizer.iterations)
        for layer in self.model.layers:
            if isinstance(layer, QuantizedDense) and layer.follows_steps:
                layer.update(step)


def _product(memory: Memory, x: tf.Tensor, kernel: tf.Tensor, training: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    spec, schedule = memory.spec, memory.spec.schedule
    remembered = memory.recall(training, step)

    weights = quantize_weights(kernel, spec, remembered)
    if schedule == Schedule(freeze=schedule.freeze):
        return quantized_product(x, weights)
    outside = step < schedule.begin
    if schedule.end is not None:
        outside = tf.logical_or(outside, step >= schedule.end)
    in_float = tf.logical_and(training, outside)
    # Chosen, not branched: TensorFlow 2.17 loses custom gradients of a branch.
    float_weights = sparse_weights(kernel, spec, remembered)[0]
    if spec.activation_bits:
        return tf.where(in_float, float_product(x, float_weights), quantized_product(x, weights))
    return float_product(x, tf.where(in_float, float_weights, weights.dequantize()))
