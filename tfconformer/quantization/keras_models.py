"""Quantization of any functional Keras model by rules on the names of its layers."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence

import tf_keras as keras

from tfconformer import layers
from tfconformer.errors import InputError
from tfconformer.layers.base import Layer
from tfconformer.layers.dense import Dense, DenseWrapper
from tfconformer.layers.from_keras.expansion import expansion_of, load_kinds
from tfconformer.layers.from_keras.model import expand, leaf_layers, require_functional
from tfconformer.modules import import_modules
from tfconformer.quantization.apply import matches, quantize_model
from tfconformer.quantization.spec import QuantizationRule, QuantSpec

logger = logging.getLogger(__name__)

Rules = Mapping[str, QuantSpec | None] | Sequence[QuantizationRule]

# Their filters are no matrices: a channel is multiplied with a handful of weights.
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)


def quantize(model: keras.Model, rules: Rules) -> keras.Model:
    """Returns a copy of a model, weights included, that trains quantized.

    Layers of `tf_keras` become layers of this package (`layers/from_keras`) whose matrices are quantized: the matrix of
    a layer `head` is the kernel of a layer `head_kernel`. Layers without matrices, such as normalizations, stay as they
    are, and depthwise convolutions stay in float.

    Args:
      model: a functional or Sequential model of `tf_keras`; it may contain others, and a layer `dense` of a model
        `head` within it has the name `head_dense`. The copy has to be compiled.
      rules: specs by regular expressions that match whole names of layers, None to leave them in float; the first one
        that matches a layer decides. Or rules as in a configuration.

    Raises:
      InputError: the model is a subclassed one or quantized already, a rule matches no layer that can be quantized, or
        a layer cannot be quantized as its rule says.
    """
    require_functional(model)
    named = dict(_named(model))
    deciding = _deciding_rules(named, _as_rules(rules))
    chosen = {name: rule for name, rule in deciding.items() if rule.spec is not None}
    if not chosen:
        raise InputError("no rule quantizes a layer: give at least one layer a spec")
    expanded = {name for name in chosen if not isinstance(named[name], Dense)}
    copy = expand(model, expanded)
    by_matrix = {matrix: rule for name, rule in chosen.items() for matrix in copy.matrices.get(name, (name,))}
    return quantize_model(
        copy.model,
        {name: rule.spec for name, rule in by_matrix.items() if rule.spec is not None},
        {name: rule.co_train for name, rule in by_matrix.items() if rule.co_train},
    )


def load_model(path: str | os.PathLike[str]) -> keras.Model:
    """Loads a saved model with layers of this package, as `keras.models.load_model` does.

    It only makes the package's classes available first, which an `.h5` file in a new process needs.
    """
    import_modules(layers)
    load_kinds()
    return keras.models.load_model(os.fspath(path))


def _named(model: keras.Model) -> list[tuple[str, keras.layers.Layer]]:
    named = list(leaf_layers(model))
    names = [name for name, _ in named]
    for name, layer in named:
        if isinstance(layer, DenseWrapper) or hasattr(layer, "quantize_config"):
            raise InputError(f"the model {model.name} is quantized already: its layer {name} is")
        if names.count(name) > 1:
            raise InputError(f"two layers of the model {model.name} would have the name {name}: rename one of them")
    return named


def _as_rules(rules: Rules) -> Sequence[QuantizationRule]:
    if isinstance(rules, Mapping):
        return [QuantizationRule(layers=pattern, spec=spec) for pattern, spec in rules.items()]
    return rules


def _deciding_rules(
    named: Mapping[str, keras.layers.Layer], rules: Sequence[QuantizationRule]
) -> dict[str, QuantizationRule]:
    """Returns the rule of every layer that one matches and that can be quantized, by the layer's name."""
    deciding: dict[str, QuantizationRule] = {}
    for rule, matching in matches(rules, named, f"no layer of {', '.join(named)}"):
        if rule.spec is not None and not any(_has_matrix(named[name]) for name in matching):
            kinds = ", ".join(f"{name} ({type(named[name]).__name__})" for name in matching)
            raise InputError(f"quantization rule {rule.layers!r} matches only layers that have no matrix: {kinds}")
        for name in matching:
            deciding.setdefault(name, rule)
    for name, rule in deciding.items():
        if rule.spec is not None and not _has_matrix(named[name]):
            _require_known(name, named[name])
    return {name: rule for name, rule in deciding.items() if _has_matrix(named[name])}


def _has_matrix(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, Dense) or expansion_of(layer) is not None


def _require_known(name: str, layer: keras.layers.Layer) -> None:
    """Checks that a layer without an expansion has nothing to quantize."""
    if type(layer) in _DEPTHWISE:
        logger.warning("the layer %s (%s) stays in float", name, type(layer).__name__)
    elif not isinstance(layer, Layer) and any(weight.shape.rank > 1 for weight in layer.weights):
        raise InputError(
            f"the layer {name} ({type(layer).__name__}) cannot be quantized: give it a rule with None before the others"
        )
