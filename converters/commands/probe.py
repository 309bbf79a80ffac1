"""The command `tfconformer dev probe`."""

from __future__ import annotations

from pathlib import Path

import click

from converters.runtime.model import RUNTIMES
from tfconformer.commands.output import OUTPUT_FILE


@click.command()
@click.option("--runtime", "runtimes", type=click.Choice(RUNTIMES), multiple=True, default=RUNTIMES, show_default=True)
@click.option(
    "--output",
    type=OUTPUT_FILE,
    help="File for the table (JSON).",
)
def probe(runtimes: tuple[str, ...], output: Path | None) -> None:
    """Measure what the installed runtimes compute rightly: bits, granularity, symmetry, with and without XNNPACK."""
    from converters.capability.probe import probe as run_probe
    from converters.exporter.capabilities import write

    table = run_probe(runtimes)
    for case, outcomes in table.items():
        click.echo(str(case))
        for runtime, outcome in outcomes.items():
            click.echo(f"    {runtime}: {outcome}")
    if output is not None:
        write(table, output)
