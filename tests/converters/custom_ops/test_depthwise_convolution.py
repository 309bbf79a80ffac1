"""The depthwise convolution through a runtime, with every kernel that this machine has."""

from __future__ import annotations

import numpy as np
import pytest

from converters.custom_ops import kernel_names
from tests.support.depthwise_layer import SHAPES, random_depthwise
from tests.support.tflite_builder import ModelBuilder, load_with_delegate


def model_of(constants, shape, path, kernel=None, threads=2):
    """(interpreter, index of x, index of y)."""
    builder = ModelBuilder()
    x = builder.tensor("x", shape)
    y = builder.custom(x, "TfconformerDepthwiseConvolution", constants, "layer", shape)
    path.write_bytes(builder.build([x], [y]))
    return load_with_delegate(path, kernel, threads), x, y


def constants_of(layer):
    return {"kernel": layer.kernel, "params": layer.params, "bias": layer.bias}


@pytest.mark.parametrize("kernel", kernel_names())
@pytest.mark.parametrize("threads", [1, 2])
def test_equals_the_definition_bit_for_bit(kernel, threads, tmp_path):
    for seed, shape in enumerate(SHAPES):
        print(f"seed {seed}")
        layer, values = random_depthwise(np.random.default_rng(seed), *shape)
        file = tmp_path / "model.tflite"
        interpreter, x, y = model_of(constants_of(layer), list(values.shape), file, kernel, threads)
        interpreter.set_tensor(x, values)
        interpreter.invoke()
        np.testing.assert_array_equal(interpreter.get_tensor(y), layer.float32(values))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_definition_is_a_convolution(shape):
    layer, x = random_depthwise(np.random.default_rng(5), *shape)
    # A sum of up to 32 products of numbers below 6: float32 keeps 2^-24 of each partial sum.
    np.testing.assert_allclose(layer.float32(x), layer.exact(x), rtol=0, atol=1e-4)


def test_the_number_of_frames_may_change(tmp_path):
    layer, values = random_depthwise(np.random.default_rng(6), 1, 40, 15, 24)
    interpreter, x, y = model_of(constants_of(layer), [1, -1, 24], tmp_path / "model.tflite")
    for frames in (54, 15, 14, 1, 30):
        interpreter.resize_tensor_input(x, [1, frames, 24])
        interpreter.allocate_tensors()
        interpreter.set_tensor(x, values[:, :frames])
        interpreter.invoke()
        np.testing.assert_array_equal(interpreter.get_tensor(y), layer.float32(values[:, :frames]))


def test_numbers_that_are_not_finite_stay_in_their_windows(tmp_path):
    layer, values = random_depthwise(np.random.default_rng(7), 1, 20, 5, 18)
    values[0, 3, 2], values[0, 9, 17] = np.nan, np.inf
    interpreter, x, y = model_of(constants_of(layer), list(values.shape), tmp_path / "model.tflite")
    interpreter.set_tensor(x, values)
    interpreter.invoke()
    found = interpreter.get_tensor(y)
    spoiled = np.zeros(found.shape, bool)
    spoiled[0, 0:4, 2] = spoiled[0, 5:10, 17] = True
    np.testing.assert_array_equal(np.isfinite(found), ~spoiled)


@pytest.mark.parametrize(
    ("role", "value", "sentence"),
    [
        ("params", np.array([2, 5, 18], np.int32), "params: version is 2, expected 1"),
        ("params", np.array([1, 0, 18], np.int32), "params: length is 0, expected at least 1"),
        ("params", np.array([1, 5, -3], np.int32), "params: channels is -3, expected at least 1"),
        ("params", np.array([1, 6, 18], np.int32), r"kernel has the wrong shape, expected \[6, 18\]"),
        ("params", np.array([1, 5, 17], np.int32), r"kernel has the wrong shape, expected \[5, 17\]"),
        ("params", np.array([1, 5, 18, 0], np.int32), r"params has the wrong shape, expected \[3\]"),
        ("bias", np.zeros(17, np.float32), r"bias has the wrong shape, expected \[18\]"),
        ("kernel", np.zeros((5, 18), np.float16), "kernel is FLOAT16, expected FLOAT32"),
    ],
)
def test_a_damaged_layer_is_refused(role, value, sentence, tmp_path):
    layer, _ = random_depthwise(np.random.default_rng(8), 1, 20, 5, 18)
    with pytest.raises(RuntimeError, match=f"TfconformerDepthwiseConvolution 'layer': {sentence}"):
        model_of({**constants_of(layer), role: value}, [1, 24, 18], tmp_path / "model.tflite")


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ([24, 18], "x has 2 dimensions, expected 3"),
        ([1, 24, 17], "the last dimension of x is 17, expected 18"),
    ],
)
def test_an_input_of_another_shape_is_refused(shape, sentence, tmp_path):
    layer, _ = random_depthwise(np.random.default_rng(8), 1, 20, 5, 18)
    with pytest.raises(RuntimeError, match=sentence):
        model_of(constants_of(layer), shape, tmp_path / "model.tflite")
