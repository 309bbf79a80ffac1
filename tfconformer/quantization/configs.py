"""How `QuantSpec` reaches a layer through tensorflow-model-optimization: quantizers and a QuantizeConfig."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras
from tensorflow_model_optimization.quantization.keras import QuantizeConfig
from tensorflow_model_optimization.quantization.keras.quantizers import Quantizer

from tfconformer.layers.dense import Dense
from tfconformer.layers.registry import register
from tfconformer.quantization.quantizers import fake_quantize_rows, fake_quantize_weights
from tfconformer.quantization.spec import QuantSpec


class _StatelessQuantizer(Quantizer):
    """A quantizer without variables: its scales are functions of the tensor."""

    def build(self, tensor_shape: tf.TensorShape, name: str, layer: keras.layers.Layer) -> dict[str, tf.Variable]:
        return {}


class WeightQuantizer(_StatelessQuantizer):
    """Fake-quantizes a [K, N] kernel."""

    def __init__(self, spec: QuantSpec):
        self.spec = spec

    def __call__(self, inputs: tf.Tensor, training: bool, weights: dict[str, tf.Variable], **kwargs: Any) -> tf.Tensor:
        return fake_quantize_weights(inputs, self.spec)

    def get_config(self) -> dict[str, Any]:
        return {"spec": self.spec.model_dump()}


class RowQuantizer(_StatelessQuantizer):
    """Fake-quantizes activations, one 8-bit scale per row."""

    def __call__(self, inputs: tf.Tensor, training: bool, weights: dict[str, tf.Variable], **kwargs: Any) -> tf.Tensor:
        return fake_quantize_rows(inputs)

    def get_config(self) -> dict[str, Any]:
        return {}


@register
class DenseQuantizeConfig(QuantizeConfig):
    """Quantizes a `Dense` layer's kernel and, with `activation_bits`, the rows that meet it."""

    def __init__(self, spec: QuantSpec | dict[str, Any]):
        self.spec = spec if isinstance(spec, QuantSpec) else QuantSpec.model_validate(spec)

    def get_weights_and_quantizers(self, layer: Dense) -> list[tuple[tf.Variable, Quantizer]]:
        return [(layer.kernel, WeightQuantizer(self.spec))]

    def set_quantize_weights(self, layer: Dense, quantize_weights: list[tf.Tensor]) -> None:
        (layer.kernel,) = quantize_weights

    def get_activations_and_quantizers(self, layer: Dense) -> list[tuple[Any, Quantizer]]:
        return [(layer.input_activation, RowQuantizer())] if self.spec.activation_bits else []

    def set_quantize_activations(self, layer: Dense, quantize_activations: list[Any]) -> None:
        if quantize_activations:
            (layer.input_activation,) = quantize_activations

    def get_output_quantizers(self, layer: Dense) -> list[Quantizer]:
        return []

    def get_config(self) -> dict[str, Any]:
        return {"spec": self.spec.model_dump()}
