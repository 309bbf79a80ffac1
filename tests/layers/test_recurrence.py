"""Recurrences against Keras' LSTM, a loop in float64, and the gradients of an unrolled loop."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from numpy.typing import NDArray

from tfconformer.layers.attention_recurrence import LocationAttention, MixtureAttention
from tfconformer.layers.dense import Dense
from tfconformer.layers.recurrence import Recurrence, ZeroState
from tfconformer.quantization.layers.quantize_config import WeightQuantizeConfig
from tfconformer.quantization.layers.quantize_wrapper import QuantizedDense
from tfconformer.quantization.spec import QuantSpec

BATCH, STEPS, FRAMES, UNITS, MEMORY, COMPONENTS = 2, 6, 9, 12, 8, 2


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_the_recurrence_is_the_lstm_of_keras():
    x, hidden, cell = map(tf.constant, (normal(2, 7, 3), normal(2, 4, seed=1), normal(2, 4, seed=2)))
    reference = keras.layers.LSTM(4, return_sequences=True, return_state=True)
    expected = reference(x, initial_state=[hidden, cell])
    gates, recurrence = Dense(16), Recurrence(4)
    recurrence([gates(x), hidden, cell])
    kernel, recurrent_kernel, bias = reference.get_weights()
    # Keras keeps the forget gate's bias of 1 in its bias; here it is part of the recurrence.
    gates.set_weights([kernel, bias - np.repeat([0.0, 1.0, 0.0, 0.0], 4)])
    recurrence.set_weights([recurrent_kernel])
    for ours, theirs in zip(recurrence([gates(x), hidden, cell]), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    outputs = []
    for step in range(7):
        output, hidden, cell = recurrence([gates(x[:, step : step + 1]), hidden, cell])
        outputs.append(output)
    np.testing.assert_allclose(tf.concat(outputs, axis=1), expected[0], atol=1e-6)


def attention_inputs(certain: float = 1e6) -> tuple[tf.Tensor, ...]:
    mask = np.ones([BATCH, FRAMES, 1], np.float32)
    mask[1, 6:] = 0
    arrays = (
        normal(BATCH, STEPS, 4 * UNITS),
        normal(BATCH, FRAMES, MEMORY, seed=1),
        mask,
        normal(BATCH, UNITS, seed=2),
        normal(BATCH, UNITS, seed=3),
        normal(BATCH, MEMORY, seed=4),
        np.abs(normal(BATCH, COMPONENTS, seed=5)),
        np.full([BATCH, 1], certain, np.float32),
    )
    return tuple(map(tf.constant, arrays))


def attention_layer() -> MixtureAttention:
    keras.utils.set_random_seed(0)
    layer = MixtureAttention(UNITS, COMPONENTS, frames_per_step=1.25, clock=0.75)
    layer(attention_inputs())
    layer.mixture_kernel.assign(normal(64, 3 * COMPONENTS, seed=6) / 4)
    return layer


def location_layer() -> LocationAttention:
    keras.utils.set_random_seed(0)
    layer = LocationAttention(UNITS, width=5, clock=0.75)
    layer(location_inputs())
    for variable in (layer.location_filters, layer.score_bias, layer.score_kernel):
        variable.assign(normal(*variable.shape, seed=variable.shape.num_elements()))
    return layer


def location_inputs(certain: float = 1e6) -> tuple[tf.Tensor, ...]:
    *inputs, _, there = attention_inputs(certain)
    last, sums = (tf.nn.softmax(normal(BATCH, FRAMES, seed=seed)) for seed in (7, 8))
    return *inputs, tf.zeros([BATCH, 1]), last, sums, there


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


def softplus(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log1p(np.exp(x))


@pytest.mark.parametrize("certain", [1e6, 2.5])
def test_attention_is_the_mixture_of_the_paper(certain: float) -> None:
    layer, inputs = attention_layer(), attention_inputs(certain)
    outputs, contexts, weights, *_, later = layer(inputs)
    gates, memory, mask, hidden, cell, context, position, _ = (x.numpy().astype(np.float64) for x in inputs)
    kernel, query, query_bias, mixture, mixture_bias = (
        variable.numpy().astype(np.float64)
        for variable in (
            layer.kernel, layer.query_kernel, layer.query_bias, layer.mixture_kernel, layer.mixture_bias,
        )
    )  # fmt: skip
    for row in range(BATCH):
        h, c, ctx, mu = hidden[row], cell[row], context[row], position[row]
        for step in range(STEPS):
            i, f, g, o = np.split(gates[row, step] + np.concatenate([h, ctx]) @ kernel, 4)
            c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            w, d, s = np.split(np.tanh(h @ query + query_bias) @ mixture + mixture_bias, 3)
            w, mu, s = np.exp(w) / np.exp(w).sum(), mu + softplus(d), softplus(s) + 0.3
            alpha = [
                mask[row, j, 0] * np.sum(w / np.sqrt(2 * np.pi * s**2) * np.exp(-((j - mu) ** 2) / (2 * s**2)))
                for j in range(FRAMES)
            ]
            alpha = np.where(np.arange(FRAMES) < np.floor(certain + 0.75 * step), alpha, 0)
            ctx = alpha @ memory[row]
            # Float32 through six steps of tanh and exp.
            np.testing.assert_allclose(weights[row, step], alpha, atol=1e-5)
            np.testing.assert_allclose(contexts[row, step], ctx, atol=1e-5)
            np.testing.assert_allclose(outputs[row, step], h, atol=1e-5)
    np.testing.assert_allclose(later, certain + 0.75 * STEPS, rtol=1e-6)


@pytest.mark.parametrize("certain", [1e6, 2.5])
def test_location_sensitive_attention_is_that_of_the_paper(certain: float) -> None:
    layer, inputs = location_layer(), location_inputs(certain)
    outputs, contexts, weights, *_, position, last, sums, later = layer(inputs)
    gates, memory, mask, hidden, cell, context, _, before, total, _ = (x.numpy().astype(np.float64) for x in inputs)
    names = (
        "kernel",
        "query_kernel",
        "key_kernel",
        "location_filters",
        "location_kernel",
        "score_bias",
        "score_kernel",
    )
    kernel, query, key, filters, location, bias, score = (
        getattr(layer, name).numpy().astype(np.float64) for name in names
    )
    half = len(filters) // 2
    for row in range(BATCH):
        h, c, ctx = hidden[row], cell[row], context[row]
        for step in range(STEPS):
            i, f, g, o = np.split(gates[row, step] + np.concatenate([h, ctx]) @ kernel, 4)
            c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            around = np.pad(np.stack([before[row], total[row]], axis=1), ((half, half), (0, 0)))
            scores = np.array([
                np.tanh(
                    h @ query + memory[row, j] @ key + bias
                    + np.einsum("kc,kcf->f", around[j : j + len(filters)], filters) @ location
                ) @ score[:, 0]
                for j in range(FRAMES)
            ])  # fmt: skip
            read = (mask[row, :, 0] > 0) & (np.arange(FRAMES) < np.floor(certain + 0.75 * step))
            alpha = np.where(read, np.exp(scores), 0)
            alpha /= alpha.sum()
            ctx, before[row], total[row] = alpha @ memory[row], alpha, total[row] + alpha
            # Float32 through six steps of tanh and exp.
            np.testing.assert_allclose(weights[row, step], alpha, atol=1e-5)
            np.testing.assert_allclose(contexts[row, step], ctx, atol=1e-5)
            np.testing.assert_allclose(outputs[row, step], h, atol=1e-5)
        np.testing.assert_allclose(position[row, 0], alpha @ np.arange(FRAMES), atol=1e-4)
    np.testing.assert_allclose(last, before, atol=1e-5)
    np.testing.assert_allclose(sums, total, atol=1e-5)
    np.testing.assert_allclose(later, certain + 0.75 * STEPS, rtol=1e-6)


def test_untrained_attention_moves_at_its_rate() -> None:
    layer = MixtureAttention(UNITS, COMPONENTS, frames_per_step=1.25)
    inputs = attention_inputs()
    *_, position, _ = layer((*inputs[:-2], tf.zeros([BATCH, COMPONENTS]), inputs[-1]))
    # The mixture's kernel is drawn with a deviation of 0.01 over 64 inputs of at most 1: 0.1 at most per step.
    np.testing.assert_allclose(position, 1.25 * STEPS, atol=0.1 * STEPS)


def specs() -> list[QuantSpec | None]:
    return [None, QuantSpec(bits=4), QuantSpec(bits=4, activation_bits=8, block_size=8)]


@pytest.mark.parametrize("spec", specs(), ids=["float", "int4", "int4, int8 activations"])
@pytest.mark.parametrize("kind", ["lstm", "attention", "location"])
def test_the_loop_has_values_and_gradients_of_single_steps(kind: str, spec: QuantSpec | None) -> None:
    if kind == "attention":
        layer, inputs, states = attention_layer(), attention_inputs(certain=2.5), 5
    elif kind == "location":
        layer, inputs, states = location_layer(), location_inputs(certain=2.5), 7
    else:
        inputs, states = (tf.constant(normal(BATCH, STEPS, 4 * UNITS)), *attention_inputs()[3:5]), 2
        layer = Recurrence(UNITS)
        layer(inputs)
    wrapped = layer
    if spec is not None:
        weights = layer.get_weights()
        wrapped = QuantizedDense(layer, WeightQuantizeConfig([spec]))
        wrapped(inputs)
        layer.set_weights(weights)
    outputs = len(wrapped(inputs)) - states
    upstream = [normal(*part.shape, seed=9 + i) for i, part in enumerate(wrapped(inputs))]

    def gradients(stepwise: bool) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            if stepwise:
                *rest, state = inputs[:-states], inputs[-states:]
                (gates, *others) = rest[0]
                parts = []
                for step in range(STEPS):
                    found = wrapped((gates[:, step : step + 1], *others, *state), training=True)
                    parts.append(found[:outputs])
                    state = found[outputs:]
                results = [*(tf.concat(part, axis=1) for part in zip(*parts, strict=True)), *state]
            else:
                results = list(wrapped(inputs, training=True))
            loss = tf.add_n([tf.reduce_sum(result * up) for result, up in zip(results, upstream, strict=True)])
        return results, tape.gradient(loss, [*inputs, *layer.trainable_weights], unconnected_gradients="zero")

    for whole, single in zip(gradients(False), gradients(True), strict=True):
        for ours, expected in zip(whole, single, strict=True):
            # The same float32 operations in another order, through six steps.
            np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def test_a_loop_of_unknown_shape_trains_in_a_graph() -> None:
    layer, inputs = attention_layer(), attention_inputs()
    shapes = [tf.TensorSpec([None, *[None] * (x.shape.rank - 2), x.shape[-1]]) for x in inputs]

    @tf.function(input_signature=shapes)
    def gradient(*inputs: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(inputs)[1])
        return tape.gradient(loss, layer.kernel)

    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(inputs)[1])
    np.testing.assert_allclose(gradient(*inputs), tape.gradient(loss, layer.kernel), rtol=1e-5, atol=1e-6)


def test_states_are_zero_before_the_first_step() -> None:
    states = ZeroState((3, 2))(tf.ones([5, 7]))
    assert [state.shape for state in states] == [(5, 3), (5, 2)]
    assert not any(state.numpy().any() for state in states)
