"""Quantized activations with float weights, the first column of the 4-bit paper's table, against loops in NumPy."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from tfconformer.errors import InputError
from tfconformer.layers.dense import Dense
from tfconformer.quantization.apply import QuantizedLayers, quantize_model
from tfconformer.quantization.layers.quantize_wrapper import QuantizationSteps
from tfconformer.quantization.post_training.gptq import gptq
from tfconformer.quantization.post_training.quantize import quantize_post_training, with_fixed_weights
from tfconformer.quantization.spec import QuantSpec

K, N, ROWS = 100, 6, 7
RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(ROWS, K)).astype(np.float32)
KERNEL = RANDOM.normal(size=(K, N)).astype(np.float32)
# Sums of 100 float32 products, in the order of another library.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def float_model() -> keras.Model:
    inputs = keras.Input([K])
    model = keras.Model(inputs, Dense(N, use_bias=False, name="dense")(inputs))
    model.get_layer("dense").kernel.assign(KERNEL)
    return model


def quantized_model(**spec) -> keras.Model:
    return quantize_model(float_model(), {"dense": QuantSpec.model_validate({"bits": 32, **spec})})


def rounded(rows: np.ndarray, bits: int) -> np.ndarray:
    """Every row on its own grid of 2^bits - 1 levels."""
    limit, result = 2 ** (bits - 1) - 1, np.empty_like(rows, np.float64)
    for index, row in enumerate(rows):
        step = np.abs(row).max().astype(np.float64) / limit
        result[index] = np.rint(row / step) * step
    return result


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("training", [False, True])
def test_the_product_is_that_of_rounded_rows_and_the_kernel(bits, training):
    outputs = quantized_model(activation_bits=bits)(X, training=training)
    np.testing.assert_allclose(outputs, rounded(X, bits) @ KERNEL.astype(np.float64), **CLOSE)
    assert np.abs(outputs - X @ KERNEL).max() > 100 * CLOSE["atol"]


@pytest.mark.parametrize("bits", [4, 8])
def test_gradients_pass_straight_through_the_rounding_of_rows(bits):
    model = quantized_model(activation_bits=bits)
    kernel = model.get_layer("quant_dense").layer.kernel
    x, upstream = tf.constant(X), tf.constant(RANDOM.normal(size=(ROWS, N)).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(model(x, training=True) * upstream)
    to_rows, to_kernel = tape.gradient(loss, [x, kernel])
    np.testing.assert_allclose(to_rows, upstream.numpy() @ KERNEL.T, **CLOSE)
    np.testing.assert_allclose(to_kernel, rounded(X, bits).T @ upstream.numpy(), **CLOSE)


def test_rows_are_float_outside_of_the_schedule():
    model = quantized_model(activation_bits=4, schedule={"begin": 1, "end": 2})
    model.compile(keras.optimizers.SGD(0.0), loss="mse")
    seen = []

    class Record(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(self.model(X, training=True).numpy())

    data = tf.data.Dataset.from_tensors((X, np.zeros([ROWS, N], np.float32))).repeat()
    model.fit(data, steps_per_epoch=3, verbose=0, callbacks=[QuantizationSteps(), Record()])
    np.testing.assert_allclose(seen[0], X @ KERNEL, **CLOSE)
    np.testing.assert_allclose(seen[1], rounded(X, 4) @ KERNEL, **CLOSE)
    np.testing.assert_allclose(seen[2], X @ KERNEL, **CLOSE)
    np.testing.assert_allclose(model(X), rounded(X, 4) @ KERNEL, **CLOSE)


def test_without_training_the_product_is_the_same():
    spec = QuantSpec(bits=32, activation_bits=8)
    trained = quantized_model(activation_bits=8)
    fixed = with_fixed_weights(float_model(), quantize_post_training(float_model(), {"dense": spec}, "nearest"))
    np.testing.assert_array_equal(fixed(X), trained(X))
    np.testing.assert_array_equal(QuantizedLayers(trained)["dense"].dequantize(), KERNEL)
    with pytest.raises(InputError, match="GPTQ rounds weights"):
        gptq(KERNEL, np.eye(K), spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "need activation_bits"),
        ({"activation_bits": 8, "block_size": 64}, "have no block_size"),
        ({"activation_bits": 8, "symmetric": False, "clip": 0.5}, "have no symmetric, clip"),
        ({"activation_bits": 8, "sparsity": "2:4"}, "have no sparsity"),
        ({"activation_bits": 8, "schedule": {"freeze": 3}}, "no scales to freeze"),
    ],
)
def test_what_only_codes_have_is_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        QuantSpec.model_validate({"bits": 32, **spec})


def test_float_weights_take_32_bits():
    assert QuantSpec(bits=32, activation_bits=8).code_bits_per_weight == 32
