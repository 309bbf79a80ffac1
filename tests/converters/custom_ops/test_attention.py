"""Attention through a runtime, with every kernel that this machine has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.custom_ops import kernel_names, padded_columns
from tests.support.attention_layer import (
    STEPS,
    UTTERANCES,
    exponential,
    random_stream,
    random_utterance,
)
from tests.support.tflite_builder import ModelBuilder, load_with_delegate

UTTERANCE, STEP = "TfconformerAttention", "TfconformerAttentionStep"
TOLERANCE = 2e-6  # float32 keeps 2^-24 of every partial sum of up to 70 products of numbers below 5


def model_of(operation, variables, constants, path, kernel=None, threads=2):
    """(interpreter, indices of the variables, index of y) for shapes of the variables, "first" of which is integer."""
    builder = ModelBuilder()
    given = {
        name: builder.tensor(name, shape, np.int32 if name == "first" else np.float32)
        for name, shape in variables.items()
    }
    inputs = [builder.constant(f"layer/{role}", value) for role, value in constants.items()]
    y = builder.tensor("layer", variables["query"])
    builder.operator(schema.BuiltinOperator.CUSTOM, [*given.values(), *inputs], y, operation)
    path.write_bytes(builder.build(list(given.values()), [y]))
    return load_with_delegate(path, kernel, threads), given, y


def constants_of(layer):
    constants = {"params": layer.params, "content_bias": layer.content_bias, "position_bias": layer.position_bias}
    return constants if layer.positions is None else {**constants, "positions": layer.position_columns}


def utterance_variables(inputs):
    return {name: getattr(inputs, name) for name in ("query", "key", "value", "position", "mask")}


def run(interpreter, given, y, values):
    for name, value in values.items():
        interpreter.set_tensor(given[name], value)
    interpreter.invoke()
    return interpreter.get_tensor(y)


def run_utterance(layer, inputs, path, kernel=None, threads=1):
    values = utterance_variables(inputs)
    shapes = {name: list(value.shape) for name, value in values.items()}
    return run(*model_of(UTTERANCE, shapes, constants_of(layer), path, kernel, threads), values)


@pytest.mark.parametrize("kernel", kernel_names())
@pytest.mark.parametrize("threads", [1, 2])
def test_utterances_equal_the_definition_bit_for_bit(kernel, threads, tmp_path):
    for seed, shape in enumerate(UTTERANCES):
        print(f"seed {seed}")
        layer, inputs = random_utterance(np.random.default_rng(seed), *shape)
        found = run_utterance(layer, inputs, tmp_path / "model.tflite", kernel, threads)
        np.testing.assert_array_equal(found, layer.float32(inputs))


def step_shapes(stream):
    batch, _, dim = stream.query.shape
    frames = [batch, stream.frames, dim]
    return {
        **dict.fromkeys(("query", "key", "value"), frames),
        "mask": [batch, 1, stream.frames, stream.span],
        "first": [1],
        "keys": [batch, dim, padded_columns(stream.capacity)],
        "values": [batch, stream.capacity, dim],
    }


def step_values(stream, index, first):
    parts = {name: stream.new(getattr(stream, name), index) for name in ("query", "key", "value")}
    return {**parts, "mask": stream.masks[index], "first": np.array([first], np.int32)}


@pytest.mark.parametrize("kernel", kernel_names())
@pytest.mark.parametrize("threads", [1, 2])
def test_steps_equal_the_definition_bit_for_bit(kernel, threads, tmp_path):
    for seed, shape in enumerate(STEPS):
        print(f"seed {seed}")
        stream = random_stream(np.random.default_rng(seed), *shape, steps=12)
        file = tmp_path / "model.tflite"
        model = model_of(STEP, step_shapes(stream), constants_of(stream.layer), file, kernel, threads)
        interpreter, given, _ = model
        for state in ("keys", "values"):
            interpreter.tensor(given[state])().fill(0)
        for index in range(12):
            # A stream with a delay begins with negative numbers.
            found = run(*model, step_values(stream, index, index * stream.frames - 5))
            np.testing.assert_array_equal(found, stream.layer.float32(stream.step(index)))


@pytest.mark.parametrize("shape", UTTERANCES)
def test_the_definition_is_attention(shape):
    layer, inputs = random_utterance(np.random.default_rng(5), *shape)
    np.testing.assert_allclose(layer.float32(inputs), layer.exact(inputs), rtol=0, atol=10 * TOLERANCE)


def test_the_exponential_is_within_two_units_in_the_last_place():
    x = -np.random.default_rng(6).exponential(10, 200_000).astype(np.float32)
    x = np.concatenate([x[x >= -87], np.float32([0, -87, -1e-45, -0.34657359])])
    exact = np.exp(x.astype(np.float64))
    error = np.abs(exponential(x) - exact) / np.spacing(exact.astype(np.float32))
    assert error.max() < 2
    assert not exponential(np.float32([-87.01, -1e4, -np.inf])).any()


def test_the_number_of_frames_may_change(tmp_path):
    file = tmp_path / "model.tflite"
    shapes = {name: [1, -1, 10] for name in ("query", "key", "value", "position")} | {"mask": [1, 1, 1, -1]}
    layer, _ = random_utterance(np.random.default_rng(7), 1, 1, 2, 5, 1)
    interpreter, given, y = model_of(UTTERANCE, shapes, constants_of(layer), file)
    for frames in (40, 1, 17, 90, 3):
        _, inputs = random_utterance(np.random.default_rng(frames), 1, frames, 2, 5, 1)
        values = utterance_variables(inputs)
        for name, value in values.items():
            interpreter.resize_tensor_input(given[name], value.shape)
        interpreter.allocate_tensors()
        np.testing.assert_array_equal(run(interpreter, given, y, values), layer.float32(inputs))


def test_a_number_that_is_not_finite_spoils_its_head_alone(tmp_path):
    layer, inputs = random_utterance(np.random.default_rng(8), 1, 20, 2, 5, 1)
    inputs.mask[:] = 0
    inputs.key[0, 3, 7], inputs.value[0, 9, 2] = np.nan, np.inf
    for kernel in kernel_names():
        finite = np.isfinite(run_utterance(layer, inputs, tmp_path / "model.tflite", kernel))
        expected = np.ones(finite.shape, bool)
        expected[0, :, 5:] = expected[0, :, 2] = False
        np.testing.assert_array_equal(finite, expected, err_msg=kernel)


def test_masked_keys_have_no_weight(tmp_path):
    layer, inputs = random_utterance(np.random.default_rng(9), 1, 20, 1, 8, 1)
    inputs.mask[:] = 0
    inputs.mask[..., 12:] = -1e4
    inputs.value[0, 12:] = 1e9
    key, value, mask = inputs.key[:, :12], inputs.value[:, :12], inputs.mask[..., :12]
    kept = replace(inputs, key=key, value=value, mask=mask)
    found = run_utterance(layer, inputs, tmp_path / "model.tflite")
    np.testing.assert_allclose(found, layer.exact(kept), rtol=0, atol=10 * TOLERANCE)


@pytest.mark.parametrize(
    ("role", "value", "sentence"),
    [
        ("params", np.array([2, 2, 5, 8], np.int32), "params: version is 2, expected 1"),
        ("params", np.array([1, 0, 5, 8], np.int32), "params: heads is 0, expected at least 1"),
        ("params", np.array([1, 2, 2**30, 8], np.int32), "params: width is 1073741824, expected at least 1"),
        ("params", np.array([1, 2, 5, -8], np.int32), "params: distances is -8, expected at least 0"),
        ("params", np.array([1, 2, 5, 0], np.int32), "params: distances is 0, expected at least 1"),
        ("params", np.array([1, 2, 5, 17], np.int32), r"positions has the wrong shape, expected \[10, 32\]"),
        ("params", np.array([1, 5, 2, 8], np.int32), r"content_bias has the wrong shape, expected \[5, 2\]"),
        ("params", np.array([1, 2, 5], np.int32), r"params has the wrong shape, expected \[4\]"),
        ("position_bias", np.zeros((2, 5), np.float16), "position_bias is FLOAT16, expected FLOAT32"),
    ],
)
def test_a_damaged_step_is_refused(role, value, sentence, tmp_path):
    stream = random_stream(np.random.default_rng(10), *STEPS[1], steps=1)
    constants = {**constants_of(stream.layer), role: value}
    with pytest.raises(RuntimeError, match=f"{STEP} 'layer': {sentence}"):
        model_of(STEP, step_shapes(stream), constants, tmp_path / "model.tflite")


@pytest.mark.parametrize(
    ("variable", "shape", "sentence"),
    [
        ("query", [3, 10], "query has 2 dimensions, expected 3"),
        ("key", [2, 4, 10], r"key has the wrong shape, expected \[2, 3, 10\]"),
        ("mask", [2, 1, 3, 11], "3 frames look at 11, of which 10 are kept"),
        ("mask", [2, 1, 3, 0], "3 frames look at 0, of which 10 are kept"),
        ("mask", [2, 1, 2, 8], r"mask has the wrong shape, expected \[2, 1, 3, 8\]"),
        ("first", [2], r"first has the wrong shape, expected \[1\]"),
        ("keys", [2, 10, 10], r"keys has the wrong shape, expected \[2, 10, 16\]"),
        ("values", [2, 2, 10], "3 frames look at 8, of which 2 are kept"),
    ],
)
def test_a_step_of_another_shape_is_refused(variable, shape, sentence, tmp_path):
    stream = random_stream(np.random.default_rng(11), *STEPS[1], steps=1)
    shapes = {**step_shapes(stream), variable: shape}
    with pytest.raises(RuntimeError, match=sentence):
        model_of(STEP, shapes, constants_of(stream.layer), tmp_path / "model.tflite")


def test_an_utterance_of_another_shape_is_refused(tmp_path):
    layer, inputs = random_utterance(np.random.default_rng(12), *UTTERANCES[1])
    shapes = {name: list(value.shape) for name, value in utterance_variables(inputs).items()}
    for variable, shape, sentence in [
        ("position", [1, 6, 10], r"position has the wrong shape, expected \[1, 5, 10\]"),
        ("mask", [2, 1, 2, 3], r"mask has the wrong shape, expected \[2, 1, 3, 3\]"),
    ]:
        with pytest.raises(RuntimeError, match=sentence):
            model_of(UTTERANCE, {**shapes, variable: shape}, constants_of(layer), tmp_path / "model.tflite")
    wrong = {**constants_of(layer), "params": np.array([1, 2, 5, 4], np.int32)}
    with pytest.raises(RuntimeError, match="params: distances is 4, expected 0"):
        model_of(UTTERANCE, shapes, wrong, tmp_path / "model.tflite")
