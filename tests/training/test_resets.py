"""Resets of master weights towards the grid in `fit`."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras as keras

import tfconformer
from tfconformer.config import ResetConfig
from tfconformer.errors import InputError
from tfconformer.quantization.layers.quantize_wrapper import QuantizationSteps, QuantizedDense
from tfconformer.quantization.quantizers.weights import fake_quantize_weights
from tfconformer.quantization.spec import QuantizationRule, QuantSpec
from tfconformer.training.resets import GridResets

SPEC = QuantSpec(bits=2, block_size=8, sparsity="2:4")


class Recorder(keras.callbacks.Callback):
    """Keeps the kernel after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels: list[np.ndarray] = []

    def on_train_batch_end(self, batch, logs=None):
        (layer,) = (layer for layer in self.model.layers if isinstance(layer, QuantizedDense))
        self.kernels.append(layer.layer.kernel.numpy())


def fit(model: keras.Model, *callbacks: keras.callbacks.Callback) -> None:
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    inputs = np.random.default_rng(0).normal(size=[8, 16]).astype(np.float32)
    model.fit(inputs, inputs[:, :3], batch_size=2, verbose=0, callbacks=[QuantizationSteps(), *callbacks])


@pytest.fixture
def model() -> keras.Model:
    keras.utils.set_random_seed(4)
    return keras.Sequential([keras.Input([16]), keras.layers.Dense(3, name="head")])


def test_every_few_steps_the_weights_move_towards_the_grid(model):
    quantized = tfconformer.quantize(model, {"head": SPEC})
    before, after = Recorder(), Recorder()
    fit(quantized, before, GridResets(ResetConfig(every=3, share=0.25)), after)
    assert len(after.kernels) == 4
    for step, (old, new) in enumerate(zip(before.kernels, after.kernels, strict=True), start=1):
        expected = 0.75 * old + 0.25 * fake_quantize_weights(old, SPEC).numpy() if step == 3 else old
        np.testing.assert_allclose(new, expected, rtol=1e-6, atol=1e-7)  # float32
    assert not np.allclose(before.kernels[2], after.kernels[2], atol=1e-3)


def test_without_one_grid_there_is_one_sentence(model):
    resets = GridResets(ResetConfig(every=1, share=0.5))
    with pytest.raises(InputError, match="needs layers that are quantized and trained"):
        fit(model, resets)
    rule = QuantizationRule(layers=".*", spec=QuantSpec(bits=2), co_train=(QuantSpec(bits=4),))
    with pytest.raises(InputError, match="co-trained layers have several"):
        fit(tfconformer.quantize(model, [rule]), resets)
    frozen = tfconformer.quantize(model, {"head": SPEC})
    for layer in frozen.layers:
        if isinstance(layer, QuantizedDense):
            layer.trainable = False
    with pytest.raises(InputError, match="needs layers that are quantized and trained"):
        fit(frozen, resets)
