"""Rows of a results file about streams: one function for each question."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.evaluation.evaluate import Utterance
from converters.evaluation.long_stream import run_long
from converters.evaluation.stream_timing import LiveUtterance, interleaved_step_seconds, lookahead_ms, run_live
from converters.exporter.pipeline import export
from converters.exporter.verify import compare, recognized
from converters.flatbuffer.model_file import read_model_file
from converters.runtime.model import Model, open_model
from converters.runtime.stream_model import StreamModel, open_stream
from tfconformer.config import Config
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.decoding.wer import word_errors
from tfconformer.reports.results import ResultRow
from tfconformer.training.run import RunDirectory


@dataclass(frozen=True)
class StreamFiles:
    """A model with chunks of one size, as a streaming file and, to compare with, as one for whole utterances."""

    name: str
    streaming: Path
    whole: Path | None

    def open_streaming(self, runtime: str) -> StreamModel:
        """The streaming file in a runtime."""
        return open_stream(self.streaming, runtime)

    def open_whole(self, runtime: str) -> Model:
        """The file for whole utterances in a runtime."""
        assert self.whole is not None
        model = open_model(self.whole, runtime)
        assert isinstance(model, Model)
        return model


def export_files(
    name: str, run: RunDirectory, chunk: int, folder: Path, waveforms: Sequence[NDArray[np.float32]], with_whole: bool
) -> StreamFiles:
    """Exports a run with attention chunks of so many 40 ms frames; `waveforms` verify it."""
    overrides = [f"model.attention_chunk={chunk}"]
    streaming, whole = folder / f"{name}-{chunk}-stream.tflite", folder / f"{name}-{chunk}.tflite"
    export(run, streaming, waveforms, overrides=overrides, streaming=True)
    if with_whole:
        export(run, whole, waveforms, overrides=overrides)
    return StreamFiles(name, streaming, whole if with_whole else None)


def accuracy_row(files: StreamFiles, test_set: str, utterances: Iterable[Utterance], runtime: str) -> ResultRow:
    """Streams a test set: word errors, latencies, and differences from the file for whole utterances."""
    model = files.open_streaming(runtime)
    tokenizer = Tokenizer.from_bytes(base64.b64decode(model.metadata()["tokenizer"]))
    live, texts, expected = [], [], []
    whole = None if files.whole is None else files.open_whole(runtime)
    for waveform, text, _ in utterances:
        live.append(run_live(model, waveform))
        texts.append(text)
        if whole is not None:
            expected.append(whole.run(waveform))
    differences: dict[str, Any] = {}
    if whole is not None:
        alike = [one.ids == recognized(whole.decoder, theirs) for one, theirs in zip(live, expected, strict=True)]
        parity = compare([one.outputs for one in live], expected, alike, model.runtime, model.kernels().name)
        differences = {
            "relative_rms": parity.relative_rms,
            "max_abs_difference": parity.max_abs_difference,
            "different_transcripts": parity.different_hypotheses,
        }
    return ResultRow(
        model=files.name,
        test_set=test_set,
        evaluated_with="tflite",
        runtime=model.runtime,
        kernel=model.kernels().name,
        threads=1,
        **_stream_columns(model),
        **_latency_columns(live),
        **differences,
        **asdict(word_errors(texts, [tokenizer.decode(one.ids) for one in live])),
        **read_model_file(files.streaming).row_values(),
    )


def step_rows(
    models: Mapping[str, Path], reference: str, waveforms: Sequence[NDArray[np.float32]], runtime: str
) -> list[ResultRow]:
    """Step times of streaming files with chunks of one size, in turn; `reference` names the float one."""
    opened = {name: open_stream(path, runtime) for name, path in models.items()}
    seconds = interleaved_step_seconds(opened, waveforms)
    medians = {name: float(np.median(times)) for name, times in seconds.items()}
    return [
        ResultRow(
            model=name,
            runtime=model.runtime,
            kernel=model.kernels().name,
            threads=1,
            file_bytes=models[name].stat().st_size,
            step_time_ratio=medians[name] / medians[reference],
            **_percentiles("step_ms", [1e3 * one for one in seconds[name]]),
            **_stream_columns(model),
        )
        for name, model in opened.items()
    ]


def long_row(
    files: StreamFiles, config: Config, audio: Iterable[NDArray[np.float32]], every: float, runtime: str
) -> ResultRow:
    """One long stream: memory, and differences from the file for whole utterances, in windows `every` seconds."""
    model = files.open_streaming(runtime)
    result = run_long(model, files.open_whole(runtime), audio, config.model, every)
    return ResultRow(
        model=files.name,
        runtime=model.runtime,
        kernel=model.kernels().name,
        threads=1,
        audio_seconds=result.audio_seconds,
        rss_growth_mb=result.rss_growth_bytes / 1e6,
        relative_rms=max(rms for rms, _ in result.differences) / result.magnitude,
        max_abs_difference=max(largest for _, largest in result.differences),
        **_stream_columns(model),
    )


def _stream_columns(model: StreamModel) -> dict[str, Any]:
    description = model.description
    return {
        "chunk_ms": 1e3 * description.step_samples / description.sample_rate,
        "lookahead_ms": lookahead_ms(description),
        "state_bytes": description.state_bytes,
    }


def _latency_columns(live: Sequence[LiveUtterance]) -> dict[str, Any]:
    first = [1e3 * one.first_token_seconds for one in live if one.first_token_seconds is not None]
    return {
        **(_percentiles("first_token_ms", first) if first else {}),
        **_percentiles("finalization_ms", [1e3 * one.finish_seconds for one in live]),
        **_percentiles("step_ms", [1e3 * seconds for one in live for seconds in one.step_seconds]),
        **_percentiles("rtf", [one.rtf for one in live]),
    }


def _percentiles(column: str, values: Sequence[float]) -> dict[str, Any]:
    p50, p90 = np.percentile(values, (50, 90)).tolist()
    return {f"{column}_p50": p50, f"{column}_p90": p90}
