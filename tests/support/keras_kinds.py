"""A Keras model with a branch for every kind of layer that can be quantized; one, since conversions take seconds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tf_keras as keras
from numpy.typing import NDArray

from tfconformer.layers.from_keras.model import leaf_layers

BATCH, STEPS, WIDTH = 3, 7, 6
layers = keras.layers


def self_attention(*args: object, **options: object) -> Callable[[object], object]:
    """A causal self-attention, which is no layer of one input by itself."""
    layer = layers.MultiHeadAttention(*args, **options)
    return lambda x: layer(x, x, use_causal_mask=True)


def truncated_magnitude(x: object) -> object:
    """Indices, which are below 5 for the inputs of the tests."""
    return keras.backend.cast(keras.backend.abs(x), "int32")


# The layers of each branch by the name of its output, which is that of its last layer.
BRANCHES: dict[str, Callable[[], list[Callable]]] = {
    "dense": lambda: [layers.Dense(5, "tanh", name="dense")],
    "linear": lambda: [layers.Dense(5, use_bias=False, name="linear")],
    "conv1d": lambda: [layers.Conv1D(5, 3, padding="causal", dilation_rate=2, activation="relu", name="conv1d")],
    "strided": lambda: [layers.Conv1D(5, 3, 2, padding="same", name="strided")],
    "conv2d": lambda: [
        layers.Reshape([-1, 3, 2], name="image"),
        layers.Conv2D(5, (3, 2), (2, 1), use_bias=False, name="conv2d"),
    ],
    "lstm": lambda: [layers.LSTM(5, return_sequences=True, name="lstm")],
    "gru": lambda: [layers.GRU(5, name="gru")],
    "einsum": lambda: [
        layers.EinsumDense("abc,cde->aebd", [4, None, 3], activation="relu", bias_axes="ed", name="einsum")
    ],
    "embedding": lambda: [truncated_magnitude, layers.Embedding(5, 6, name="embedding")],
    "attention": lambda: [self_attention(2, 4, value_dim=3, name="attention")],
}


def keras_model(names: list[str] | None = None, steps: int | None = None) -> keras.Model:
    """A model of "x" [B, T, width] with the given branches, all by default, and random weights."""
    x = keras.Input([steps, WIDTH], name="x")
    outputs = {}
    for name in names or BRANCHES:
        y = x
        for layer in BRANCHES[name]():
            y = layer(y)
        outputs[name] = y
    model = keras.Model(x, outputs)
    generator = np.random.default_rng(0)
    model.set_weights([0.5 * generator.normal(size=weight.shape) for weight in model.weights])
    return model


def inputs() -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=[BATCH, STEPS, WIDTH]).astype(np.float32)


def leaves(model: keras.Model) -> dict[str, keras.layers.Layer]:
    return dict(leaf_layers(model))
