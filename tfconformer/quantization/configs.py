"""How `QuantSpec` reaches a layer through tensorflow-model-optimization: quantizers and a QuantizeConfig."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras
from tensorflow_model_optimization.quantization.keras import QuantizeConfig
from tensorflow_model_optimization.quantization.keras.quantizers import Quantizer

from tfconformer.layers.dense import Dense
from tfconformer.layers.registry import register
from tfconformer.quantization.integer import integer_product
from tfconformer.quantization.quantizers import fake_quantize_weights, quantize_weights
from tfconformer.quantization.spec import QuantSpec


class WeightQuantizer(Quantizer):
    """Fake-quantizes a [K, N] kernel. It has no variables: scales are functions of the kernel."""

    def __init__(self, spec: QuantSpec):
        self.spec = spec

    def build(self, tensor_shape: tf.TensorShape, name: str, layer: keras.layers.Layer) -> dict[str, tf.Variable]:
        return {}

    def __call__(self, inputs: tf.Tensor, training: bool, weights: dict[str, tf.Variable], **kwargs: Any) -> tf.Tensor:
        return fake_quantize_weights(inputs, self.spec)

    def get_config(self) -> dict[str, Any]:
        return {"spec": self.spec.model_dump()}


@register
class DenseQuantizeConfig(QuantizeConfig):
    """Quantizes a `Dense` layer: its kernel alone, or with `activation_bits` the whole product, in integers."""

    def __init__(self, spec: QuantSpec | dict[str, Any]):
        self.spec = spec if isinstance(spec, QuantSpec) else QuantSpec.model_validate(spec)

    def get_weights_and_quantizers(self, layer: Dense) -> list[tuple[tf.Variable, Quantizer]]:
        return [] if self.spec.activation_bits else [(layer.kernel, WeightQuantizer(self.spec))]

    def set_quantize_weights(self, layer: Dense, quantize_weights: list[tf.Tensor]) -> None:
        if self.spec.activation_bits:
            layer.product = self._integer_product
        else:
            (layer.kernel,) = quantize_weights

    def get_activations_and_quantizers(self, layer: Dense) -> list[tuple[Any, Quantizer]]:
        return []

    def set_quantize_activations(self, layer: Dense, quantize_activations: list[Any]) -> None:
        assert not quantize_activations  # `product` quantizes its rows itself

    def get_output_quantizers(self, layer: Dense) -> list[Quantizer]:
        return []

    def get_config(self) -> dict[str, Any]:
        return {"spec": self.spec.model_dump()}

    def _integer_product(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return integer_product(x, quantize_weights(kernel, self.spec))
