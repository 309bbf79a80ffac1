"""The command `tfconformer demo`."""

from __future__ import annotations

from pathlib import Path

import click

from tfconformer.commands.output import OUTPUT_FOLDER


@click.command()
@click.option("--output", type=OUTPUT_FOLDER, default=Path("build/demo"), show_default=True)
@click.option("--publish", is_flag=True, help="Put the results into results/demo.json and docs/results/index.md.")
def demo(output: Path, publish: bool) -> None:
    """Fine-tune the small model to 8, 4 and 2 bits, export, score in a real runtime, report.

    Needs nothing but the checkout. Human test speech is added where the Debian archive can be reached.
    """
    from converters.experiments.demo import run_demo

    run_demo(output, publish)
