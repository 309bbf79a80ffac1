"""The end of a training that diverges, and what the history and the log say."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
import tf_keras as keras

from tfconformer.config import TrainingConfig
from tfconformer.errors import InputError
from tfconformer.features.config import FeatureConfig
from tfconformer.training.callbacks import DevMetric, DivergenceStop
from tfconformer.training.run import RunDirectory

SETTINGS = TrainingConfig(epochs=3, steps_per_epoch=4, learning_rate=1e30)


def fit(learning_rate: float, target: float = 1.0) -> None:
    model = keras.Sequential([keras.layers.Dense(4), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(learning_rate), "mse", run_eagerly=True)
    inputs, targets = np.ones((8, 3), np.float32), np.full((8, 1), target, np.float32)
    model.fit(inputs, targets, batch_size=2, epochs=3, verbose=0, callbacks=[DivergenceStop(SETTINGS)])


def test_a_training_that_diverges_is_one_sentence_with_epoch_and_step() -> None:
    with pytest.raises(InputError, match=r"diverged in step [23] of epoch 1: the loss is (inf|nan); .*\(1e\+30\)"):
        fit(learning_rate=1e30)


def test_weights_that_overflow_in_the_last_step_of_an_epoch_are_noticed() -> None:
    callback = DivergenceStop(SETTINGS)
    for largest in (3.0, 1e19, np.inf, np.nan):
        variable = keras.backend.variable([[0.0, largest]], name="kernel")
        callback.set_model(SimpleNamespace(trainable_variables=[variable]))
        if largest == 3.0:
            callback.on_epoch_end(0)
        else:
            with pytest.raises(InputError, match=r"diverged in epoch 2: the largest weight of .*kernel"):
                callback.on_epoch_end(1)


def test_a_training_that_does_not_diverge_goes_on() -> None:
    fit(learning_rate=0.01)


def test_utterances_without_an_alignment_are_counted_and_logged(tmp_path, caplog: pytest.LogCaptureFixture) -> None:
    metric = DevMetric(RunDirectory(tmp_path), None, {}, None, None, 0, FeatureConfig())  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING):
        metric._warn_of_infeasible(1, {"loss": 1.0, "logits_infeasible": 0.0})
        assert not caplog.text
        metric._warn_of_infeasible(1, {"loss": 1.0, "logits_infeasible": 3.0})
    assert "epoch 2: 3 utterances added nothing to the CTC loss" in caplog.text


def test_a_history_is_strict_json(tmp_path) -> None:
    run = RunDirectory(tmp_path)
    run.write_history([{"epoch": 1, "loss": 2.5}])
    assert run.history() == [{"epoch": 1, "loss": 2.5}]
    with pytest.raises(ValueError, match="JSON compliant"):
        run.write_history([{"epoch": 1, "loss": float("inf")}])
    for damage in ('{"epoch": 1, "loss": Infinity}', '{"epoch": 1', json.dumps([1])[:-1]):
        run.history_file.write_text(damage + "\n")
        with pytest.raises(InputError, match=r"history\.jsonl is not the history of a training"):
            run.history()
