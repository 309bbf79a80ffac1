"""Trainings in processes of their own, as the command line starts them, which may end as a killed one does."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras as keras

from tests.support.tracing import omit_optimization, omit_stacks
from tfconformer.compat import integer
from tfconformer.config import load_config
from tfconformer.training.distribution import process_strategy
from tfconformer.training.run import RunDirectory
from tfconformer.training.train import train

omit_stacks()
omit_optimization()


def train_replica(config: str, run: str, last: str, replicas: str, kill_step: str | None = None) -> None:
    """Trains as `tfconformer train --replicas` does and writes the model's variables to `last`, a `.npz`.

    Those of random generators, which differ between replicas, have the names `generator_INDEX_replica_REPLICA`.

    The process kills itself before step `kill_step`.
    """
    if kill_step is not None:
        _at_steps(lambda step: step == int(kill_step) and os.kill(os.getpid(), signal.SIGKILL))
    strategy = process_strategy(int(replicas))
    with strategy.scope():
        model = train(load_config(config), RunDirectory(Path(run)))
    for variable in model.weights:
        first, *others = (copy.numpy() for copy in strategy.experimental_local_results(variable))
        for other in others:
            np.testing.assert_array_equal(other, first, err_msg=variable.name)
    variables = {str(index): np.asarray(variable.numpy()) for index, variable in enumerate(model.weights)}
    generators = [layer.generator.state for layer in model.layers if hasattr(layer, "generator")]
    for index, state in enumerate(generators):
        for replica, copy in enumerate(strategy.experimental_local_results(state)):
            variables[f"generator_{index}_replica_{replica}"] = copy.numpy()
    np.savez(last, **variables)


def train_and_copy(config: str, run: str, copied_step: str | None = None, copy: str | None = None) -> None:
    """Trains, and copies the run directory to `copy` after the step `copied_step`.

    A run that is killed leaves what is on disk at that moment.
    """
    if copied_step is not None and copy is not None:
        _at_steps(lambda step: step == int(copied_step) and shutil.copytree(run, copy))
    fitted = _fitted_models()
    train(load_config(config), RunDirectory(Path(run)))
    (model,) = fitted
    assert model.train_tf_function.experimental_get_tracing_count() == 1
    model.save_weights(Path(run) / "last.weights.h5")


def _fitted_models() -> list[keras.Model]:
    """Returns a list to which every training of this process adds the model that it fits, with the optimizer."""
    fitted: list[keras.Model] = []
    fit = keras.Model.fit

    def fit_and_keep(self: Any, *args: Any, **kwargs: Any) -> Any:
        fitted.append(self)
        return fit(self, *args, **kwargs)

    keras.Model.fit = fit_and_keep
    return fitted


def _at_steps(act: Callable[[int], object]) -> None:
    """Makes every training of this process call `act` with the number of finished steps, before each step."""
    fit = keras.Model.fit

    class Act(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            act(integer(self.model.optimizer.iterations))

    def fit_and_act(self: Any, *args: Any, callbacks: list[Any], **kwargs: Any) -> Any:
        return fit(self, *args, callbacks=[*callbacks, Act()], **kwargs)

    keras.Model.fit = fit_and_act
