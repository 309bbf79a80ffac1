"""The `QuantizeConfig` of a layer: which of its weights are quantized, and by which specs.

It serves `QuantizedDense`, and any layer with an expansion (`layers/from_keras`) in the toolkit's own wrapper:

    annotated = quantize_annotate_layer(keras.layers.Dense(8), WeightQuantizeConfig([QuantSpec(bits=4)]))
    with quantize_scope():
        model = quantize_apply(keras.Sequential([annotated]), WeightQuantizeScheme())
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras
from tensorflow_model_optimization.quantization.keras import (
    QuantizeConfig,
    QuantizeLayoutTransform,
    QuantizeScheme,
    QuantizeWrapper,
)
from tensorflow_model_optimization.quantization.keras.default_8bit import Default8BitQuantizeScheme
from tensorflow_model_optimization.quantization.keras.quantizers import Quantizer

from tfconformer.errors import InputError
from tfconformer.layers.dense import DenseWrapper
from tfconformer.layers.from_keras.expansion import require_expandable, weight_matrices
from tfconformer.layers.from_keras.matrix import WeightMatrix
from tfconformer.layers.registry import register
from tfconformer.quantization.layers.trained_kernel import TrainedKernel
from tfconformer.quantization.spec import QuantSpec

KERNEL = "kernel"  # key of the TrainedKernel among the variables of a quantizer


class WeightQuantizer(Quantizer):
    """The toolkit's interface to the quantizers of one weight.

    Args:
      matrix: the weight as a matrix.
      specs: see `TrainedKernel`.
    """

    def __init__(self, matrix: WeightMatrix, specs: Sequence[QuantSpec]):
        self._matrix = matrix
        self._specs = tuple(specs)

    def build(self, tensor_shape: tf.TensorShape, name: str, layer: QuantizeWrapper) -> dict[str, TrainedKernel]:
        """Creates the variables of the quantizers in a wrapper.

        Raises:
          InputError: the wrapper cannot carry a spec.
        """
        plain = not isinstance(layer, DenseWrapper)
        if plain:
            self._require_float_activations(layer.layer.name)
        weight = self._matrix.weight(layer.layer)
        prefix = "" if self._matrix.attribute == KERNEL else f"{name}_"
        kernel = TrainedKernel(
            specs=self._specs,
            kernel=lambda: self._matrix.to_matrix(tf.convert_to_tensor(weight)),
            shape=self._matrix.shape(weight.shape),
            add_weight=layer.add_weight,
            step=layer.optimizer_step,
            prefix=prefix,
        )
        if plain:  # nothing else does it
            kernel.initialize()
        return {KERNEL: kernel}

    # There is no Python control flow on tensors here, and conversion makes tracing slow.
    @tf.autograph.experimental.do_not_convert
    def __call__(
        self, inputs: tf.Tensor, training: bool, weights: dict[str, TrainedKernel], **kwargs: Any
    ) -> tf.Tensor:
        """Returns the quantized and dequantized values of the weight `inputs`."""
        matrix = self._matrix.to_matrix(tf.convert_to_tensor(inputs))
        return self._matrix.from_matrix(weights[KERNEL].matmul(training).bind(matrix).kernel, inputs.shape)

    def get_config(self) -> dict[str, Any]:
        return {"matrix": vars(self._matrix), "specs": [spec.model_dump() for spec in self._specs]}

    def _require_float_activations(self, name: str) -> None:
        for spec in self._specs:
            if spec.activation_bits is not None:
                raise InputError(
                    "the wrapper of the model optimization toolkit multiplies in float, so that the layer "
                    f"{name} cannot have activation_bits: use tfconformer.quantize(model, {{{name!r}: spec}})"
                )


@register
class WeightQuantizeConfig(QuantizeConfig):
    """The specs of a layer's weights that are matrices. Activations and outputs are not quantized by it.

    In the toolkit's own wrapper it assigns the quantized weights to the layer, as its interface demands;
    `tfconformer.quantize` leaves layers as they are.

    Args:
      specs: one, or several that the same weights are trained for in turn.

    Attributes:
      specs: the specs.
    """

    def __init__(self, specs: QuantSpec | Sequence[QuantSpec | dict[str, Any]]):
        given = [specs] if isinstance(specs, QuantSpec) else specs
        self.specs = tuple(QuantSpec.model_validate(spec) for spec in given)

    def get_weights_and_quantizers(self, layer: keras.layers.Layer) -> list[tuple[tf.Variable, Quantizer]]:
        """Returns the matrices among the weights of a built layer, with their quantizers.

        Raises:
          InputError: the layer is of a kind that cannot be quantized.
        """
        return [(one.weight(layer), WeightQuantizer(one, self.specs)) for one in _matrices(layer)]

    def set_quantize_weights(self, layer: keras.layers.Layer, quantize_weights: list[tf.Tensor]) -> None:
        """Assigns quantized weights, for the call of the layer that follows."""
        for one, value in zip(_matrices(layer), quantize_weights, strict=True):
            one.assign(layer, value)

    def get_activations_and_quantizers(self, layer: keras.layers.Layer) -> list[tuple[Any, Quantizer]]:
        return []

    def set_quantize_activations(self, layer: keras.layers.Layer, quantize_activations: list[Any]) -> None:
        assert not quantize_activations

    def get_output_quantizers(self, layer: keras.layers.Layer) -> list[Quantizer]:
        return []

    def get_config(self) -> dict[str, Any]:
        return {"specs": [spec.model_dump() for spec in self.specs]}


class WeightQuantizeScheme(QuantizeScheme):
    """The scheme for `quantize_apply` that wraps layers and does nothing else.

    The toolkit's default one also quantizes the inputs of the model. Layers of `quantize_annotate_model` without a
    config get the toolkit's own 8 bits.
    """

    def get_layout_transformer(self) -> QuantizeLayoutTransform:
        """Returns the transformation that leaves a model as it is."""
        return _SameLayout()

    def get_quantize_registry(self) -> Any:
        """Returns the toolkit's configs of 8 bits."""
        return Default8BitQuantizeScheme().get_quantize_registry()


class _SameLayout(QuantizeLayoutTransform):
    def apply(self, model: keras.Model, layer_quantize_map: dict[str, Any]) -> tuple[keras.Model, dict[str, Any]]:
        return model, layer_quantize_map


def _matrices(layer: keras.layers.Layer) -> tuple[WeightMatrix, ...]:
    matrices = weight_matrices(layer)
    if not matrices:
        require_expandable(layer, layer.name)
    return matrices
