"""The command `tfconformer dev experiments`."""

from __future__ import annotations

from pathlib import Path

import click

from tfconformer.patterns import compile_pattern
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

    compile_pattern(only, "--only")
    grids = {file: load_experiment(file) for file in files}
    for file, experiment in grids.items():
        finished = execute(file, experiment, folder, results / f"{file.stem}.json", only)
        click.echo(f"{experiment.title}\n\n{render_markdown_table(finished.rows)}")
