"""Quantization of Keras models by rules: what each rule decides, and every refusal in one sentence."""

import logging

import numpy as np
import pytest
import tf_keras as keras

import tfconformer
from tests.support.keras_kinds import WIDTH, inputs, keras_model
from tfconformer import QuantSpec
from tfconformer.errors import InputError
from tfconformer.quantization.apply import QuantizedLayers
from tfconformer.quantization.spec import QuantizationRule

layers = keras.layers
INT4 = QuantSpec(bits=4)
X = inputs()


def sequential(*given: keras.layers.Layer) -> keras.Model:
    return keras.Sequential([keras.Input([None, WIDTH], name="x"), *given])


def nested() -> keras.Model:
    inner = keras.Sequential([keras.Input([WIDTH]), layers.Dense(WIDTH, name="dense")], name="inner")
    outer = keras.Sequential([keras.Input([WIDTH]), inner, layers.Dense(WIDTH, "relu", name="dense")], name="outer")
    x = keras.Input([WIDTH])
    return keras.Model(x, layers.Dense(2, name="head")(outer(outer(x)) + 1.0))


def test_the_first_matching_rule_decides():
    model = sequential(layers.Dense(4, name="a"), layers.Dense(4, name="b"), layers.Dense(4, name="c"))
    quantized = tfconformer.quantize(model, {"a": None, "[ab]": QuantSpec(bits=2), ".*": QuantSpec(bits=8)})
    assert {name: spec.bits for name, spec in QuantizedLayers(quantized).specs.items()} == {
        "b_kernel": 2,
        "c_kernel": 8,
    }
    assert type(quantized.get_layer("a")) is layers.Dense
    assert quantized.output_names == ["c"]


def test_rules_of_a_configuration_co_train():
    rule = QuantizationRule(layers=".*", spec=INT4, co_train=(QuantSpec(bits=2),))
    quantized = tfconformer.quantize(sequential(layers.Dense(4, name="a")), [rule])
    assert quantized.get_layer("quant_a_kernel").trained.specs == (INT4, QuantSpec(bits=2))


def test_the_recipes_are_specs_that_a_file_can_hold():
    recipes = [tfconformer.recipes.int8(8), tfconformer.recipes.int4_block64(), tfconformer.recipes.int2_block64(8)]
    assert [(spec.bits, spec.block_size, spec.activation_bits) for spec in recipes] == [
        (8, None, 8),
        (4, 64, None),
        (2, 64, 8),
    ]
    assert all(spec.train_only is None for spec in recipes)


def test_models_within_a_model_are_quantized_too():
    model = nested()
    quantized = tfconformer.quantize(model, {"outer_inner_dense|outer_dense": QuantSpec(bits=8), ".*": INT4})
    assert {name: spec.bits for name, spec in QuantizedLayers(quantized).specs.items()} == {
        "outer_inner_dense_kernel": 8,
        "outer_dense_kernel": 8,
        "head_kernel": 4,
    }
    x = X[0]
    error = np.abs(quantized(x) - model(x)).max() / np.abs(model(x)).max()
    assert 0 < error < 0.2  # the model with a little noise


def test_the_layers_of_this_package_keep_their_names():
    from tfconformer.layers.dense import Dense

    x = keras.Input([WIDTH])
    model = keras.Model(x, layers.LayerNormalization(name="norm")(Dense(4, name="dense")(x)))
    assert list(QuantizedLayers(tfconformer.quantize(model, {".*": INT4})).specs) == ["dense"]


def test_depthwise_convolutions_stay_in_float_and_are_named(caplog):
    model = sequential(layers.DepthwiseConv1D(3, name="depth"), layers.Dense(4, name="dense"))
    with caplog.at_level(logging.WARNING, "tfconformer"):
        quantized = tfconformer.quantize(model, {".*": INT4})
    assert list(QuantizedLayers(quantized).specs) == ["dense_kernel"]
    assert caplog.messages == ["the layer depth (DepthwiseConv1D) stays in float"]


class Subclassed(keras.Model):
    def call(self, x):
        return x


REFUSED = [
    (lambda: sequential(layers.Dense(4, name="a")), {"b": INT4, ".*": None}, "'b' matches no layer of a$"),
    (lambda: sequential(layers.Dense(4, name="a")), {"(": INT4}, "is not a regular expression"),
    (lambda: sequential(layers.Dense(4, name="a")), {".*": None}, "no rule quantizes a layer"),
    (
        lambda: sequential(layers.Dense(4, name="a"), layers.ReLU(name="r")),
        {"r": INT4},
        r"'r' matches only layers that have no matrix: r \(ReLU\)",
    ),
    (
        lambda: sequential(layers.Dense(4, name="a"), layers.SeparableConv1D(4, 3, name="s")),
        {".*": INT4},
        r"the layer s \(SeparableConv1D\) cannot be quantized: give it a rule with None",
    ),
    (
        lambda: sequential(layers.Bidirectional(layers.LSTM(4), name="b"), layers.Dense(4, name="a")),
        {".*": INT4},
        r"the layer b \(Bidirectional\) cannot be quantized",
    ),
    (
        lambda: sequential(layers.Masking(name="m"), layers.Dense(4, name="a")),
        {".*": INT4},
        "the layer a gets a mask, which quantized layers do not have: leave out Masking",
    ),
    (
        lambda: sequential(layers.LSTM(4, dropout=0.1, name="a")),
        {".*": INT4},
        r"the layer a \(LSTM\) cannot be quantized with dropout=0.1: set it to 0.0",
    ),
    (
        lambda: sequential(layers.Dense(4, kernel_regularizer="l2", name="a")),
        {".*": INT4},
        "with kernel_regularizer: set it to None, and use the weight decay of the optimizer",
    ),
    (
        lambda: sequential(layers.Conv1D(6, 3, groups=2, name="a")),
        {".*": INT4},
        r"the layer a \(Conv1D\) cannot be quantized with groups: 2",
    ),
    (lambda: Subclassed(name="s"), {".*": INT4}, r"the model s \(Subclassed\) is a subclassed model"),
    (lambda: keras.Sequential([layers.Dense(4)], name="s"), {".*": INT4}, "the model s has no input shape"),
    (lambda: "model.keras", {".*": INT4}, "expected a functional or Sequential model of tf_keras, got builtins.str"),
    (
        lambda: tfconformer.quantize(sequential(layers.Dense(4, name="a")), {".*": INT4}),
        {".*": INT4},
        "is quantized already: its layer quant_a_kernel is",
    ),
]


@pytest.mark.parametrize(("make", "rules", "sentence"), REFUSED, ids=[sentence[:40] for *_, sentence in REFUSED])
def test_what_cannot_be_quantized_is_refused(make, rules, sentence):
    model = make()
    with pytest.raises(InputError, match=sentence) as refusal:
        tfconformer.quantize(model, rules)
    assert "\n" not in str(refusal.value)


def test_a_model_of_keras_3_is_refused():
    class Functional:
        name = "m"

    Functional.__module__ = "keras.src.models.functional"
    with pytest.raises(InputError, match=r"the model m is one of Keras 3 .* build it with tf_keras"):
        tfconformer.quantize(Functional(), {".*": INT4})


def test_importing_the_package_imports_no_tensorflow():
    import subprocess
    import sys

    code = "import sys, tfconformer, converters; assert tfconformer.QuantSpec; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_model_is_left_as_it_is():
    model = keras_model(["dense", "lstm"])
    before, weights = model.get_config(), model.get_weights()
    tfconformer.quantize(model, {".*": INT4})
    assert model.get_config() == before
    assert all(map(np.array_equal, model.get_weights(), weights))
