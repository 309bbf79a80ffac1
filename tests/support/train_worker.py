"""One process of a distributed training, which may end as a killed one does.

    python -m tests.support.train_worker CONFIG RUN LAST REPLICAS [KILL_STEP]

Trains as `tfconformer train --replicas` does and writes the model's variables to LAST, a `.npz`. The process kills
itself before step KILL_STEP.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras as keras

from tests.support.tracing import omit_stacks
from tfconformer.compat import integer
from tfconformer.config import load_config
from tfconformer.training.distribution import process_strategy
from tfconformer.training.run import RunDirectory
from tfconformer.training.train import train


def kill_before(step: int) -> None:
    fit = keras.Model.fit

    class Kill(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if integer(self.model.optimizer.iterations) == step:
                os.kill(os.getpid(), signal.SIGKILL)

    def fit_and_kill(self: Any, *args: Any, callbacks: list[Any], **kwargs: Any) -> Any:
        return fit(self, *args, callbacks=[*callbacks, Kill()], **kwargs)

    keras.Model.fit = fit_and_kill


def main() -> None:
    config, run, last, replicas, *step = sys.argv[1:]
    omit_stacks()
    if step:
        kill_before(int(step[0]))
    strategy = process_strategy(int(replicas))
    with strategy.scope():
        model = train(load_config(config), RunDirectory(Path(run)))
    for variable in model.weights:
        first, *others = (copy.numpy() for copy in strategy.experimental_local_results(variable))
        for other in others:
            np.testing.assert_array_equal(other, first, err_msg=variable.name)
    np.savez(last, **{str(index): np.asarray(variable.numpy()) for index, variable in enumerate(model.weights)})


if __name__ == "__main__":
    main()
