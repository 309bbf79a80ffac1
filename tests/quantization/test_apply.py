"""Rules choose layers; a quantized copy computes what its dequantized weights compute."""

import numpy as np
import pytest
import tensorflow as tf

from tfconformer.errors import InputError
from tfconformer.layers.dense import Dense, float_layers
from tfconformer.models.config import ModelConfig
from tfconformer.models.ctc import conformer_ctc
from tfconformer.quantization.apply import QuantizedLayers, copy_float_weights, match_layers, quantize_model
from tfconformer.quantization.layers.quantize_wrapper import quantization_step
from tfconformer.quantization.quantizers.weights import fake_quantize_weights
from tfconformer.quantization.spec import PruningSchedule, QuantizationRule, QuantSpec

INT2 = QuantSpec(bits=2, symmetric=False, block_size=16)
INT8 = QuantSpec(bits=8, activation_bits=8)


@pytest.fixture(scope="module")
def model():
    config = ModelConfig(
        blocks=2, dim=24, heads=2, conv_kernel=5, subsampling_channels=4, intermediate_ctc=1, dropout=0.0
    )
    return conformer_ctc(config, mel_bins=16, vocabulary=6)


@pytest.fixture(scope="module")
def inputs():
    random = np.random.default_rng(0)
    return [random.normal(size=(2, 40, 16)).astype(np.float32), np.array([40, 23], np.int32)]


def test_the_first_matching_rule_decides(model):
    rules = [
        QuantizationRule(layers=".*_head", spec=None),
        QuantizationRule(layers="block_00_.*", spec=INT8),
        QuantizationRule(layers=".*", spec=INT2),
    ]
    specs = match_layers(model, rules)
    assert "ctc_head" not in specs
    assert specs["block_00_attention_query"] == INT8
    assert specs["block_01_attention_query"] == specs["subsampling_projection"] == INT2
    assert {name: weights.spec for name, weights in QuantizedLayers(quantize_model(model, specs)).items()} == specs


@pytest.mark.parametrize(("pattern", "message"), [("block_99", "matches none"), ("(", "not a regular expression")])
def test_a_rule_without_effect_is_an_error(model, pattern, message):
    with pytest.raises(InputError, match=message):
        match_layers(model, [QuantizationRule(layers=pattern, spec=INT8)])


def test_quantized_weights_compute_what_their_dequantized_values_compute(model, inputs):
    specs = match_layers(model, [QuantizationRule(layers="block_.*", spec=INT2)])
    quantized = quantize_model(model, specs)
    by_hand = type(model).from_config(model.get_config())
    copy_float_weights(quantized, by_hand)
    for layer in by_hand.layers:
        if layer.name in specs:
            layer.kernel.assign(fake_quantize_weights(tf.constant(layer.kernel.numpy()), specs[layer.name]))
    # Same operations on the same numbers, in graphs that TensorFlow may schedule differently.
    np.testing.assert_allclose(quantized(inputs)["logits"], by_hand(inputs)["logits"], rtol=1e-5, atol=1e-5)
    assert not np.allclose(quantized(inputs)["logits"], model(inputs)["logits"], atol=1e-2)


def test_a_quantized_model_hands_on_its_master_weights_and_its_mask(model):
    """A start from a quantized run: to fewer bits, and from a mask to a quantizer that computes it from the weights."""
    first = match_layers(model, [QuantizationRule(layers="block_.*", spec=QuantSpec(bits=4, sparsity="2:4"))])
    source = quantize_model(
        model, {name: spec.model_copy(update={"sparsity_schedule": PruningSchedule()}) for name, spec in first.items()}
    )
    quantization_step(source, 0)
    name = "block_01_ff1_expand"
    kernel = float_layers(source)[name].kernel
    chosen = QuantizedLayers(source)[name].mask.numpy()
    kernel.assign(tf.reverse(kernel, [0]) * 3)  # the mask is that of the schedule, no longer that of the magnitudes
    target = type(model).from_config(model.get_config())
    copy_float_weights(source, target)
    np.testing.assert_array_equal(target.get_layer(name).kernel, kernel.numpy() * chosen)
    dense = target.get_layer("subsampling_projection").kernel
    np.testing.assert_array_equal(dense, model.get_layer("subsampling_projection").kernel)
    fewer = quantize_model(target, {layer: spec.model_copy(update={"bits": 2}) for layer, spec in first.items()})
    np.testing.assert_array_equal(QuantizedLayers(fewer)[name].mask, chosen)


def test_activation_quantization_is_active(model, inputs):
    weights_only = QuantSpec(bits=8)
    names = [layer.name for layer in model.layers if isinstance(layer, Dense)]
    with_rows = quantize_model(model, dict.fromkeys(names, INT8))(inputs)["logits"].numpy()
    without = quantize_model(model, dict.fromkeys(names, weights_only))(inputs)["logits"].numpy()
    assert 1e-5 < np.abs(with_rows - without)[0].max() < 0.5


def test_gradients_reach_every_weight(model, inputs):
    quantized = quantize_model(model, match_layers(model, [QuantizationRule(layers=".*", spec=INT2)]))
    with tf.GradientTape() as tape:
        outputs = quantized(inputs, training=True)
        loss = tf.reduce_mean(outputs["logits"][:, :5] ** 2) + tf.reduce_mean(outputs["intermediate"][:, :5] ** 2)
    for variable, gradient in zip(
        quantized.trainable_variables, tape.gradient(loss, quantized.trainable_variables), strict=True
    ):
        assert gradient is not None and np.all(np.isfinite(gradient)), variable.name


def test_the_former_key_of_co_training_is_read():
    specs = [{"bits": 4}, {"bits": 2}]
    rules = [
        QuantizationRule.model_validate({"layers": ".*", "spec": {"bits": 8}, key: specs})
        for key in ("also", "co_train")
    ]
    assert rules[0] == rules[1]
    assert rules[0].bits == (8, 4, 2)
    assert "co_train" in rules[0].model_dump()
