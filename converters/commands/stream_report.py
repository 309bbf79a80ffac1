"""The command `tfconformer stream-report`: what streaming costs and whether it changes anything, as a results file."""

from __future__ import annotations

import importlib.util
import itertools
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from converters.runtime.model import RUNTIMES
from tfconformer.errors import InputError

_PATH = click.Path(path_type=Path)
_VERIFIED_UTTERANCES = 2
_STEP_UTTERANCES = 8
_WINDOWS = 12


@click.command("stream-report")
@click.argument("runs", nargs=-1, required=True, metavar="NAME=RUN...")
@click.option("--shards", "patterns", metavar="GLOB", multiple=True, required=True, help="Shards of the test sets.")
@click.option(
    "--chunk",
    "chunks",
    type=click.IntRange(min=1),
    multiple=True,
    default=(1, 3, 5, 9, 17),
    show_default=True,
    help="Attention chunk in 40 ms frames; one of c frames looks ahead c - 1. May be given several times.",
)
@click.option(
    "--compare",
    "compared",
    type=click.IntRange(min=1),
    multiple=True,
    default=(1, 5, 17),
    show_default=True,
    help="Chunks at which the logits are compared with those of the file for whole utterances.",
)
@click.option(
    "--long-seconds",
    type=click.FloatRange(min=61),
    default=3600.0,
    show_default=True,
    help="Length of one stream, of the first run at the first chunk that is compared.",
)
@click.option("--runtime", type=click.Choice(RUNTIMES), default="ai-edge-litert", show_default=True)
@click.option("--output", type=_PATH, required=True, help="Results file (JSON), written anew after every model.")
def stream_report(
    runs: tuple[str, ...],
    patterns: tuple[str, ...],
    chunks: tuple[int, ...],
    compared: tuple[int, ...],
    long_seconds: float,
    runtime: str,
    output: Path,
) -> None:
    """Measure RUNs on streams; the first of them is the float model.

    Word errors and latencies by look-ahead; differences from the files for whole utterances; step times in turn with
    the float model and, where the extra `peers` is installed, LiteRT's int8 of it; one long stream.
    """
    from converters.evaluation.peers import write_peer
    from converters.evaluation.stream_rows import StreamFiles, accuracy_row, export_files, long_row, step_rows
    from tfconformer.data.pipeline import evaluation_utterances
    from tfconformer.data.shards import shards_by_set
    from tfconformer.reports.provenance import results_of_this_process
    from tfconformer.reports.results import ResultRow, write_results
    from tfconformer.training.run import RunDirectory

    models = _named_runs(runs)
    unknown = sorted({*compared} - {*chunks})
    if unknown:
        raise InputError(f"--compare {unknown[0]} is not among the chunks {', '.join(map(str, chunks))}")
    sets = shards_by_set(patterns)
    first_set = next(iter(sets.values()))
    waveforms = [one.waveform for one in itertools.islice(evaluation_utterances(first_set), _STEP_UTTERANCES)]
    rows: list[ResultRow] = []

    def add(new: Sequence[ResultRow]) -> None:
        rows.extend(new)
        write_results(output, results_of_this_process(rows=tuple(rows)))

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files: dict[tuple[str, int], StreamFiles] = {}
        for (name, path), chunk in itertools.product(models.items(), chunks):
            files[name, chunk] = export_files(
                name, RunDirectory(path), chunk, folder, waveforms[:_VERIFIED_UTTERANCES], chunk in compared
            )
            add(
                [
                    accuracy_row(files[name, chunk], test_set, evaluation_utterances(shards), runtime)
                    for test_set, shards in sets.items()
                ]
            )
        float_name = next(iter(models))
        for chunk in chunks:
            streams = {name: files[name, chunk].streaming for name in models}
            if importlib.util.find_spec("ai_edge_quantizer"):
                streams["litert_int8"] = folder / f"litert_int8-{chunk}.tflite"
                write_peer(streams[float_name], 8, streams["litert_int8"])
            add(step_rows(streams, float_name, waveforms, runtime))
        if compared:
            config = RunDirectory(models[float_name]).config()
            # Read beforehand: reading takes memory too, now and then.
            audio = list(_hours(sets.values(), long_seconds, config.features.sample_rate))
            add([long_row(files[float_name, compared[0]], config, audio, long_seconds / _WINDOWS, runtime)])
    click.echo(f"{output}: {len(rows)} rows")


def _named_runs(runs: Sequence[str]) -> dict[str, Path]:
    models = dict(run.partition("=")[::2] for run in runs)
    for name, path in models.items():
        if not name or not path:
            raise InputError(f"a run is given as NAME=DIRECTORY, got {name!r}")
    if len(models) < len(runs):
        raise InputError("two runs have the same name")
    return {name: Path(path) for name, path in models.items()}


def _hours(sets: Iterable[Sequence[Path]], seconds: float, rate: int) -> Iterator[NDArray[np.float32]]:
    """The utterances of all sets one after the other, again and again, until it is that much audio."""
    from tfconformer.data.pipeline import evaluation_utterances

    left = int(seconds * rate)
    for shards in itertools.cycle(list(sets)):
        for one in evaluation_utterances(shards):
            yield one.waveform[:left]
            left -= len(one.waveform)
            if left <= 0:
                return
