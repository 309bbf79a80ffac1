"""The model card of an exported file, and of a run that is not exported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from converters.flatbuffer.model_file import read_model_file
from converters.flatbuffer.summary import layer_rows
from converters.runtime.conversion import CONVERSION
from tfconformer.errors import InputError
from tfconformer.quantization.spec import FLOAT_BITS
from tfconformer.reports.card import ModelCard
from tfconformer.reports.layer_table import LayerRow
from tfconformer.reports.rows import Quantization, ResultRow, Size, Training


class _Kind(NamedTuple):
    """A task in the hub's terms, and in words."""

    hub_task: str | None
    words: str


_RECOGNITION = "automatic-speech-recognition"
_KINDS: Mapping[str, _Kind] = {
    "recognition_ctc": _Kind(_RECOGNITION, "Speech recognition (CTC)"),
    "recognition_transducer": _Kind(_RECOGNITION, "Speech recognition (transducer)"),
    "speech_to_speech": _Kind("audio-to-audio", "Conversion of anybody's speech to one voice, without a vocoder"),
    CONVERSION: _Kind("audio-to-audio", "Conversion of anybody's speech to one voice"),
    "vocoder": _Kind("text-to-speech", "Speech from log-mel spectrograms (vocoder)"),
}
_OTHER = _Kind(None, "A Keras model")


def card_of_file(path: Path, name: str, rows: Sequence[ResultRow]) -> ModelCard:
    """Makes the card of an exported file; the caller adds what the file does not hold.

    Args:
      path: the file.
      name: name of the model.
      rows: its measurements.

    Raises:
      InputError: the file cannot be read, or the measurements are of another file.
    """
    file = read_model_file(path)
    for measured in {row.size.file_bytes for row in rows} - {None, file.file_bytes}:
        raise InputError(f"{path} has {file.file_bytes} bytes, and the results of {name!r} are of a file of {measured}")
    task, streams = file.metadata.task.name, file.metadata.graphs[0].stream is not None
    card = _card(name, task, layer_rows(file.records, {}), _run_file(path.name, task, streams))
    way = "as audio arrives" if streams else "of whole utterances"
    return replace(
        card,
        summary=f"{card.summary}, {way}, in a TensorFlow Lite file." if card.hub_task else f"{card.summary}.",
        tags=[*card.tags, *(["streaming"] if streams else [])],
        rows=rows,
        size=file.size,
        training=file.training,
        quantization=file.quantization,
    )


def card_of_run(path: Path, name: str, rows: Sequence[ResultRow]) -> ModelCard:
    """Makes the card of a run, see `card_of_file`.

    Raises:
      InputError: the run is incomplete.
    """
    # Imported here, because a file's card needs no TensorFlow.
    from converters.exporter.expected_layers import layers_of_run
    from tfconformer.training.run import RunDirectory

    config = RunDirectory(path).config()
    layers, settings = layers_of_run(RunDirectory(path)), config.training
    commands = [f"tfconformer export {path.name} {name}.tflite", *_run_file(f"{name}.tflite", config.task, False)]
    card = _card(name, config.task, layers, commands)
    quantized = any(layer.bits < FLOAT_BITS for layer in layers)
    steps = settings.epochs * settings.steps_per_epoch
    training = Training(method="qat" if quantized else None, seed=settings.seed, steps=steps)
    return replace(card, summary=f"{card.summary}, as a run directory of tfconformer.", rows=rows, training=training)


def _card(name: str, task: str, layers: Sequence[LayerRow], commands: Sequence[str]) -> ModelCard:
    kind = _KINDS.get(task, _OTHER)
    widths = sorted({layer.bits for layer in layers if layer.bits < FLOAT_BITS})
    return ModelCard(
        name=name,
        summary=kind.words,
        hub_task=kind.hub_task,
        tags=["tflite", "conformer" if kind.hub_task else "keras", *(f"int{bits}" for bits in widths)],
        size=Size(),
        training=Training(),
        quantization=Quantization(),
        layers=layers,
        rows=(),
        commands=commands,
    )


def _run_file(name: str, task: str, streams: bool) -> list[str]:
    """Returns the commands that run a file."""
    if _KINDS.get(task, _OTHER).hub_task == _RECOGNITION:
        return [f"tfconformer transcribe {name} speech.wav", *([f"tfconformer stream {name} --mic"] if streams else [])]
    if task == CONVERSION:
        return [f"tfconformer convert in.wav out.wav {name}"]
    return [f"tfconformer summary {name}"]
