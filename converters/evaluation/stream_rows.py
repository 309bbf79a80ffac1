"""Rows of a results file about streams: one function for each question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from converters.evaluation.evaluate import Utterance
from converters.evaluation.long_stream import run_long
from converters.evaluation.stream_timing import LiveUtterance, interleaved_step_seconds, lookahead_ms, run_live
from converters.exporter.pipeline import export
from converters.exporter.verify import compare
from converters.flatbuffer.model_file import read_model_file
from converters.runtime.model import Model, open_model
from converters.runtime.search import new_search
from converters.runtime.stream_model import StreamModel, open_stream
from tfconformer.config import Config
from tfconformer.decoding.wer import word_errors
from tfconformer.reports.rows import (
    Accuracy,
    Execution,
    Parity,
    Responsiveness,
    ResultRow,
    Size,
    Speed,
    StepTime,
    Stream,
    percentiles,
)
from tfconformer.tasks.task import Trace
from tfconformer.training.run import RunDirectory


@dataclass(frozen=True)
class StreamFiles:
    """A model with attention chunks of one size as a streaming file and, to compare with, as an offline file."""

    name: str
    streaming: Path
    offline: Path | None

    def open_streaming(self, runtime: str) -> StreamModel:
        """Opens the streaming file in a runtime."""
        return open_stream(self.streaming, runtime)

    def open_offline(self, runtime: str) -> Model:
        """Opens the offline file in a runtime."""
        assert self.offline is not None
        model = open_model(self.offline, runtime)
        assert isinstance(model, Model)
        return model


def export_files(
    name: str, run: RunDirectory, chunk: int, folder: Path, waveforms: Sequence[NDArray[np.float32]], with_offline: bool
) -> StreamFiles:
    """Exports a run with attention chunks of `chunk` frames of 40 ms, verified on `waveforms`."""
    overrides = [f"model.attention_chunk={chunk}"]
    streaming, offline = folder / f"{name}-{chunk}-stream.tflite", folder / f"{name}-{chunk}.tflite"
    export(run, streaming, waveforms, overrides=overrides, streaming=True)
    if with_offline:
        export(run, offline, waveforms, overrides=overrides)
    return StreamFiles(name, streaming, offline if with_offline else None)


def accuracy_row(files: StreamFiles, test_set: str, utterances: Iterable[Utterance], runtime: str) -> ResultRow:
    """Streams a test set: word errors, latencies, and differences from the offline file."""
    model = files.open_streaming(runtime)
    tokenizer = model.metadata.tokenizer
    offline = None if files.offline is None else files.open_offline(runtime)
    live, texts, expected = [], [], []
    for waveform, text, _ in utterances:
        live.append(run_live(model, waveform))
        texts.append(text)
        if offline is not None:
            expected.append(_trace(offline, offline.run(waveform)))
    file = read_model_file(files.streaming)
    rtf_p50, rtf_p90 = percentiles([one.rtf for one in live])
    return ResultRow(
        model=files.name,
        parameters=file.parameters,
        quantization=file.quantization,
        training=file.training,
        accuracy=Accuracy.of_errors(test_set, word_errors(texts, [tokenizer.decode(one.ids) for one in live])),
        size=file.size,
        speed=Speed(rtf_p50=rtf_p50, rtf_p90=rtf_p90),
        execution=_execution(model),
        stream=_stream(model),
        responsiveness=_responsiveness(live),
        step=_step_time([seconds for one in live for seconds in one.step_seconds]),
        parity=None if offline is None else _parity(model, live, expected),
    )


def step_rows(
    models: Mapping[str, Path], reference: str, waveforms: Sequence[NDArray[np.float32]], runtime: str
) -> list[ResultRow]:
    """Times the steps of streaming files with chunks of one size, in turn.

    Args:
      models: files by name.
      reference: name of the float model, to whose median step time the others' are related.
      waveforms: audio [samples] in [-1, 1].
      runtime: one of `converters.runtime.model.RUNTIMES`.
    """
    opened = {name: open_stream(path, runtime) for name, path in models.items()}
    seconds = interleaved_step_seconds(opened, waveforms)
    medians = {name: float(np.median(times)) for name, times in seconds.items()}
    return [
        ResultRow(
            model=name,
            size=Size(file_bytes=models[name].stat().st_size),
            execution=_execution(model),
            stream=_stream(model),
            step=_step_time(seconds[name], ratio=medians[name] / medians[reference]),
        )
        for name, model in opened.items()
    ]


def long_row(
    files: StreamFiles, config: Config, audio: Iterable[NDArray[np.float32]], every: float, runtime: str
) -> ResultRow:
    """Streams hours of audio: growth of memory, and differences from the offline file every `every` seconds."""
    model = files.open_streaming(runtime)
    result = run_long(model, files.open_offline(runtime), audio, config.model, every)
    return ResultRow(
        model=files.name,
        execution=_execution(model),
        stream=_stream(model),
        parity=Parity(
            relative_rms=max(rms for rms, _ in result.differences) / result.magnitude,
            max_abs_difference=max(largest for _, largest in result.differences),
        ),
        audio_seconds=result.audio_seconds,
        rss_growth_mb=result.rss_growth_bytes / 1e6,
    )


def _execution(model: StreamModel) -> Execution:
    return Execution(runtime=model.runtime, kernel=model.kernels().name, threads=1)


def _stream(model: StreamModel) -> Stream:
    description = model.description
    return Stream(
        chunk_ms=1e3 * description.step_samples / description.sample_rate,
        lookahead_ms=lookahead_ms(description),
        state_bytes=sum(state.bytes for state in model.states),
    )


def _trace(model: Model, outputs: NDArray[np.float32]) -> Trace:
    search = new_search(model)
    search.push(outputs)
    return Trace(outputs, tuple(search.ids))


def _responsiveness(live: Sequence[LiveUtterance]) -> Responsiveness:
    first_token = [1e3 * one.first_token_seconds for one in live if one.first_token_seconds is not None]
    first_p50, first_p90 = percentiles(first_token) if first_token else (None, None)
    finalization_p50, finalization_p90 = percentiles([1e3 * one.finish_seconds for one in live])
    return Responsiveness(
        first_token_ms_p50=first_p50,
        first_token_ms_p90=first_p90,
        finalization_ms_p50=finalization_p50,
        finalization_ms_p90=finalization_p90,
    )


def _step_time(seconds: Sequence[float], ratio: float | None = None) -> StepTime:
    p50, p90 = percentiles([1e3 * one for one in seconds])
    return StepTime(step_ms_p50=p50, step_ms_p90=p90, step_time_ratio=ratio)


def _parity(model: StreamModel, live: Sequence[LiveUtterance], expected: Sequence[Trace]) -> Parity:
    streamed = [Trace(one.outputs, tuple(one.ids)) for one in live]
    parity = compare(streamed, expected, model.runtime, model.kernels().name)
    return Parity(
        relative_rms=parity.relative_rms,
        max_abs_difference=parity.max_abs_difference,
        different_transcripts=parity.different_hypotheses,
    )
