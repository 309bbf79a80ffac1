"""Moving averages of weights in training, against sums in float64."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import tf_keras as keras

from tfconformer.features.config import FeatureConfig
from tfconformer.training.averaging import averaged_weights
from tfconformer.training.callbacks import DevMetric
from tfconformer.training.run import RunDirectory

MOMENTUM = 0.75


class Recorder(keras.callbacks.Callback):
    """Keeps the first kernel after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels: list[np.ndarray] = []

    def on_train_batch_end(self, batch, logs=None):
        self.kernels.append(self.model.trainable_variables[0].numpy())


def test_scored_and_written_are_the_averages_and_training_goes_on_with_the_weights(tmp_path):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.layers.Dense(3), keras.layers.Dense(1)])
    model.build([None, 4])
    model.layers[1].trainable = False
    start, frozen = (layer.get_weights()[0] for layer in model.layers)
    model.compile(keras.optimizers.AdamW(0.1, use_ema=True, ema_momentum=MOMENTUM), "mse", run_eagerly=True)
    scored: list[np.ndarray] = []

    def score(_):
        scored.append(model.layers[0].get_weights()[0])
        return 1.0, 1.0 + len(scored)

    task = SimpleNamespace(metric="wer", dev_metric=lambda *_: score, inspector=lambda *_: None)
    run, recorder = RunDirectory(tmp_path), Recorder()
    metric = DevMetric(run, model, {"dev": None}, None, task, 0, FeatureConfig())  # type: ignore[arg-type, dict-item]
    inputs = np.random.default_rng(0).normal(size=[8, 4]).astype(np.float32)
    model.fit(inputs, inputs[:, :1], batch_size=2, epochs=2, shuffle=False, verbose=0, callbacks=[recorder, metric])
    averages, average = [], start.astype(np.float64)
    for kernel in recorder.kernels:
        average = MOMENTUM * average + (1 - MOMENTUM) * kernel
        averages.append(average)
    np.testing.assert_allclose(scored, [averages[3], averages[7]], rtol=1e-5)  # float32
    model.load_weights(run.weights_file)
    for layer, expected in zip(model.layers, (scored[1], frozen), strict=True):
        np.testing.assert_array_equal(layer.get_weights()[0], expected)
    # One step of AdamW is at most about the learning rate: the second epoch began where the first one ended.
    assert np.max(np.abs(recorder.kernels[4] - recorder.kernels[3])) < 0.2 < np.max(np.abs(averages[3] - start)) * 10


def test_a_constraint_holds_for_the_averages():
    model = keras.Sequential([keras.layers.Dense(1, kernel_constraint=keras.constraints.NonNeg())])
    model.build([None, 1])
    model.set_weights([np.array([[0.01]]), np.zeros(1)])
    model.compile(keras.optimizers.AdamW(1.0, use_ema=True, ema_momentum=0.1), "mse", run_eagerly=True)
    model.train_on_batch(np.ones([1, 1]), -np.ones([1, 1]))
    kernel = model.trainable_variables[0]
    trained = kernel.numpy()
    with averaged_weights(model):
        assert kernel.numpy() == 0
    assert kernel.numpy() == trained
