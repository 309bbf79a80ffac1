"""Distillation: training of a model towards the outputs of a trained one, its teacher, besides its labels.

    fitted = distilled_model(model, config, tokenizer)

The model that is fitted has the outputs of `model` and, for each distilled one, a further output [B, 2, T, V]: the
teacher's logits and the model's. Its layers with weights are those of `model`: the teacher is neither trained nor
saved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import tensorflow as tf
import tf_keras as keras

from tfconformer.config import Config
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.errors import InputError
from tfconformer.losses.distillation import DistillationLoss
from tfconformer.models.encoder import encoder_stride
from tfconformer.tasks import find_task
from tfconformer.training.checkpoint import load_model
from tfconformer.training.run import RunDirectory

_SUFFIX = "_distillation"


class Teacher(keras.layers.Layer):
    """A trained model in inference: (inputs) -> its outputs by name, through which no gradient passes."""

    def __init__(self, model: keras.Model):
        super().__init__(name="teacher")
        # Keras would count the weights of an attribute that is a model among those of this layer, and save them.
        self._infer = lambda inputs: model(inputs, training=False)

    def call(self, inputs: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
        return {name: tf.stop_gradient(output) for name, output in self._infer(inputs).items()}


def distilled_model(model: keras.Model, config: Config, tokenizer: Tokenizer) -> keras.Model:
    """Returns the model to fit: `model` itself, or with distillation one that has its layers and a teacher beside them.

    Raises:
      InputError: there is no teacher, or it does not suit the model.
    """
    settings = config.training.distillation
    if settings is None:
        return model
    task = find_task(config.task)
    names = task.distillable(model)
    if not names:
        raise InputError(f"training.distillation: the task {task.name} has no output to distil; set it to null")
    path = settings.teacher or config.training.initial_weights
    if path is None:
        raise InputError("training.distillation needs a teacher: the run directory of a trained model")
    run = RunDirectory(Path(path))
    _require_same(run, config, tokenizer)
    teacher = load_model(run)
    if encoder_stride(teacher) != encoder_stride(model):
        raise InputError(f"training.distillation: the teacher {run.path} has frames of another length")
    names = [name for name in names if name in teacher.output]
    taught = Teacher(keras.Model(teacher.inputs, {name: teacher.output[name] for name in names}))(model.inputs)
    pairs = {name + _SUFFIX: [taught[name], model.output[name]] for name in names}
    # Layers, since Keras reports a loss under the name of the layer.
    stacked = {
        name: keras.layers.Lambda(lambda pair: tf.stack(pair, axis=1), name=name)(pair) for name, pair in pairs.items()
    }
    return keras.Model(model.inputs, {**model.output, **stacked}, name=model.name)


def distilled_losses(
    losses: Mapping[str, tuple[keras.losses.Loss, float]], model: keras.Model, weight: float
) -> dict[str, tuple[keras.losses.Loss, float]]:
    """Returns the losses of a model of `distilled_model`, with their weights.

    Args:
      losses: losses and weights of the outputs of the model without a teacher.
      model: the model to fit.
      weight: share of distillation in the weight of every output that is distilled, in (0, 1].
    """
    distilled = {name: name + _SUFFIX for name in losses if name + _SUFFIX in model.output}
    shared = {
        name: (loss, (1 - weight) * share if name in distilled else share) for name, (loss, share) in losses.items()
    }
    return shared | {pair: (DistillationLoss(), weight * losses[name][1]) for name, pair in distilled.items()}


def _require_same(run: RunDirectory, config: Config, tokenizer: Tokenizer) -> None:
    """Checks that a teacher reads the features of the model and that its labels are the model's.

    Raises:
      InputError: they are others.
    """
    taught = run.config()
    for what, equal in (
        ("task", taught.task == config.task),
        ("front end (features)", taught.features == config.features),
        ("tokenizer", Tokenizer.from_file(run.tokenizer_file).to_bytes() == tokenizer.to_bytes()),
    ):
        if not equal:
            raise InputError(f"training.distillation: the teacher {run.path} has another {what} than the model")
