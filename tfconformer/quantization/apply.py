"""From a float model and the YAML's rules to a model that trains quantized, and back to its float weights."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tf_keras as keras

from tfconformer.errors import InputError
from tfconformer.layers.dense import Dense
from tfconformer.quantization.layers.fixed import FixedProduct
from tfconformer.quantization.layers.quantize_wrapper import DenseQuantizeConfig, QuantizedDense
from tfconformer.quantization.quantizers.weights import QuantizedWeights
from tfconformer.quantization.spec import QuantizationRule, QuantSpec


def apply_rules(model: keras.Model, rules: Sequence[QuantizationRule]) -> keras.Model:
    """A copy of the float `model` that trains as the rules say; the model itself if they quantize nothing.

    Raises:
      InputError: as `match_layers`.
    """
    specs = match_layers(model, rules)
    return quantize_model(model, specs, further_specs(model, rules)) if specs else model


def new_model(structure: keras.Model, rules: Sequence[QuantizationRule]) -> keras.Model:
    """A model that trains as the rules say, for weights that are read into it: what its quantizers remember too.

    Args:
      structure: the float model, which may be abstract: its weights do not count.
      rules: as of `match_layers`.

    Raises:
      InputError: as `match_layers`.
    """
    return _clone(structure, match_layers(structure, rules), further_specs(structure, rules))


def match_layers(model: keras.Model, rules: Sequence[QuantizationRule]) -> dict[str, QuantSpec]:
    """Which dense layers the rules quantize, and how; the first rule that matches a layer's whole name decides.

    Raises:
      InputError: a rule is not a regular expression, or matches no dense layer.
    """
    deciding = _deciding_rules(model, rules)
    return {name: rule.spec for name, rule in deciding.items() if rule.spec is not None}


def further_specs(model: keras.Model, rules: Sequence[QuantizationRule]) -> dict[str, tuple[QuantSpec, ...]]:
    """The further specs that layers are co-trained for, by name; without those that have none.

    Raises:
      InputError: as `match_layers`.
    """
    return {name: rule.also for name, rule in _deciding_rules(model, rules).items() if rule.also}


def _deciding_rules(model: keras.Model, rules: Sequence[QuantizationRule]) -> dict[str, QuantizationRule]:
    names = [layer.name for layer in model.layers if isinstance(layer, Dense)]
    deciding: dict[str, QuantizationRule] = {}
    for rule in rules:
        try:
            matching = [name for name in names if re.fullmatch(rule.layers, name)]
        except re.error as error:
            raise InputError(f"quantization rule {rule.layers!r} is not a regular expression: {error}") from None
        if not matching:
            raise InputError(f"quantization rule {rule.layers!r} matches none of the model's dense layers")
        for name in matching:
            deciding.setdefault(name, rule)
    return deciding


def quantize_model(
    model: keras.Model, specs: Mapping[str, QuantSpec], further: Mapping[str, tuple[QuantSpec, ...]] | None = None
) -> keras.Model:
    """A copy of `model`, weights included, whose layers named in `specs` train quantized.

    Args:
      model: a float model.
      specs: by layer name.
      further: of layers in `specs`, other specs of other bits that they are co-trained for.
    """
    quantized = _clone(model, specs, further or {})
    for layer in quantized.layers:
        inner = float_layer(layer)
        inner.set_weights(model.get_layer(inner.name).get_weights())
        if isinstance(layer, QuantizedDense):
            layer.start()
    return quantized


def _clone(
    model: keras.Model, specs: Mapping[str, QuantSpec], further: Mapping[str, tuple[QuantSpec, ...]]
) -> keras.Model:
    """Without the weights."""

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        clone = layer.__class__.from_config(layer.get_config())
        if layer.name not in specs:
            return clone
        return QuantizedDense(clone, DenseQuantizeConfig((specs[layer.name], *further.get(layer.name, ()))))

    return keras.models.clone_model(model, clone_function=copy)


def select_bits(model: keras.Model, bits: int | None) -> None:
    """Chooses the precision in which a co-trained model is evaluated and exported; None: its first.

    Raises:
      InputError: it was not trained for this precision.
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


def trained_bits(model: keras.Model) -> tuple[int, ...]:
    """The widths that a model is co-trained for, in the order of its rules; empty if there is one spec per layer."""
    for layer in model.layers:
        if isinstance(layer, QuantizedDense) and layer.precision is not None:
            return tuple(spec.bits for spec in layer.quantize_config.specs)
    return ()


class QuantizedLayers(Mapping[str, QuantizedWeights]):
    """What the quantized layers of a model multiply with outside of training, by layer name; empty for a float model.

    These are the codes, scales and offsets that evaluation computes with, and what an exported file must hold. They are
    computed when one is asked for: those of all layers together would take as much memory as the model.

    Attributes:
      specs: what they mean, by layer name.
    """

    def __init__(self, model: keras.Model):
        self._layers: dict[str, Any] = {}
        self.specs: dict[str, QuantSpec] = {}
        for layer in model.layers:
            name = float_layer(layer).name
            if isinstance(layer, QuantizedDense):
                self._layers[name], self.specs[name] = layer, layer.memory.spec
            elif isinstance(layer, Dense) and isinstance(layer.product, FixedProduct):
                self._layers[name], self.specs[name] = layer, layer.product.weights.spec

    def __getitem__(self, name: str) -> QuantizedWeights:
        layer = self._layers[name]
        return layer.quantized() if isinstance(layer, QuantizedDense) else layer.product.weights

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)


def float_layers(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """The layers of a model, quantized or not, by name."""
    return {layer.name: layer for layer in map(float_layer, model.layers)}


def copy_float_weights(source: keras.Model, target: keras.Model) -> None:
    """Copies every weight of the float model `target` from `source`, quantized or not, layer by layer.

    Raises:
      InputError: `source` lacks a layer of `target`, or has weights of other shapes there.
    """
    sources = float_layers(source)
    for layer in target.layers:
        if layer.name not in sources:
            raise InputError(f"the model to copy from has no layer {layer.name}")
        values = sources[layer.name].weights
        shapes = [tuple(value.shape) for value in values]
        if shapes != [tuple(variable.shape) for variable in layer.weights]:
            raise InputError(f"layer {layer.name} of the model to copy from has weights of other shapes: {shapes}")
        for variable, value in zip(layer.weights, values, strict=True):
            variable.assign(value)


def float_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The layer itself, or the one inside a quantization wrapper."""
    return layer.layer if isinstance(layer, QuantizedDense) else layer
