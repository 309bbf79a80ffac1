"""The layer normalization through a runtime, with every kernel that this machine has."""

from __future__ import annotations

import numpy as np
import pytest

from converters.custom_ops import kernel_names
from tests.support.normalization_layer import SHAPES, random_normalization
from tests.support.tflite_builder import ModelBuilder, load_with_delegate


def model_of(constants, shape, path, kernel=None, threads=2):
    """(interpreter, index of x, index of y)."""
    builder = ModelBuilder()
    x = builder.tensor("x", shape)
    y = builder.custom(x, "TfconformerLayerNormalization", constants, "layer", [max(size, 1) for size in shape])
    path.write_bytes(builder.build([x], [y]))
    return load_with_delegate(path, kernel, threads), x, y


def constants_of(layer):
    return {
        "gain": layer.gain,
        "params": layer.params,
        "epsilon": np.array([layer.epsilon], np.float32),
        "bias": layer.bias,
    }


@pytest.mark.parametrize("kernel", kernel_names())
@pytest.mark.parametrize("threads", [1, 2])
def test_equals_the_definition_bit_for_bit(kernel, threads, tmp_path):
    for seed, (rows, channels) in enumerate(SHAPES):
        print(f"seed {seed}")
        layer, values = random_normalization(np.random.default_rng(seed), rows, channels)
        shape = [1, rows, channels]
        interpreter, x, y = model_of(constants_of(layer), shape, tmp_path / "model.tflite", kernel, threads)
        interpreter.set_tensor(x, values[np.newaxis])
        interpreter.invoke()
        np.testing.assert_array_equal(interpreter.get_tensor(y)[0], layer.float32(values))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_definition_is_a_normalization(shape):
    layer, x = random_normalization(np.random.default_rng(5), *shape)
    # Sums of numbers below 20: a partial sum of eight keeps 2^-24 of 160; a constant row, whose mean is not exact, is
    # divided by the root of epsilon, 0.003.
    np.testing.assert_allclose(layer.float32(x), layer.exact(x), rtol=0, atol=2e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_row_that_is_not_finite_spoils_no_other(value, tmp_path):
    layer, values = random_normalization(np.random.default_rng(6), 3, 70)
    values[1, 66] = value
    interpreter, x, y = model_of(constants_of(layer), [3, 70], tmp_path / "model.tflite")
    interpreter.set_tensor(x, values)
    interpreter.invoke()
    found = interpreter.get_tensor(y)
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(found[[0, 2]], layer.float32(values[[0, 2]]))


@pytest.mark.parametrize(
    ("role", "value", "sentence"),
    [
        ("params", np.array([2, 18], np.int32), "params: version is 2, expected 1"),
        ("params", np.array([1, 0], np.int32), "params: channels is 0, expected at least 1"),
        ("params", np.array([1, 17], np.int32), r"gain has the wrong shape, expected \[17\]"),
        ("params", np.array([1], np.int32), r"params has the wrong shape, expected \[2\]"),
        ("epsilon", np.array([0], np.float32), "epsilon is 0, expected a finite number above zero"),
        ("epsilon", np.array([np.nan], np.float32), "epsilon is -?nan, expected a finite number above zero"),
        ("bias", np.zeros(17, np.float32), r"bias has the wrong shape, expected \[18\]"),
        ("gain", np.zeros(18, np.float16), "gain is FLOAT16, expected FLOAT32"),
    ],
)
def test_a_damaged_layer_is_refused(role, value, sentence, tmp_path):
    layer, _ = random_normalization(np.random.default_rng(8), 2, 18)
    with pytest.raises(RuntimeError, match=f"TfconformerLayerNormalization 'layer': {sentence}"):
        model_of({**constants_of(layer), role: value}, [2, 18], tmp_path / "model.tflite")


def test_an_input_of_another_width_is_refused(tmp_path):
    layer, _ = random_normalization(np.random.default_rng(8), 2, 18)
    with pytest.raises(RuntimeError, match="the last dimension of x is 19, expected 18"):
        model_of(constants_of(layer), [2, 19], tmp_path / "model.tflite")
