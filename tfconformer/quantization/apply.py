"""From a float model and the YAML's rules to a model that trains quantized, and back to its float weights."""

from __future__ import annotations

import re
from collections.abc import Sequence

import tensorflow as tf
import tf_keras as keras
from tensorflow_model_optimization.quantization.keras import (
    QuantizeWrapperV2,
    quantize_annotate_layer,
    quantize_apply,
    quantize_scope,
)

from tfconformer.config import QuantizationRule
from tfconformer.errors import InputError
from tfconformer.layers.dense import Dense
from tfconformer.quantization.configs import DenseQuantizeConfig
from tfconformer.quantization.fixed import FixedProduct
from tfconformer.quantization.quantizers import QuantizedWeights, quantize_weights
from tfconformer.quantization.spec import QuantSpec

_WRAPPER_PREFIX = "quant_"


def match_layers(model: keras.Model, rules: Sequence[QuantizationRule]) -> dict[str, QuantSpec]:
    """Which dense layers the rules quantize, and how; the first rule that matches a layer's whole name decides.

    Raises:
      InputError: a rule is not a regular expression, or matches no dense layer.
    """
    names = [layer.name for layer in model.layers if isinstance(layer, Dense)]
    chosen: dict[str, QuantSpec | None] = {}
    for rule in rules:
        try:
            matching = [name for name in names if re.fullmatch(rule.layers, name)]
        except re.error as error:
            raise InputError(f"quantization rule {rule.layers!r} is not a regular expression: {error}") from None
        if not matching:
            raise InputError(f"quantization rule {rule.layers!r} matches none of the model's dense layers")
        for name in matching:
            chosen.setdefault(name, rule.spec)
    return {name: spec for name, spec in chosen.items() if spec is not None}


def quantize_model(model: keras.Model, specs: dict[str, QuantSpec]) -> keras.Model:
    """A copy of `model`, weights included, whose layers named in `specs` train quantized."""

    def annotate(layer: keras.layers.Layer) -> keras.layers.Layer:
        spec = specs.get(layer.name)
        copy = layer.__class__.from_config(layer.get_config())
        return copy if spec is None else quantize_annotate_layer(copy, DenseQuantizeConfig(spec))

    annotated = keras.models.clone_model(model, clone_function=annotate)
    annotated.set_weights(model.get_weights())
    with quantize_scope():
        return quantize_apply(annotated, _KeepGraph())


def quantized_layers(model: keras.Model) -> dict[str, QuantizedWeights]:
    """What the quantized layers of a model multiply with outside of training, by layer name; empty for a float model.

    These are the codes, scales and offsets that evaluation computes with, and what an exported file must hold.
    """
    trained = {
        layer.layer.name: quantize_weights(tf.constant(_float_variables(layer)[0].numpy()), layer.quantize_config.spec)
        for layer in model.layers
        if isinstance(layer, QuantizeWrapperV2)
    }
    fixed = {
        layer.name: layer.product.weights
        for layer in model.layers
        if isinstance(layer, Dense) and isinstance(layer.product, FixedProduct)
    }
    return trained | fixed


def copy_float_weights(source: keras.Model, target: keras.Model) -> None:
    """Copies every weight of the float model `target` from `source`, quantized or not, layer by layer.

    Raises:
      InputError: `source` lacks a layer of `target`, or has weights of other shapes there.
    """
    sources = {float_layer(layer).name: layer for layer in source.layers}
    for layer in target.layers:
        if layer.name not in sources:
            raise InputError(f"the model to copy from has no layer {layer.name}")
        values = _float_variables(sources[layer.name])
        shapes = [tuple(value.shape) for value in values]
        if shapes != [tuple(variable.shape) for variable in layer.weights]:
            raise InputError(f"layer {layer.name} of the model to copy from has weights of other shapes: {shapes}")
        for variable, value in zip(layer.weights, values, strict=True):
            variable.assign(value)


def float_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The layer itself, or the one inside a quantization wrapper."""
    return layer.layer if isinstance(layer, QuantizeWrapperV2) else layer


def _float_variables(layer: keras.layers.Layer) -> list[tf.Variable]:
    """A layer's own variables in the order of the float layer; the wrapper's step counter is not among them."""
    if not isinstance(layer, QuantizeWrapperV2):
        return list(layer.weights)
    return [variable for variable in layer.weights if variable is not layer.optimizer_step]


class _KeepGraph:
    """A quantization scheme that quantizes what was annotated and nothing else: no graph rewriting, and as a registry
    it supports no layer, so that the inputs of annotated layers get no output quantizers of their own.
    """

    def get_layout_transformer(self) -> _KeepGraph:
        return self

    def apply(self, model: keras.Model, layer_quantize_map: dict) -> tuple[keras.Model, dict]:
        return model, layer_quantize_map

    def get_quantize_registry(self) -> _KeepGraph:
        return self

    def supports(self, layer: keras.layers.Layer) -> bool:
        return False
