"""The wrapper that makes a `Dense` layer train quantized, and the steps of a model's quantized layers."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import tensorflow as tf
import tf_keras as keras
from tensorflow_model_optimization.quantization.keras import QuantizeWrapper, QuantizeWrapperV2

from tfconformer.compat import integer
from tfconformer.errors import InputError
from tfconformer.layers.dense import Dense, DenseWrapper, Matmul
from tfconformer.layers.registry import register
from tfconformer.quantization.layers.quantize_config import KERNEL, WeightQuantizeConfig, WeightQuantizer
from tfconformer.quantization.layers.trained_kernel import TrainedKernel
from tfconformer.quantization.quantizers.weights import QuantizedWeights
from tfconformer.quantization.spec import QuantSpec


@register
class QuantizedDense(DenseWrapper, QuantizeWrapperV2):
    """A `Dense` layer that keeps float master weights and multiplies with their quantized values.

    Its `quantize_config` is a `WeightQuantizeConfig`. The layer itself does not change: the wrapper hands it the
    function that multiplies.

    Attributes:
      trained: the quantizers of the layer's kernel.
    """

    _weight_vars: list[Any]
    _trainable_weights: list[tf.Variable]

    def __init__(self, layer: Dense, quantize_config: WeightQuantizeConfig, **kwargs: Any):
        super().__init__(layer, quantize_config, **{"dtype": layer.dtype, **kwargs})

    def build(self, input_shape: tf.TensorShape) -> None:
        super().build(input_shape)
        (self.trained,) = _kernels(self._weight_vars)
        # The toolkit lists the layer's weights as its own as well: a `.keras` file would hold them twice.
        self._weight_vars = []
        inner = {id(weight) for weight in self.layer.weights}
        self._trainable_weights = [weight for weight in self._trainable_weights if id(weight) not in inner]

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> QuantizedDense:
        """Makes the wrapper of a saved configuration."""
        layer = config["layer"]
        if layer.get("module", "").startswith("tfconformer."):
            # An `.h5` file has the configuration of the layer in the format of `.keras`, and Keras reads it by the
            # class name alone, which is that of a layer of Keras.
            import_module(layer["module"])
            config = {**config, "layer": {**layer, "class_name": layer["registered_name"]}}
        wrapper: QuantizedDense = super().from_config(config)
        return wrapper

    @property
    def trainable_weights(self) -> list[tf.Variable]:
        """The clip factors that are learned and the weights of the layer; none of a frozen layer."""
        return super().trainable_weights if self.trainable else []

    @property
    def non_trainable_weights(self) -> list[tf.Variable]:
        """The other weights, in the order that they have in a checkpoint."""
        rest = super().non_trainable_weights
        return rest if self.trainable else self._dedup_weights([*self._trainable_weights, *rest])

    def matmul(self, training: bool | tf.Tensor | None) -> Matmul:
        return self.trained.matmul(training)

    @property
    def spec(self) -> QuantSpec:
        """The spec that counts outside of training."""
        return self.trained.spec

    def quantized(self) -> QuantizedWeights:
        """Quantizes the master weights as outside of training."""
        return self.trained.quantized()


def quantization_step(model: keras.Model, step: int) -> None:
    """Prepares the quantized layers of a model for a training step, which schedules and co-training need.

    `QuantizationSteps` does it in `fit`; another loop calls it before every step. Steps come in order, and skipped ones
    are made up for.

    Args:
      model: a quantized model.
      step: the step that is about to begin, from 0.
    """
    for layer in quantized_layers(model):
        previous, kernels = integer(layer.optimizer_step), trained_kernels(layer)
        if any(kernel.has_schedule for kernel in kernels):
            for kernel in kernels:
                kernel.advance(previous, step)
            layer.optimizer_step.assign(step)


class QuantizationSteps(keras.callbacks.Callback):
    """Advances the quantized layers of a model before every batch, which schedules and co-training need."""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Checks that every step is one of its own.

        Raises:
          InputError: a quantized layer depends on the step, and `steps_per_execution` joins several.
        """
        scheduled = any(
            kernel.has_schedule for layer in quantized_layers(self.model) for kernel in trained_kernels(layer)
        )
        if scheduled and integer(self.model._steps_per_execution or 1) > 1:
            raise InputError("quantization with a schedule needs every step by itself: set steps_per_execution to 1")

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        quantization_step(self.model, integer(self.model.optimizer.iterations))


def quantized_layers(model: keras.Model) -> Iterator[QuantizeWrapper]:
    """Yields the layers of a model, also of models within it, that have quantizers of this package."""
    for layer in model._flatten_layers():
        if isinstance(layer, QuantizeWrapper) and trained_kernels(layer):
            yield layer


def require_own_wrappers(model: keras.Model) -> None:
    """Checks that the quantized layers of a model can be exported.

    Raises:
      InputError: one is in the wrapper of the model optimization toolkit.
    """
    for layer in quantized_layers(model):
        if not isinstance(layer, QuantizedDense):
            raise InputError(
                f"the layer {layer.name} is in the wrapper of the model optimization toolkit, which cannot be "
                "exported: quantize the model by tfconformer.quantize"
            )


def trained_kernels(layer: QuantizeWrapper) -> list[TrainedKernel]:
    """Returns the quantizers of the weights of a built wrapper; none if they are other packages' ones."""
    return [layer.trained] if isinstance(layer, QuantizedDense) else _kernels(layer._weight_vars)


def _kernels(weight_vars: list[Any]) -> list[TrainedKernel]:
    return [variables[KERNEL] for _, quantizer, variables in weight_vars if isinstance(quantizer, WeightQuantizer)]


def trained_bits(model: keras.Model) -> tuple[int, ...]:
    """Returns the widths that a model is co-trained for, in the order of its rules; empty with one spec per layer."""
    for kernel in _co_trained(model):
        return tuple(spec.bits for spec in kernel.specs)
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
    for kernel in _co_trained(model):
        assert kernel.precision is not None
        kernel.precision.assign(0 if bits is None else trained.index(bits))


def _co_trained(model: keras.Model) -> Iterator[TrainedKernel]:
    for layer in quantized_layers(model):
        yield from (kernel for kernel in trained_kernels(layer) if kernel.precision is not None)
