"""Every kind of Keras layer that can be quantized: values, gradients, schedules, files, and freezing."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import tfconformer
from tests.support.keras_kinds import BRANCHES, inputs, keras_model, leaves
from tfconformer import QuantSpec, Schedule
from tfconformer.layers.from_keras.expansion import expanded_classes, expansion_of
from tfconformer.layers.from_keras.model import expand
from tfconformer.quantization.apply import QuantizedLayers
from tfconformer.quantization.layers.quantize_wrapper import QuantizedDense, quantized_layers

BLOCK = 8
SPEC = QuantSpec(bits=2, symmetric=False, block_size=BLOCK, clip={"learn": "channel"}, schedule=Schedule(begin=1))
X = inputs()


@pytest.fixture(scope="module")
def model():
    return keras_model()


@pytest.fixture(scope="module")
def quantized(model):
    return tfconformer.quantize(model, {"image": None, ".*": SPEC})


@pytest.fixture(scope="module")
def outputs(quantized):
    return quantized(X)


def matrices(model: keras.Model, branch: str) -> list[tuple[keras.layers.Layer, str, object]]:
    """The Keras layer, the name of the matrix and its layout, for every matrix of a branch."""
    layer = leaves(model)[branch]
    return [(layer, f"{branch}_{suffix}", one) for suffix, one in expansion_of(layer).weights(layer).items()]


def test_the_branches_have_all_kinds(model):
    assert {type(layer) for layer in leaves(model).values() if layer.weights} == set(expanded_classes())


@pytest.mark.parametrize("branch", BRANCHES)
def test_an_expanded_layer_computes_what_the_layer_does(model, branch):
    part = keras.Model(model.input, {branch: model.output[branch]})
    expanded = expand(part, [branch]).model
    # Float32 sums in another order.
    np.testing.assert_allclose(expanded(X)[branch], part(X)[branch], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("branch", BRANCHES)
def test_the_forward_pass_is_that_of_the_layer_with_weights_on_a_grid(model, outputs, quantized, branch):
    copy = keras.Model(model.input, model.output[branch])
    saved = copy.get_weights()
    try:
        for layer, name, matrix in matrices(model, branch):
            values = QuantizedLayers(quantized)[name].dequantize()
            for column in values.numpy().T:
                blocks = np.split(column, range(BLOCK, len(column), BLOCK))
                assert max(len(np.unique(block)) for block in blocks) <= 2**SPEC.bits
            weight = matrix.weight(layer)
            weight.assign(matrix.from_matrix(values, weight.shape))
        np.testing.assert_allclose(outputs[branch], copy(X), rtol=1e-5, atol=1e-6)
    finally:
        copy.set_weights(saved)


@pytest.mark.parametrize("branch", BRANCHES)
def test_every_weight_has_a_gradient(model, quantized, branch):
    names = [name for _, name, _ in matrices(model, branch)]
    wrappers = [layer for layer in quantized.layers if isinstance(layer, QuantizedDense) and layer.layer.name in names]
    assert len(wrappers) == len(names)
    tfconformer.quantization_step(quantized, 1)
    part = keras.Model(quantized.input, quantized.output[branch])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(part(X, training=True)))
    weights = [weight for layer in wrappers for weight in layer.trainable_weights]
    assert sum("clip" in weight.name for weight in weights) == len(names)
    for weight, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
        assert np.abs(gradient).max() > 0, weight.name


def test_training_is_in_float_before_the_schedule_begins(model, quantized):
    for layer in quantized_layers(quantized):
        layer.optimizer_step.assign(-1)
    with pytest.raises(tf.errors.InvalidArgumentError, match="quantization_step"):
        quantized(X, training=True)
    tfconformer.quantization_step(quantized, 0)
    expected = model(X)
    for branch, output in quantized(X, training=True).items():
        np.testing.assert_allclose(output, expected[branch], rtol=1e-5, atol=1e-6)
    tfconformer.quantization_step(quantized, 1)
    assert all(np.abs(output - expected[branch]).max() > 0.01 for branch, output in quantized(X, training=True).items())


@pytest.mark.parametrize("file", ["q.keras", "q.h5", "q"])
def test_a_saved_model_is_the_model(quantized, outputs, file, tmp_path):
    quantized.save(tmp_path / file)
    loaded = tfconformer.load_model(tmp_path / file)
    for branch, output in loaded(X).items():
        np.testing.assert_array_equal(output, outputs[branch])
    assert type(loaded.get_layer("quant_dense_kernel")) is QuantizedDense


@pytest.mark.parametrize("file", ["q.weights.h5", "q.h5", "checkpoint"])
def test_a_clone_with_saved_weights_is_the_model(quantized, outputs, file, tmp_path):
    quantized.save_weights(tmp_path / file)
    clone = keras.models.clone_model(quantized)
    clone.load_weights(tmp_path / file)
    for branch, output in clone(X).items():
        np.testing.assert_array_equal(output, outputs[branch])
    assert clone.get_config() == quantized.get_config()


def test_a_frozen_layer_trains_nothing(model, quantized):
    quantized.trainable = False
    assert quantized.trainable_weights == []
    quantized.trainable = True
    assert quantized.trainable_weights
    for layer in model.layers:
        layer.trainable = False
    try:
        frozen = tfconformer.quantize(model, {"image": None, ".*": SPEC})
    finally:
        for layer in model.layers:
            layer.trainable = True
    assert frozen.trainable_weights == []
    assert [weight.shape for weight in frozen.weights] == [weight.shape for weight in quantized.weights]
