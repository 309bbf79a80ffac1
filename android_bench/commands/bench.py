"""The command `tfconformer bench`."""

from __future__ import annotations

from pathlib import Path

import click

from converters.runtime.model import RUNTIMES
from tfconformer.commands.numbers import Whole
from tfconformer.commands.output import OUTPUT_FILE

DEFAULT_RUNTIME = "ai-edge-litert"
BACKENDS = ("host", "adb-apk", "adb-cli", "qemu")

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("model_files", type=_PATH, nargs=-1)
@click.option("--shards", "patterns", metavar="GLOB", multiple=True, required=True, help="Shards of ONE test set.")
@click.option("--utterances", type=Whole(min=1), default=16, show_default=True, help="How many of them to run.")
@click.option(
    "--baselines",
    "float_model",
    type=_PATH,
    metavar="FLOAT.tflite",
    help="Also make and run LiteRT's int8, int4, int2 of it.",
)
@click.option(
    "--backend",
    "backend_name",
    type=click.Choice(BACKENDS),
    default="host",
    show_default=True,
    help="This machine; a phone's app or shell, by adb; an emulated processor, for correctness only.",
)
@click.option("--runtime", type=click.Choice(RUNTIMES), help=f"Of the backend host.  [default: {DEFAULT_RUNTIME}]")
@click.option("--threads", type=click.IntRange(1, 256), default=1, show_default=True)
@click.option("--rounds", type=Whole(min=1), default=3, show_default=True, help="Each model runs once a round.")
@click.option("--output", type=OUTPUT_FILE, help="Results file to write (JSON).")
def bench(
    model_files: tuple[Path, ...],
    patterns: tuple[str, ...],
    utterances: int,
    float_model: Path | None,
    backend_name: str,
    runtime: str | None,
    threads: int,
    rounds: int,
    output: Path | None,
) -> None:
    """Compare MODEL_FILES (.tflite): speed, memory, size and word errors on the same utterances.

    Of files that convert speech, the word errors are those of the CTC head of the encoder.
    """
    from android_bench.device.backend import DeviceBackend
    from converters.evaluation.comparison import Backend, HostBackend
    from converters.evaluation.file_comparison import compare_files
    from tfconformer.errors import InputError
    from tfconformer.reports.results import write_results
    from tfconformer.reports.tables import render_markdown_table

    backend: Backend
    if backend_name == "host":
        backend = HostBackend(runtime or DEFAULT_RUNTIME, threads)
    elif runtime is None:
        backend = DeviceBackend(backend_name, threads)
    else:
        raise InputError(f"--runtime is for the backend host; {backend_name} runs Android's TFLite")
    results = compare_files(model_files, patterns, backend, utterances, rounds, float_model)
    if output is not None:
        write_results(output, results)
    click.echo(render_markdown_table(results.rows), nl=False)
