"""The Keras callbacks of a training: scores of dev sets, best weights and history; the end of one that diverges; and
the backup of a worker's own state.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from typing import Any, NoReturn

import tensorflow as tf
import tf_keras as keras

from tfconformer import atomic
from tfconformer.compat import integer
from tfconformer.config import TrainingConfig
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.errors import InputError
from tfconformer.features.config import FeatureConfig
from tfconformer.losses.ctc import INFEASIBLE
from tfconformer.quantization.layers.quantize_wrapper import set_active_bits, trained_bits
from tfconformer.tasks.task import Inspector, Task
from tfconformer.training.averaging import averaged_weights
from tfconformer.training.run import RunDirectory

logger = logging.getLogger(__name__)

# Squares of larger weights overflow float32.
_LARGEST_WEIGHT = 1e18


class DivergenceStop(keras.callbacks.Callback):
    """The end of a training whose loss or weights are not finite any longer.

    Args:
      config: the settings of the training, for the message.
    """

    def __init__(self, config: TrainingConfig):
        super().__init__()
        self._supports_tf_logs = True
        self._config = config
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Checks the loss.

        Raises:
          InputError: it is not finite.
        """
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            self._stop(f"step {batch + 1} of epoch {self._epoch + 1}: the loss is {loss}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Checks the weights.

        Raises:
          InputError: one is not finite, or beyond all that a network computes with.
        """
        for variable in self.model.trainable_variables:
            largest = float(tf.reduce_max(tf.abs(variable))) if variable.shape.num_elements() else 0.0
            if not largest < _LARGEST_WEIGHT:
                self._stop(f"epoch {epoch + 1}: the largest weight of {variable.name} is {largest:g}")

    def _stop(self, fault: str) -> NoReturn:
        raise InputError(
            f"the training diverged in {fault}; choose another run directory, and a lower training.learning_rate "
            f"({self._config.learning_rate:g}) or training.clip_norm ({self._config.clip_norm:g}), or a longer "
            f"training.warmup_steps ({self._config.warmup_steps})"
        )


class DevMetric(keras.callbacks.Callback):
    """Scorer of the dev sets after every epoch; keeps the best weights and writes the history.

    Adds the task's metric, for example `wer` over all dev sets together and `wer_NAME` of each dev set, to the epoch's
    logs, as fractions, and writes the weights of the epoch with the lowest value to `run.weights_file`. A co-trained
    model is scored in each of its precisions: `wer_NAME_intBITS`. If the optimizer averages weights, scored and written
    are the averages. A continued run takes the earlier epochs from `run.history_file`.

    Args:
      run: the run directory, which receives weights and history.
      scored: the model that is scored and written; its variables are among those of the model that is fitted.
      dev_sets: by name, datasets of ((features [B, T, mel], lengths [B]), texts [B], ids [B]), as
        `data.pipeline.evaluation_batches` yields them.
      tokenizer: the tokenizer of the model.
      task: the task of the model.
      completed_epochs: number of epochs in the backup that this training continues from, 0 for a new training.
      features: the front end, for the inspection of tasks that have one: its measures join the logs as `NAME_SET`, its
        pictures TensorBoard.
    """

    def __init__(
        self,
        run: RunDirectory,
        scored: keras.Model,
        dev_sets: Mapping[str, tf.data.Dataset],
        tokenizer: Tokenizer,
        task: Task,
        completed_epochs: int,
        features: FeatureConfig,
    ):
        super().__init__()
        self._run = run
        self._scored = scored
        self._dev_sets = dev_sets
        self._tokenizer = tokenizer
        self._task = task
        self._features = features
        self._history = run.history()[:completed_epochs]

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._score = self._task.dev_metric(self._scored, self._tokenizer)
        self._inspect = self._task.inspector(self._scored, self._features)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = {} if logs is None else logs
        self._warn_of_infeasible(epoch, logs)
        training_seconds = time.monotonic() - self._started
        with averaged_weights(self.model):
            self._evaluate(epoch, logs)
        steps = integer(self.model.optimizer.iterations)
        numbers = {name: round(float(value), 6) for name, value in logs.items()}
        self._history.append({"epoch": epoch + 1, "steps": steps, **numbers, "seconds": round(training_seconds, 1)})
        self._run.write_history(self._history)

    def _evaluate(self, epoch: int, logs: dict[str, Any]) -> None:
        """Scores the dev sets, adds the scores to `logs`, and writes the weights if they are the best so far."""
        counts = {}
        for bits in trained_bits(self._scored) or (None,):
            set_active_bits(self._scored, bits)
            for name, batches in self._dev_sets.items():
                key = name if bits is None else f"{name}_int{bits}"
                counts[key] = self._score(batches)
        set_active_bits(self._scored, None)
        errors, words = (sum(column) for column in zip(*counts.values(), strict=True))
        metric = self._task.metric
        logs.update({f"{metric}_{name}": e / w for name, (e, w) in counts.items()})
        logs[metric] = errors / words
        if self._inspect is not None:
            logs.update(self._inspected(self._inspect, epoch))
        if logs[metric] < min((entry[metric] for entry in self._history), default=float("inf")):
            save_weights(self._scored, self._run)

    def _inspected(self, inspect: Inspector, epoch: int) -> dict[str, float]:
        """Inspects the dev sets, writes the pictures, and returns the measures."""
        measures: dict[str, float] = {}
        with tf.summary.create_file_writer(str(self._run.tensorboard / "dev")).as_default(epoch):
            for name, batches in self._dev_sets.items():
                inspection = inspect(batches)
                measures |= {f"{measure}_{name}": value for measure, value in inspection.measures.items()}
                for title, picture in inspection.pictures.items():
                    tf.summary.image(f"attention_{name}/{title}", picture[tf.newaxis])
        return measures

    def _warn_of_infeasible(self, epoch: int, logs: dict[str, Any]) -> None:
        count = int(sum(value for name, value in logs.items() if name.endswith(INFEASIBLE)))
        if count:
            logger.warning(
                "epoch %d: %d utterances added nothing to the CTC loss: their labels, with a blank between equal ones, "
                "need more frames of 40 ms than they have; a tokenizer with longer tokens has fewer labels",
                *(epoch + 1, count),
            )


class GeneratorBackup(keras.callbacks.Callback):
    """Backup of the random generators of a worker that does not write the backup of the training.

    Replicas draw as much as their utterances are long, so the state of a generator is that of its worker. Two epochs
    are kept: the backup of the training may be that of the last epoch or of the one before.

    Args:
      run: the run directory.
      worker: index of the worker.
      completed_batches: number of training steps in the backup that this training continues from, 0 for a new training.
    """

    def __init__(self, run: RunDirectory, worker: int, completed_batches: int):
        super().__init__()
        self._folder = run.backup / f"worker-{worker}"
        self._completed = completed_batches

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Restores the generators; `BackupAndRestore`, which restores those of the first worker, must come before."""
        layers = [layer for layer in self.model.submodules if hasattr(layer, "generator")]
        self._checkpoint = tf.train.Checkpoint(generators=[layer.generator for layer in layers])
        path = self._folder / str(self._completed)
        if path.with_suffix(".index").is_file():
            self._checkpoint.read(str(path)).assert_consumed()
        elif self._completed:
            logger.warning("%s is missing: this worker draws other random numbers than without an interruption", path)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        steps = integer(self.model.optimizer.iterations)
        # `save`, which counts its calls in a variable, would wait for the other workers to create theirs.
        self._checkpoint.write(str(self._folder / str(steps)))
        for path in self._folder.iterdir():
            if int(path.stem) not in (steps, self._completed):
                path.unlink()
        self._completed = steps


def save_weights(model: keras.Model, run: RunDirectory) -> None:
    """Writes the model's weights to `run.weights_file`, atomically."""
    with atomic.atomic_path(run.weights_file) as temporary:
        # A name that ends in `.weights.h5` would add the optimizer's state: three times the size.
        model.save_weights(temporary, save_format="h5")
