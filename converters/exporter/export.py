"""Export of anything that can be exported: a Keras model in memory, or a finished training."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tf_keras as keras

from converters.exporter.bundled_utterances import bundled_utterances
from converters.exporter.keras_model import export_keras_model
from converters.exporter.pipeline import ExportReport
from converters.exporter.pipeline import export as export_run
from tfconformer.errors import InputError
from tfconformer.training.run import RunDirectory


def export(
    source: keras.Model | RunDirectory | str | os.PathLike[str],
    output: str | os.PathLike[str],
    verify_with: Any = None,
    runtimes: Sequence[str] = ("ai-edge-litert",),
    target: str = "custom",
    streaming: bool = False,
) -> ExportReport:
    """Exports a model to a `.tflite` file, which appears only if it computes what the model does.

    Args:
      source: a functional Keras model, quantized or not, or the directory of a finished training of a speech model.
      output: the file; its report is written beside it, as `NAME.export.json`.
      verify_with: inputs of the Keras model, as `Model.predict` takes them, None for a few random ones; of a speech
        model utterances, each [samples] in [-1, 1] at its sample rate, None for those that come with the package.
      runtimes: the runtimes of the verification, of "ai-edge-litert", "tflite-runtime" and "tensorflow".
      target: "custom" for this project's operations, "litert" for LiteRT's own.
      streaming: True for a speech model that takes audio in steps as it arrives.

    Raises:
      InputError: the source cannot be exported as asked, see `export_keras_model` and `pipeline.export`.
      VerificationError: the file is not the model.
    """
    if isinstance(source, RunDirectory | str | os.PathLike):
        run = source if isinstance(source, RunDirectory) else RunDirectory(Path(source))
        if verify_with is None:
            verify_with = bundled_utterances(run.config().features.sample_rate)
        return export_run(run, Path(output), verify_with, runtimes, target=target, streaming=streaming)
    if streaming:
        raise InputError("only speech models run on streams: leave out streaming")
    return export_keras_model(source, Path(output), verify_with, runtimes, target)
