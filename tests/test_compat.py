"""The private parts of TensorFlow and Keras that the project leans on."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from tfconformer.compat import (
    ctc_loss,
    infers_shape,
    is_compiled_by_xla,
    keras_mask,
    layer_calls,
    shape_graph,
    tensor_of_shape,
    variable_without_value,
)


def test_calls_of_layers_come_after_those_that_they_read():
    x = keras.Input([3], name="x")
    shared = keras.layers.Dense(3, name="shared")
    model = keras.Model(x, keras.layers.Add(name="add")([shared(shared(x)), x]))
    calls = list(layer_calls(model))
    assert [call.layer.name for call in calls] == ["x", "shared", "shared", "add"]
    assert [call.is_input for call in calls] == [True, False, False, False]
    there = set()
    for call in calls:
        if not call.is_input:
            assert {id(one) for one in tf.nest.flatten(call.input_tensors)} <= there
        there |= {id(one) for one in tf.nest.flatten(call.outputs)}
    assert id(model.output) in there


def test_calls_have_the_arguments_of_the_layer():
    x, y = keras.Input([3], name="x"), keras.Input([3], name="y")
    model = keras.Model([x, y], keras.layers.Attention()([x, y], use_causal_mask=True))
    *_, call = layer_calls(model)
    assert [id(one) for one in tf.nest.flatten(call.call_args)] == [id(x), id(y)]
    assert call.call_kwargs == {"use_causal_mask": True}


def test_a_mask_is_found_where_keras_makes_one():
    x = keras.Input([None, 3])
    assert keras_mask(x) is None
    assert keras_mask(keras.layers.Masking()(x)) is not None


@pytest.mark.parametrize("compiled", [True, False])
def test_a_function_that_xla_compiles_is_one(compiled):
    found = []
    tf.function(lambda: found.append(is_compiled_by_xla()), jit_compile=compiled).get_concrete_function()
    assert found == [compiled]


def test_layers_of_a_functional_model_are_called_for_their_shapes():
    found = []

    class Recorder(keras.layers.Layer):
        def call(self, inputs):
            found.append(infers_shape())
            return inputs

    x = keras.Input([3])
    model = keras.Model(x, Recorder()(x))
    assert found == [True]
    keras.models.clone_model(model)
    assert found == [True, True]
    model(np.zeros([1, 3]))
    tf.function(model)(np.zeros([1, 3]))
    model.compile(loss="mse")
    model.fit(np.zeros([1, 3]), np.zeros([1, 3]), verbose=0)
    assert found[2:] == [False] * 3
    with shape_graph().as_default():
        assert infers_shape()
    assert not infers_shape()


def test_a_tensor_of_a_shape_has_that_shape():
    with shape_graph().as_default():
        tensor = tensor_of_shape([None, 3])
    assert (tensor.shape.as_list(), tensor.dtype) == ([None, 3], tf.float32)


def test_a_variable_without_a_value_has_a_shape_only():
    variable = variable_without_value("kernel", [3, 4], tf.float32, trainable=True)
    assert (variable.shape, variable.dtype, variable.trainable) == ((3, 4), tf.float32, True)
    assert variable.numpy().size == 0


def test_the_ctc_loss_is_the_public_one():
    logits = np.random.default_rng(0).normal(size=(2, 9, 5)).astype(np.float32)
    labels, frames = tf.constant([[1, 4, 4], [2, -1, -1]]), tf.constant([9, 6])
    expected = tf.nn.ctc_loss(tf.maximum(labels, 0), logits, [3, 1], frames, logits_time_major=False, blank_index=0)
    # Float32 sums of logarithms in another order.
    np.testing.assert_allclose(ctc_loss(labels, labels > 0, tf.constant(logits), frames), expected, rtol=1e-5)
