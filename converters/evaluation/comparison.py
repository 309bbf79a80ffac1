"""Comparison of models on equal terms: in turn, on the same utterances, over any backend.

    rows, machine = compare(models, utterances, "test-clean", HostBackend(threads=1), rounds=3)

Every round runs every model once over the same utterances, so that a machine that gets warmer or busier touches all
models alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import click
import numpy as np

from converters.evaluation.evaluate import RecognizedUtterance, Utterance
from converters.evaluation.recognizers import Recognizer, read_recognizers
from converters.evaluation.references import warn_of_unwritable
from converters.flatbuffer.model_file import read_model_file
from converters.runtime.isolated import IsolatedRecognizer
from tfconformer.decoding.wer import word_errors
from tfconformer.errors import InputError
from tfconformer.reports.provenance import machine
from tfconformer.reports.results import Machine
from tfconformer.reports.rows import (
    Accuracy,
    ConversionSpeed,
    Execution,
    Quantization,
    ResultRow,
    Size,
    Speed,
    Training,
    percentiles,
)


@dataclass(frozen=True)
class ComparedModel:
    """A file of a comparison and what its row says of it.

    Attributes:
      path: a `.tflite` recognizer, or model of conversion.
      size, parameters, quantization, training: as in `ResultRow`.
    """

    path: Path
    size: Size
    parameters: int | None = None
    quantization: Quantization = field(default_factory=Quantization)
    training: Training = field(default_factory=Training)

    @classmethod
    def read(cls, path: Path) -> ComparedModel:
        """Reads a file of `tfconformer export`.

        Raises:
          InputError: the file cannot be read or was written by something else.
        """
        file = read_model_file(path)
        return cls(path, file.size, file.parameters, file.quantization, file.training)


@dataclass(frozen=True)
class Run:
    """One pass of a model over all utterances.

    Attributes:
      utterances: one for each, in the same order in every run.
      peak_rss_bytes: high-water mark of the resident memory of the process that ran the model.
      runtime: name and version.
      kernel: name of the implementation that multiplied the quantized weights.
    """

    utterances: tuple[RecognizedUtterance, ...]
    peak_rss_bytes: int
    runtime: str
    kernel: str


class Backend(Protocol):
    """A machine or device that runs models, one at a time.

    Attributes:
      threads: number of threads of its runtime.
      measures_time: False for an emulator, whose compute times say nothing.
    """

    threads: int
    measures_time: bool

    def prepared(
        self, recognizers: Mapping[str, Recognizer], utterances: Sequence[Utterance]
    ) -> AbstractContextManager[None]:
        """Makes models and speech available to `run` for the duration of the context."""

    def run(self, name: str) -> Run:
        """Runs the model of that name over all utterances.

        Raises:
          InputError: the model cannot be run.
        """

    def machine(self) -> Machine:
        """Returns the machine of the runs.

        Raises:
          InputError: the runs are not comparable; the message says what differs.
        """


class HostBackend:
    """This machine's CPU; every run is a process of its own.

    Args:
      runtime: one of `converters.runtime.model.RUNTIMES`.
      threads: number of threads of the runtime.
    """

    measures_time = True

    def __init__(self, runtime: str = "ai-edge-litert", threads: int = 1) -> None:
        self.threads = threads
        self._runtime = runtime
        self._recognizers: Mapping[str, Recognizer] = {}
        self._utterances: Sequence[Utterance] = ()

    @contextmanager
    def prepared(self, recognizers: Mapping[str, Recognizer], utterances: Sequence[Utterance]) -> Iterator[None]:
        self._recognizers, self._utterances = recognizers, utterances
        yield

    def run(self, name: str) -> Run:
        recognizer = self._recognizers[name]
        with IsolatedRecognizer(recognizer.path, self._runtime, self.threads) as process:
            first_waveform, _, first_name = self._utterances[0]
            process.decode(first_waveform, first_name)  # it also allocates, so it is not measured
            decoded = [process.decode(waveform, name) for waveform, _, name in self._utterances]
        recognized = tuple(
            RecognizedUtterance(
                id=name,
                reference=text,
                hypothesis=recognizer.metadata.text(one.ids),
                audio_seconds=len(waveform) / recognizer.sample_rate,
                compute_seconds=one.seconds,
                components=one.components,
                stopped=one.stopped,
            )
            for one, (waveform, text, name) in zip(decoded, self._utterances, strict=True)
        )
        return Run(recognized, decoded[-1].peak_rss_bytes, process.runtime, decoded[-1].kernel)

    def machine(self) -> Machine:
        return machine()


def compare(
    models: Mapping[str, ComparedModel],
    utterances: Sequence[Utterance],
    test_set: str,
    backend: Backend,
    rounds: int = 3,
) -> tuple[tuple[ResultRow, ...], Machine]:
    """Runs the models in turn and returns one row for each, and the machine.

    The time of an utterance is the median over the rounds; percentiles in the rows are over utterances.

    Args:
      models: name -> file; all are versions of one model.
      utterances: waveforms, transcripts and names.
      test_set: name of the utterances in the rows.
      backend: what runs the models.
      rounds: at least 1.

    Raises:
      InputError: there is nothing to measure, a file cannot be run, has no tokenizer, another tokenizer or sample rate
        than the others, or changes between two rounds, a model decodes differently from round to round, or the runs
        are not comparable.
    """
    if not models or not utterances or rounds < 1:
        raise InputError("a comparison needs at least one model, one utterance and one round")
    recognizers = read_recognizers({name: model.path for name, model in models.items()})
    tokenizer = next(iter(recognizers.values())).metadata.tokenizer
    warn_of_unwritable(tokenizer, (text for _, text, _ in utterances))
    runs: dict[str, list[Run]] = {name: [] for name in models}
    with backend.prepared(recognizers, utterances):
        for number in range(rounds):
            for name, recognizer in recognizers.items():
                click.echo(f"round {number + 1} of {rounds}: {name}", err=True)
                recognizer.require_unchanged()
                runs[name].append(backend.run(name))
                _require_same_hypotheses(recognizer.path, runs[name])
    measured_on = backend.machine()
    return tuple(_row(name, model, runs[name], test_set, backend) for name, model in models.items()), measured_on


def _require_same_hypotheses(path: Path, runs: Sequence[Run]) -> None:
    first, last = ([one.hypothesis for one in run.utterances] for run in (runs[0], runs[-1]))
    if last != first:
        raise InputError(f"{path}: it decodes the same utterances differently from round to round")


def _conversion_speed(runs: Sequence[Run]) -> ConversionSpeed | None:
    """Returns the speed of the components of a conversion; None of a recognizer."""
    first = runs[0].utterances
    if not first[0].components:
        return None
    audio_seconds = np.array([one.audio_seconds for one in first])
    columns: dict[str, float] = {}
    for component in first[0].components:
        seconds = np.median([[one.components[component] for one in run.utterances] for run in runs], axis=0)
        p50, p90 = percentiles(seconds / audio_seconds)
        columns |= {f"{component}_rtf_p50": p50, f"{component}_rtf_p90": p90}
    return ConversionSpeed(**columns)


def _row(name: str, model: ComparedModel, runs: Sequence[Run], test_set: str, backend: Backend) -> ResultRow:
    first = runs[0]
    compute_seconds = np.median([[one.compute_seconds for one in run.utterances] for run in runs], axis=0)
    audio_seconds = [one.audio_seconds for one in first.utterances]
    errors = word_errors([one.reference for one in first.utterances], [one.hypothesis for one in first.utterances])
    return ResultRow(
        model=name,
        parameters=model.parameters,
        quantization=model.quantization,
        training=model.training,
        accuracy=Accuracy.of_errors(test_set, errors),
        size=model.size,
        speed=Speed.of_utterances(compute_seconds, audio_seconds) if backend.measures_time else Speed(),
        conversion_speed=_conversion_speed(runs) if backend.measures_time else None,
        cut_off=sum(not one.stopped for one in first.utterances) if first.utterances[0].components else None,
        execution=Execution(
            peak_rss_mb=max(run.peak_rss_bytes for run in runs) / 1e6,
            runtime=first.runtime,
            kernel=first.kernel,
            threads=backend.threads,
        ),
    )
