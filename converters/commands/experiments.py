"""The command `tfconformer dev experiments`."""

from __future__ import annotations

import re
from pathlib import Path

import click

from tfconformer.errors import InputError
from tfconformer.reports.tables import render_markdown_table

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("files", nargs=-1, required=True, type=_PATH)
@click.option("--runs", "folder", type=_PATH, default=Path("build/experiments"), show_default=True)
@click.option("--results", type=_PATH, default=Path("results"), show_default=True, help="Folder of the results files.")
@click.option("--only", default=".*", show_default=True, metavar="REGEX", help="Variants to execute.")
def experiments(files: tuple[Path, ...], folder: Path, results: Path, only: str) -> None:
    """Execute the grids of FILES: fine-tune, export, score every variant; started again, continue.

    NAME.yaml becomes NAME.json among the results, updated after every finished run.
    """
    from converters.experiments.execute import execute
    from converters.experiments.grid import load_experiment

    try:
        re.compile(only)
    except re.error as error:
        raise InputError(f"--only {only!r} is not a regular expression: {error}") from None
    grids = {file: load_experiment(file) for file in files}
    for file, experiment in grids.items():
        finished = execute(file, experiment, folder, results / f"{file.stem}.json", only)
        click.echo(f"{experiment.title}\n\n{render_markdown_table(finished.rows)}")
