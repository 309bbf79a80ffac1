"""Quantization without training: Hessians, fixed weights, sensitivity and allocation, on a Conformer of two blocks."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tests.support.tiny_conformer import tiny_config, tiny_model
from tfconformer.errors import InputError
from tfconformer.layers.dense import Dense
from tfconformer.quantization.apply import QuantizedLayers, match_layers, quantize_model
from tfconformer.quantization.post_training.allocation import Choice, allocate
from tfconformer.quantization.post_training.quantize import input_hessians, quantize_post_training, with_fixed_weights
from tfconformer.quantization.post_training.sensitivity import sensitivities
from tfconformer.quantization.spec import QuantizationRule, QuantSpec

RULES = [
    {"layers": ".*_head", "spec": None},
    {"layers": "block_00_.*", "spec": {"bits": 4, "activation_bits": 8}},
    {"layers": ".*", "spec": {"bits": 2, "symmetric": False, "block_size": 16}},
]


@pytest.fixture(scope="module")
def model():
    return tiny_model(tiny_config())


@pytest.fixture(scope="module")
def inputs():
    random = np.random.default_rng(0)
    return [
        (tf.constant(random.standard_normal([1, frames, 80]), tf.float32), tf.constant([frames])) for frames in (40, 57)
    ]


def rules(tree: list[dict]) -> list[QuantizationRule]:
    return [QuantizationRule.model_validate(rule) for rule in tree]


def test_hessians_are_the_sums_over_all_frames(model, inputs):
    hessians = input_hessians(model, inputs)
    rows = []
    for features, lengths in inputs:
        # The norm's output is what the expanding layer reads.
        submodel = type(model)(model.inputs, model.get_layer("block_01_ff2_norm").output)
        rows.append(submodel([features, lengths]).numpy()[0].astype(np.float64))
    expected = sum(one.T @ one for one in rows)
    np.testing.assert_allclose(hessians["block_01_ff2_expand"], expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
    assert hessians.keys() == {layer.name for layer in model.layers if isinstance(layer, Dense)}


def test_rounding_to_the_nearest_is_what_training_starts_from(model, inputs):
    """The same codes, and the same logits, as the model that quantization-aware training would build."""
    specs = match_layers(model, rules(RULES))
    fixed = with_fixed_weights(model, quantize_post_training(model, specs, "nearest"))
    trained = quantize_model(model, specs)
    expected = QuantizedLayers(trained)
    assert QuantizedLayers(fixed).keys() == expected.keys()
    for name, weights in QuantizedLayers(fixed).items():
        np.testing.assert_array_equal(weights.codes, expected[name].codes)
        np.testing.assert_array_equal(weights.scales, expected[name].scales)
    for one in inputs:
        np.testing.assert_array_equal(fixed(one)["logits"], trained(one, training=False)["logits"])


def test_the_float_model_stays_float(model, inputs):
    before = model(inputs[0])["logits"]
    with_fixed_weights(model, quantize_post_training(model, match_layers(model, rules(RULES)), "nearest"))
    input_hessians(model, inputs)
    assert QuantizedLayers(model) == {}
    np.testing.assert_array_equal(model(inputs[0])["logits"], before)


def test_gptq_changes_outputs_less(model, inputs):
    specs = match_layers(model, rules([*RULES[:1], {"layers": ".*", "spec": {"bits": 2, "symmetric": False}}]))
    hessians = input_hessians(model, inputs)
    for name, weights in quantize_post_training(model, specs, "gptq", hessians).items():
        nearest = quantize_post_training(model, {name: specs[name]}, "nearest")[name]
        kernel = model.get_layer(name).kernel.numpy().astype(np.float64)
        errors = [
            np.trace(difference.T @ hessians[name] @ difference)
            for difference in (one.dequantize().numpy() - kernel for one in (weights, nearest))
        ]
        assert errors[0] < errors[1], name


def test_sensitivity_is_the_divergence_of_one_layer_alone(model, inputs):
    layers = ["block_00_ff1_expand", "block_01_conv_contract"]
    specs = [QuantSpec(bits=2), QuantSpec(bits=8)]
    candidates = {
        name: [quantize_post_training(model, {name: spec}, "nearest")[name] for spec in specs] for name in layers
    }
    found = sensitivities(model, candidates, inputs)
    for name, spec in itertools.product(layers, specs):
        weights = candidates[name][specs.index(spec)]
        one = with_fixed_weights(model, {name: weights})
        total = 0.0
        for batch in inputs:
            truth = tf.nn.softmax(tf.cast(model(batch)["logits"], tf.float64)).numpy()
            other = tf.nn.softmax(tf.cast(one(batch)["logits"], tf.float64)).numpy()
            total += float(np.sum(truth * np.log(truth / other)))
        # Float32 log-probabilities of single frames cancel to their last digits.
        assert found[name][specs.index(spec)] == pytest.approx(total, rel=1e-3, abs=1e-4)
        assert found[name][0] > found[name][1]


def brute_force(choices: dict[str, list[Choice]], budget: int) -> float:
    return min(
        sum(one.error for one in each)
        for each in itertools.product(*choices.values())
        if sum(one.bytes for one in each) <= budget
    )


@pytest.mark.parametrize("seed", range(10))
def test_the_allocation_is_the_best_of_all(seed):
    random = np.random.default_rng(seed)
    choices = {
        f"layer_{index}": [
            Choice(QuantSpec(bits=bits), int(bits * random.integers(50, 200)), float(random.exponential() / bits))
            for bits in (2, 4, 8)
        ]
        for index in range(6)
    }
    smallest = sum(min(one.bytes for one in each) for each in choices.values())
    largest = sum(max(one.bytes for one in each) for each in choices.values())
    for budget in np.linspace(smallest, largest, 5).astype(int):
        chosen = allocate(choices, int(budget))
        assert chosen.keys() == choices.keys()
        assert sum(one.bytes for one in chosen.values()) <= budget
        assert sum(one.error for one in chosen.values()) == pytest.approx(brute_force(choices, budget))


def test_a_budget_that_nothing_fits_is_named():
    with pytest.raises(InputError, match="take 100 bytes, the budget for them is 99"):
        allocate({"layer": [Choice(QuantSpec(bits=2), 100, 1.0)]}, 99)
