"""Post-training quantization: the baselines of quantization-aware training.

    quantized = quantize_post_training(model, match_layers(model, rules), "gptq", input_hessians(model, inputs))
    fixed = with_fixed_weights(model, quantized)        # evaluates, and exports like a trained model

Quantized values are chosen by round-to-nearest (RTN, "nearest") or by GPTQ; the ranges are the `QuantSpec`'s: min-max
is a clip of 1, clipping search is a `ClipSearch`, for which the squared error is the usual measure after training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import NDArray

from tfconformer.layers.dense import BoundMatmul, Dense, DenseWrapper, Matmul, float_matmul
from tfconformer.quantization.layers.fixed import FixedDense
from tfconformer.quantization.post_training.gptq import gptq
from tfconformer.quantization.quantizers.weights import QuantizedWeights, quantize_weights
from tfconformer.quantization.spec import QuantSpec, Rounding

Hessians = Mapping[str, NDArray[np.float64]]


class PostTrainingWeights(Mapping[str, QuantizedWeights]):
    """The quantized weights of a float model by layer name.

    They are computed when they are read: those of all layers together would take as much memory as the model.
    """

    def __init__(
        self, model: keras.Model, specs: Mapping[str, QuantSpec], rounding: Rounding, hessians: Hessians | None
    ) -> None:
        self._kernels = {name: model.get_layer(name).kernel for name in specs}
        self._specs = specs
        self._rounding = rounding
        self._hessians = hessians

    def __getitem__(self, name: str) -> QuantizedWeights:
        kernel, spec = tf.constant(self._kernels[name].numpy()), self._specs[name]
        if self._rounding == "nearest":
            return quantize_weights(kernel, spec)
        assert self._hessians is not None
        return gptq(kernel, self._hessians[name], spec)

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)


def quantize_post_training(
    model: keras.Model, specs: Mapping[str, QuantSpec], rounding: Rounding, hessians: Hessians | None = None
) -> PostTrainingWeights:
    """Quantizes kernels of a float model; returns the quantized weights by layer name.

    Args:
      model: the float model.
      specs: specs of the layers to quantize, from `apply.match_layers`.
      rounding: "nearest" (RTN), or "gptq", which needs the Hessians.
      hessians: from `input_hessians`.
    """
    return PostTrainingWeights(model, specs, rounding, hessians)


def with_fixed_weights(model: keras.Model, quantized: Mapping[str, QuantizedWeights]) -> keras.Model:
    """Returns a model of the layers of the float `model`; those named in `quantized` multiply with these weights."""
    return _wrapped(model, lambda layer: FixedDense(layer, quantized[layer.name]) if layer.name in quantized else layer)


def input_hessians(model: keras.Model, inputs: Iterable[Any]) -> dict[str, NDArray[np.float64]]:
    """Sums X' X [K, K] of the matmul inputs of every dense layer over all frames; returns the sums by layer name.

    Args:
      model: the float model.
      inputs: arguments of its calls, utterance by utterance, since frames of padding would count.
    """
    recording = _wrapped(model, lambda layer: _HessianRecorder(layer) if isinstance(layer, Dense) else layer)
    for one in inputs:
        recording(one, training=False)
    return {layer.name: layer.hessian for layer in recording.layers if isinstance(layer, _HessianRecorder)}


class _HessianRecorder(DenseWrapper, keras.layers.Wrapper):
    """A float layer that sums X' X of its matmul inputs.

    Attributes:
      hessian: [K, K] float64.
    """

    def __init__(self, layer: Dense) -> None:
        super().__init__(layer, name=layer.name)

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.hessian = np.zeros([self.layer.kernel.shape[0]] * 2)

    def matmul(self, training: bool | tf.Tensor | None) -> Matmul:
        return _RecordedMatmul(self.record)

    def record(self, x: NDArray[np.float32]) -> None:
        """Adds the inputs [..., K] of a matmul."""
        rows = x.reshape(-1, x.shape[-1]).astype(np.float64)
        self.hessian += rows.T @ rows


class _RecordedMatmul(Matmul):
    """The float matmul, which passes its inputs to `record` first."""

    def __init__(self, record: Callable[[NDArray[np.float32]], None]) -> None:
        self._record = record

    def bind(self, kernel: tf.Tensor) -> BoundMatmul:
        bound = float_matmul.bind(kernel)

        def multiply(x: tf.Tensor) -> tf.Tensor:
            # Runs in calls with values, not in those in which Keras infers shapes.
            tf.numpy_function(self._record, [x], [])
            return bound.multiply(x)

        return replace(bound, multiply=multiply)


def _wrapped(model: keras.Model, wrapped: Callable[[keras.layers.Layer], keras.layers.Layer]) -> keras.Model:
    """Returns a model of the same layers, which go through `wrapped`; their weights are not copied."""
    return keras.models.clone_model(model, clone_function=wrapped)
