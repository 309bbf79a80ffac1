"""Conversion of hours of speech in one stream: the growth of memory, and the real-time factor.

    python -m benchmarks.long_conversion conversion.tflite results/parrotron_hour.json --lag 0.5

The utterances of a test set follow each other, with silence between them in which the endpoint rules end them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path

import click
import numpy as np

from converters.evaluation.long_stream import resident_bytes
from converters.flatbuffer.model_file import read_model_file
from converters.streaming.audio import CHUNK_SECONDS, LiveAudio
from converters.streaming.conversion import ConversionTiming, Samples, convert_audio
from converters.streaming.online_converter import OnlineConverter
from tfconformer.data.pipeline import evaluation_pairs
from tfconformer.data.shards import find_shards
from tfconformer.reports.provenance import results_of_this_process
from tfconformer.reports.results import write_results
from tfconformer.reports.rows import Execution, ResultRow, Speed

RATE = 16000
PAUSE_SECONDS = 1.5
WARM_SECONDS = 300.0  # memory grows from here: by then the longest utterances were converted
_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("file", type=_PATH)
@click.argument("output", type=_PATH)
@click.option("--shards", default="data/parrotron/shards/test-pairs-0*.tfrecord", show_default=True)
@click.option("--lag", type=float, help="Lag in seconds; by default speech is converted after the end of an utterance.")
@click.option("--seconds", type=click.FloatRange(min=2 * WARM_SECONDS), default=3600.0, show_default=True)
def main(file: Path, output: Path, shards: str, lag: float | None, seconds: float) -> None:
    """Convert a long stream with FILE, and write a row to OUTPUT."""
    utterances = [pair.source for pair in evaluation_pairs(find_shards([shards]), limit=None)]
    converter, timing = OnlineConverter(file, lag=lag), ConversionTiming()
    audio = LiveAudio(RATE, _chunks(utterances, seconds))
    warm_bytes = peak_bytes = 0
    for _ in convert_audio(converter, audio, timing):
        peak_bytes = max(peak_bytes, resident_bytes())
        if timing.source_seconds < WARM_SECONDS:
            warm_bytes = peak_bytes
    row = ResultRow(
        model=file.stem if lag is None else f"{file.stem}, {lag:g} s behind the speaker",
        audio_seconds=timing.source_seconds,
        rss_growth_mb=(peak_bytes - warm_bytes) / 1e6,
        cut_off=timing.cut_off,
        size=read_model_file(file).size,
        speed=Speed(rtf_p50=timing.compute_seconds / timing.source_seconds),
        execution=Execution(runtime=converter.model.runtime, kernel=converter.model.kernels().name, threads=1),
    )
    count = len(timing.rest_seconds)
    click.echo(f"{timing}; {count} utterances; memory grew by {row.rss_growth_mb:.1f} MB")
    write_results(output, results_of_this_process(rows=(row,)))


def _chunks(utterances: Sequence[Samples], seconds: float) -> Iterator[Samples]:
    left, size = round(seconds * RATE), round(CHUNK_SECONDS * RATE)
    silence = np.zeros(round(PAUSE_SECONDS * RATE), np.float32)
    for utterance in cycle(utterances):
        speech = np.concatenate([utterance, silence])[:left]
        yield from (speech[start : start + size] for start in range(0, len(speech), size))
        left -= len(speech)
        if not left:
            return


if __name__ == "__main__":
    main()
