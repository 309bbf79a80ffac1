"""Quantization by rules: a model that trains quantized from a float one, and its float master weights back."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import tf_keras as keras

from tfconformer.errors import InputError
from tfconformer.layers.dense import Dense, float_layer, float_layers
from tfconformer.patterns import compile_pattern
from tfconformer.quantization.layers.fixed import FixedDense
from tfconformer.quantization.layers.quantize_config import WeightQuantizeConfig
from tfconformer.quantization.layers.quantize_wrapper import QuantizedDense
from tfconformer.quantization.quantizers.weights import QuantizedWeights
from tfconformer.quantization.spec import QuantizationRule, QuantSpec


def apply_rules(model: keras.Model, rules: Sequence[QuantizationRule]) -> keras.Model:
    """Returns a copy of the float `model` that trains as the rules say; the model itself if they quantize nothing.

    Raises:
      InputError: see `match_layers`.
    """
    specs = match_layers(model, rules)
    return quantize_model(model, specs, extra_specs(model, rules)) if specs else model


def new_model(structure: keras.Model, rules: Sequence[QuantizationRule]) -> keras.Model:
    """Returns a model that trains as the rules say, for weights that are read into it, those of quantizer states too.

    Args:
      structure: the float model, which may be abstract: its weights do not count.
      rules: see `match_layers`.

    Raises:
      InputError: see `match_layers`.
    """
    return _clone(structure, match_layers(structure, rules), extra_specs(structure, rules))


def match_layers(model: keras.Model, rules: Sequence[QuantizationRule]) -> dict[str, QuantSpec]:
    """Returns the specs of the dense layers that the rules quantize, by name.

    The first rule whose regular expression matches a layer's whole name decides.

    Raises:
      InputError: a rule is not a regular expression, or matches no dense layer.
    """
    deciding = _deciding_rules(model, rules)
    return {name: rule.spec for name, rule in deciding.items() if rule.spec is not None}


def extra_specs(model: keras.Model, rules: Sequence[QuantizationRule]) -> dict[str, tuple[QuantSpec, ...]]:
    """Returns the other specs that layers are co-trained for, by name; layers that have none are left out.

    Raises:
      InputError: see `match_layers`.
    """
    return {name: rule.co_train for name, rule in _deciding_rules(model, rules).items() if rule.co_train}


def _deciding_rules(model: keras.Model, rules: Sequence[QuantizationRule]) -> dict[str, QuantizationRule]:
    names = [layer.name for layer in model.layers if isinstance(layer, Dense)]
    deciding: dict[str, QuantizationRule] = {}
    for rule, matching in matches(rules, names, "none of the model's dense layers"):
        for name in matching:
            deciding.setdefault(name, rule)
    return deciding


def matches(
    rules: Sequence[QuantizationRule], names: Collection[str], nothing: str
) -> Iterator[tuple[QuantizationRule, list[str]]]:
    """Yields every rule with the names that it matches as a whole.

    Args:
      rules: rules, in their order.
      names: names of layers.
      nothing: the end of the sentence about a rule that matches none, after "matches".

    Raises:
      InputError: a rule is not a regular expression, or matches no name.
    """
    for rule in rules:
        expression = compile_pattern(rule.layers, "quantization rule")
        matching = [name for name in names if expression.fullmatch(name)]
        if not matching:
            raise InputError(f"quantization rule {rule.layers!r} matches {nothing}")
        yield rule, matching


def quantize_model(
    model: keras.Model, specs: Mapping[str, QuantSpec], extra: Mapping[str, tuple[QuantSpec, ...]] | None = None
) -> keras.Model:
    """Returns a copy of `model`, weights included, whose layers named in `specs` train quantized.

    Args:
      model: a float model.
      specs: by layer name.
      extra: specs of other widths that layers in `specs` are co-trained for, by layer name.
    """
    quantized = _clone(model, specs, extra or {})
    for layer in quantized.layers:
        inner = float_layer(layer)
        inner.set_weights(model.get_layer(inner.name).get_weights())
        if isinstance(layer, QuantizedDense):
            layer.trained.initialize()
    return quantized


def _clone(
    model: keras.Model, specs: Mapping[str, QuantSpec], extra: Mapping[str, tuple[QuantSpec, ...]]
) -> keras.Model:
    """Clones the structure of a float model, with wrappers around the layers named in `specs`, without the weights."""

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        clone = layer.__class__.from_config(layer.get_config())
        if layer.name not in specs:
            return clone
        return QuantizedDense(clone, WeightQuantizeConfig((specs[layer.name], *extra.get(layer.name, ()))))

    return keras.models.clone_model(model, clone_function=copy)


class QuantizedLayers(Mapping[str, QuantizedWeights]):
    """The quantized weights of a model outside of training, by layer name; empty for a float model.

    Evaluation multiplies with them, and an exported file must hold them. They are computed when one is read: those of
    all layers together would take as much memory as the model.

    Attributes:
      specs: the specs of the weights, by layer name.
    """

    def __init__(self, model: keras.Model):
        self._layers: dict[str, QuantizedDense | FixedDense] = {
            layer.layer.name: layer for layer in model.layers if isinstance(layer, (QuantizedDense, FixedDense))
        }
        self.specs: dict[str, QuantSpec] = {name: layer.spec for name, layer in self._layers.items()}

    def __getitem__(self, name: str) -> QuantizedWeights:
        return self._layers[name].quantized()

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)


def copy_float_weights(source: keras.Model, target: keras.Model) -> None:
    """Copies every weight of the float model `target` from `source`, quantized or not, layer by layer.

    Of a quantized layer they are the float master weights. Those that it prunes become zero, so that training that
    prunes as much starts with its mask.

    Raises:
      InputError: `source` lacks a layer of `target`, or has weights of other shapes there.
    """
    sources, quantized = float_layers(source), QuantizedLayers(source)
    for layer in target.layers:
        if not layer.weights:  # the positions of a block with a right context of its own, for example
            continue
        if layer.name not in sources:
            raise InputError(f"the model to copy from has no layer {layer.name}")
        values = sources[layer.name].weights
        shapes = [tuple(value.shape) for value in values]
        if shapes != [tuple(variable.shape) for variable in layer.weights]:
            raise InputError(f"layer {layer.name} of the model to copy from has weights of other shapes: {shapes}")
        for variable, value in zip(layer.weights, values, strict=True):
            variable.assign(value)
        if layer.name in quantized and quantized.specs[layer.name].sparsity is not None:
            layer.kernel.assign(layer.kernel * quantized[layer.name].mask)
