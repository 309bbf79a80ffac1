"""What becomes of every dense layer; requests the file format cannot hold are refused with the layer and the reason."""

import pytest
import tf_keras as keras

from converters.exporter.plan import LayerPlan, plan
from tfconformer.errors import InputError
from tfconformer.layers.dense import Dense
from tfconformer.quantization.spec import QuantSpec


@pytest.fixture(scope="module")
def model():
    x = keras.Input([None, 24])
    x_long = keras.Input([None, 140_000])
    outputs = [Dense(5, name="first")(x), Dense(7, name="second")(x), Dense(1, name="long")(x_long)]
    return keras.Model([x, x_long], outputs)


def test_layers_without_a_spec_stay_float(model):
    spec = QuantSpec(bits=2, symmetric=False, block_size=16)
    assert plan(model, {"second": spec, "not_exported": spec}) == (
        LayerPlan("first", 24, 5, None),
        LayerPlan("second", 24, 7, spec),
        LayerPlan("long", 140_000, 1, None),
    )


@pytest.mark.parametrize(
    ("name", "spec", "reason"),
    [
        ("first", QuantSpec(bits=4, scale_dtype="float32"), "stores scales and offsets in float16"),
        ("first", QuantSpec(bits=3, sparsity="2:4"), "sparse weights of 3 bits"),
        ("first", QuantSpec(bits=32, activation_bits=8), "quantized activations with float weights"),
        ("first", QuantSpec(bits=4, activation_bits=4), "quantizes activations to 8 bits"),
        ("first", QuantSpec(bits=4, symmetric=False, sparsity="2:4"), "asymmetric weight cannot be exactly zero"),
        ("long", QuantSpec(bits=8, activation_bits=8), "in 32 bits: use smaller blocks"),
    ],
)
def test_a_refusal_names_layer_and_reason(model, name, spec, reason):
    with pytest.raises(InputError, match=rf"layer {name} .*{reason}"):
        plan(model, {name: spec})


def test_what_is_refused_in_one_block_is_possible_in_many(model):
    plan(model, {"long": QuantSpec(bits=8, activation_bits=8, block_size=64)})
    plan(model, {"long": QuantSpec(bits=8)})


def test_a_refusal_says_of_the_spec_what_is_not_default(model):
    with pytest.raises(InputError, match=r"as \(bits: 4, activation_bits: 4, schedule: {'begin': 5}\): the op"):
        plan(model, {"first": QuantSpec(bits=4, activation_bits=4, schedule={"begin": 5})})


def test_an_unknown_target_is_an_error(model):
    with pytest.raises(InputError, match="unknown export target 'phone', expected one of custom"):
        plan(model, {}, "phone")
