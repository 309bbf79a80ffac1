"""The command `tfconformer dev stream-report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from converters.runtime.model import RUNTIMES
from tfconformer.commands.numbers import Finite, Whole
from tfconformer.commands.output import OUTPUT_FILE
from tfconformer.errors import InputError

_PATH = click.Path(path_type=Path)


@click.command("stream-report")
@click.argument("runs", nargs=-1, required=True, metavar="NAME=RUN...")
@click.option("--shards", "patterns", metavar="GLOB", multiple=True, required=True, help="Shards of the test sets.")
@click.option(
    "--chunk",
    "chunks",
    type=Whole(min=1),
    multiple=True,
    default=(1, 3, 5, 9, 17),
    show_default=True,
    help="Attention chunk in 40 ms frames; one of c frames looks ahead c - 1. May be given several times.",
)
@click.option(
    "--compare",
    "compared",
    type=Whole(min=1),
    multiple=True,
    default=(1, 5, 17),
    show_default=True,
    help="Chunks at which the logits are compared with those of the offline file.",
)
@click.option(
    "--long-seconds",
    type=Finite(min=61),
    default=3600.0,
    show_default=True,
    help="Length of one stream, of the first run at the first chunk that is compared.",
)
@click.option("--runtime", type=click.Choice(RUNTIMES), default="ai-edge-litert", show_default=True)
@click.option("--output", type=OUTPUT_FILE, required=True, help="Results file (JSON), updated after every model.")
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

    Word errors and latencies by look-ahead; differences from the offline files; step times in turn with
    the float model and, where the extra `baselines` is installed, LiteRT's int8 of it; one long stream.
    """
    from converters.evaluation.stream_report import stream_rows
    from tfconformer.reports.provenance import results_of_this_process
    from tfconformer.reports.results import write_results
    from tfconformer.reports.rows import ResultRow

    rows: list[ResultRow] = []
    for measured in stream_rows(_named_runs(runs), patterns, chunks, compared, long_seconds, runtime):
        rows += measured
        write_results(output, results_of_this_process(rows=tuple(rows)))
    click.echo(f"{output}: {len(rows)} rows")


def _named_runs(runs: Sequence[str]) -> dict[str, Path]:
    models = dict(run.partition("=")[::2] for run in runs)
    for name, path in models.items():
        if not name or not path:
            raise InputError(f"a run is given as NAME=DIRECTORY, got {name!r}")
    if len(models) < len(runs):
        raise InputError("two runs have the same name")
    return {name: Path(path) for name, path in models.items()}
