"""The command `tfconformer bench`: several models in one table, measured in turn on this machine or on a phone."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import click

from converters.runtime.model import RUNTIMES

DEFAULT_RUNTIME = "ai-edge-litert"
BACKENDS = ("host", "adb-apk", "adb-cli", "qemu")

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("model_files", type=_PATH, nargs=-1)
@click.option("--shards", "patterns", metavar="GLOB", multiple=True, required=True, help="Shards of ONE test set.")
@click.option(
    "--utterances", type=click.IntRange(min=1), default=16, show_default=True, help="How many of them to run."
)
@click.option("--peers", type=_PATH, metavar="FLOAT.tflite", help="Also make and run LiteRT's int8, int4, int2 of it.")
@click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default="host",
    show_default=True,
    help="This machine; a phone's app or shell, by adb; an emulated processor, for correctness only.",
)
@click.option("--runtime", type=click.Choice(RUNTIMES), help=f"Of the backend host.  [default: {DEFAULT_RUNTIME}]")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@click.option(
    "--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Each model runs once a round."
)
@click.option("--output", type=_PATH, help="Results file to write (JSON).")
def bench(
    model_files: tuple[Path, ...],
    patterns: tuple[str, ...],
    utterances: int,
    peers: Path | None,
    backend: str,
    runtime: str | None,
    threads: int,
    rounds: int,
    output: Path | None,
) -> None:
    """Compare MODEL_FILES (.tflite): speed, memory, size and word errors on the same utterances."""
    from android_bench.device.comparison import compare_on_device
    from converters.evaluation.host import measure
    from converters.evaluation.peers import BITS, write_peer
    from converters.flatbuffer.model_file import read_model_file
    from tfconformer.data.pipeline import evaluation_utterances
    from tfconformer.data.shards import shards_by_set
    from tfconformer.errors import InputError
    from tfconformer.reports.provenance import machine, results_of_this_process
    from tfconformer.reports.results import write_results
    from tfconformer.reports.tables import render_markdown_table

    if runtime is not None and backend != "host":
        raise InputError(f"--runtime is for the backend host; {backend} runs Android's TFLite")
    sets = shards_by_set(patterns)
    if len(sets) != 1:
        raise InputError(f"--shards should name one test set, got {', '.join(sets)}")
    ((test_set, shards),) = sets.items()
    models = {path.stem: path for path in model_files}
    if len(models) < len(model_files):
        raise InputError("two of the model files have the same name")
    described: dict[str, dict[str, Any]] = {name: read_model_file(path).row_values() for name, path in models.items()}
    speech = list(itertools.islice(evaluation_utterances(shards), utterances))
    with tempfile.TemporaryDirectory() as folder:
        if peers is not None:
            for bits in BITS:
                name = f"litert_int{bits}"
                models[name] = Path(folder) / f"{name}.tflite"
                write_peer(peers, bits, models[name])
                described[name] = {
                    "weight_bits": bits,
                    "symmetric": True,
                    "granularity": "channel",
                    "method": "ptq",
                }
        if backend == "host":
            rows = measure(models, speech, test_set, described, runtime or DEFAULT_RUNTIME, threads, rounds)
            device = machine()
        else:
            rows, device = compare_on_device(models, speech, test_set, described, backend, threads, rounds)
    if output is not None:
        write_results(output, results_of_this_process(rows=rows).model_copy(update={"machine": device}))
    click.echo(render_markdown_table(rows), nl=False)
