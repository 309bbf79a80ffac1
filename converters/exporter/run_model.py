"""Loading the model of a run for export: as trained, in one of its precisions, or quantized after training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tf_keras as keras

from tfconformer.config import Config
from tfconformer.quantization.layers.quantize_wrapper import set_active_bits
from tfconformer.quantization.spec import QuantizationRule, Rounding
from tfconformer.tasks.conversion import joined, joined_config
from tfconformer.training.checkpoint import load_model
from tfconformer.training.post_training import post_training_model
from tfconformer.training.run import RunDirectory


@dataclass(frozen=True)
class RunModel:
    """A trained model in memory.

    Attributes:
      model: the Keras model.
      config: configuration of the training, or of the quantization after training.
      method: "qat" for a model as it was trained, "ptq-nearest" or "ptq-gptq" for one quantized after training.
    """

    model: keras.Model
    config: Config
    method: str


def with_vocoder(converter: RunModel, voice: RunModel) -> RunModel:
    """Joins a model of speech-to-speech with a vocoder to a conversion from speech to speech.

    Raises:
      InputError: they are models of other tasks, or the vocoder is not one of the decoder's spectrograms.
    """
    config = joined_config(converter.config, voice.config)
    return RunModel(joined(converter.model, voice.model), config, converter.method)


def load_run_model(
    run: RunDirectory,
    overrides: Sequence[str] = (),
    bits: int | None = None,
    rules: Sequence[QuantizationRule] | None = None,
    rounding: Rounding = "nearest",
) -> RunModel:
    """Loads the model of a run with its best weights.

    Args:
      run: a finished training.
      overrides: `model.KEY=VALUE` strings for keys that no weight's shape depends on, such as attention contexts.
      bits: precision of a co-trained model; None selects its first.
      rules: rules by which the weights of a float run are quantized after training; None leaves them as trained.
      rounding: the rounding of the weights with `rules`, round-to-nearest or GPTQ.

    Raises:
      InputError: the run is incomplete, an override is wrong, or the model has no such precision.
    """
    if rules is not None:
        model, config = post_training_model(run, rules, rounding)
        return RunModel(model, config, f"ptq-{rounding}")
    config = run.config(overrides)
    model = load_model(run, config)
    set_active_bits(model, bits)
    return RunModel(model, config, "qat")
