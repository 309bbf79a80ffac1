"""Measurements of streaming for several runs: accuracy and latency by look-ahead, step times, one long stream."""

from __future__ import annotations

import importlib.util
import itertools
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from converters.evaluation.baselines import write_baseline
from converters.evaluation.stream_rows import StreamFiles, accuracy_row, export_files, long_row, step_rows
from tfconformer.data.pipeline import evaluation_utterances
from tfconformer.data.shards import shards_by_set
from tfconformer.errors import InputError
from tfconformer.reports.rows import ResultRow
from tfconformer.training.run import RunDirectory

_VERIFIED_UTTERANCES = 2
_STEP_UTTERANCES = 8
_COMPARISONS = 12  # of the long stream


def stream_rows(
    runs: Mapping[str, Path],
    patterns: Sequence[str],
    chunks: Sequence[int] = (1, 3, 5, 9, 17),
    compared: Sequence[int] = (1, 5, 17),
    long_seconds: float = 3600.0,
    runtime: str = "ai-edge-litert",
) -> Iterator[list[ResultRow]]:
    """Measures runs on streams; yields rows as soon as they are measured.

    Args:
      runs: directories by name; the first is that of the float model.
      patterns: globs of the shards of the test sets.
      chunks: sizes of the attention chunk in frames of 40 ms; one of c frames looks ahead c - 1.
      compared: those chunks with which the logits are compared with the offline file's.
      long_seconds: length of one stream, of the first run with the first chunk that is compared; at least 61.
      runtime: one of `converters.runtime.model.RUNTIMES`.

    Raises:
      InputError: a run or a shard cannot be used, or a compared chunk is not among the chunks.
    """
    unknown = sorted({*compared} - {*chunks})
    if unknown:
        raise InputError(f"--compare {unknown[0]} is not among the chunks {', '.join(map(str, chunks))}")
    for path in runs.values():  # a wrong one is found before the first is measured
        RunDirectory(path).config()
    sets = shards_by_set(patterns)
    first_set = next(iter(sets.values()))
    waveforms = [one.waveform for one in evaluation_utterances(first_set, limit=_STEP_UTTERANCES)]
    float_name = next(iter(runs))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files: dict[tuple[str, int], StreamFiles] = {}
        for (name, path), chunk in itertools.product(runs.items(), chunks):
            files[name, chunk] = export_files(
                name, RunDirectory(path), chunk, folder, waveforms[:_VERIFIED_UTTERANCES], chunk in compared
            )
            yield [
                accuracy_row(files[name, chunk], test_set, evaluation_utterances(shards), runtime)
                for test_set, shards in sets.items()
            ]
        for chunk in chunks:
            streams = {name: files[name, chunk].streaming for name in runs}
            if importlib.util.find_spec("ai_edge_quantizer"):
                streams["litert_int8"] = folder / f"litert_int8-{chunk}.tflite"
                write_baseline(streams[float_name], 8, streams["litert_int8"])
            yield step_rows(streams, float_name, waveforms, runtime)
        if compared:
            config = RunDirectory(runs[float_name]).config()
            # Read beforehand, since reading takes memory too.
            audio = list(_repeated_audio(sets.values(), long_seconds, config.features.sample_rate))
            yield [long_row(files[float_name, compared[0]], config, audio, long_seconds / _COMPARISONS, runtime)]


def _repeated_audio(sets: Iterable[Sequence[Path]], seconds: float, rate: int) -> Iterator[NDArray[np.float32]]:
    """Yields the utterances of all sets, repeated, until they last for so many seconds."""
    left = int(seconds * rate)
    for shards in itertools.cycle(list(sets)):
        for one in evaluation_utterances(shards):
            yield one.waveform[:left]
            left -= len(one.waveform)
            if left <= 0:
                return
