"""The depthwise convolution through a runtime, with every kernel that this machine has."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, load_delegate

from converters.custom_ops import kernel_names, library_path
from tests.support.depthwise_layer import SHAPES, DepthwiseLayer, random_depthwise
from tests.support.tflite_builder import ModelBuilder


def load(builder, x, y, path, kernel=None, threads=2):
    path.write_bytes(builder.build([x], [y]))
    delegate = load_delegate(str(library_path()), {} if kernel is None else {"kernel": kernel})
    interpreter = Interpreter(str(path), experimental_delegates=[delegate], num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter


@pytest.mark.parametrize("kernel", kernel_names())
@pytest.mark.parametrize("threads", [1, 2])
def test_equals_the_definition_bit_for_bit(kernel, threads, tmp_path):
    for seed, (batch, frames, length, channels) in enumerate(SHAPES):
        print(f"seed {seed}")
        layer, values = random_depthwise(np.random.default_rng(seed), batch, frames, length, channels)
        builder = ModelBuilder()
        x = builder.tensor("x", list(values.shape))
        y = builder.depthwise_convolution(x, layer, "y", [batch, max(frames, 1), channels])
        interpreter = load(builder, x, y, tmp_path / "model.tflite", kernel, threads)
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
    builder = ModelBuilder()
    x = builder.tensor("x", [1, -1, 24])
    y = builder.depthwise_convolution(x, layer, "y", [1, -1, 24])
    interpreter = load(builder, x, y, tmp_path / "model.tflite")
    for frames in (54, 15, 14, 1, 30):
        interpreter.resize_tensor_input(x, [1, frames, 24])
        interpreter.allocate_tensors()
        interpreter.set_tensor(x, values[:, :frames])
        interpreter.invoke()
        np.testing.assert_array_equal(interpreter.get_tensor(y), layer.float32(values[:, :frames]))


def test_numbers_that_are_not_finite_pass_through(tmp_path):
    layer, values = random_depthwise(np.random.default_rng(7), 1, 20, 5, 18)
    values[0, 3, 2], values[0, 9, 17] = np.nan, np.inf
    builder = ModelBuilder()
    x = builder.tensor("x", list(values.shape))
    y = builder.depthwise_convolution(x, layer, "y", [1, 20, 18])
    interpreter = load(builder, x, y, tmp_path / "model.tflite")
    interpreter.set_tensor(x, values)
    interpreter.invoke()
    np.testing.assert_array_equal(interpreter.get_tensor(y), layer.float32(values))


class WrongParams(DepthwiseLayer):
    """A layer whose params say something else."""

    wrong: tuple[int, ...] = ()

    @property
    def params(self):
        return np.array(self.wrong, np.int32)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ((2, 5, 18), "params: version is 2, expected 1"),
        ((1, 0, 18), "params: length is 0, expected at least 1"),
        ((1, 5, -3), "params: channels is -3, expected at least 1"),
        ((1, 6, 18), r"kernel has the wrong shape, expected \[6, 18\]"),
        ((1, 5, 17), r"kernel has the wrong shape, expected \[5, 17\]"),
        ((1, 5, 18, 0), r"params has the wrong shape, expected \[3\]"),
    ],
)
def test_a_damaged_layer_is_refused(params, sentence, tmp_path):
    good, _ = random_depthwise(np.random.default_rng(8), 1, 20, 5, 18)
    layer = WrongParams(good.kernel, good.bias)
    layer.wrong = params
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 24, 18])
    y = builder.depthwise_convolution(x, layer, "layer", [1, 20, 18])
    with pytest.raises(RuntimeError, match=f"TfconformerDepthwiseConvolution 'layer': {sentence}"):
        load(builder, x, y, tmp_path / "model.tflite")


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ([24, 18], "x has 2 dimensions, expected 3"),
        ([1, 24, 17], "the last dimension of x is 17, expected 18"),
    ],
)
def test_an_input_of_another_shape_is_refused(shape, sentence, tmp_path):
    layer, _ = random_depthwise(np.random.default_rng(8), 1, 20, 5, 18)
    builder = ModelBuilder()
    x = builder.tensor("x", shape)
    y = builder.depthwise_convolution(x, layer, "layer", [1, 20, 18])
    with pytest.raises(RuntimeError, match=sentence):
        load(builder, x, y, tmp_path / "model.tflite")
