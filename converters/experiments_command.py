"""The command `tfconformer experiments`."""

from __future__ import annotations

from pathlib import Path

import click

from converters.tables import render_markdown_table

_PATH = click.Path(path_type=Path)
RESULTS = Path("docs/results")


@click.command()
@click.argument("files", nargs=-1, required=True, type=_PATH)
@click.option("--runs", "folder", type=_PATH, default=Path("build/experiments"), show_default=True)
@click.option("--results", type=_PATH, default=RESULTS, show_default=True, help="Folder of the results files.")
@click.option("--only", default=".*", show_default=True, metavar="REGEX", help="Variants to execute.")
def experiments(files: tuple[Path, ...], folder: Path, results: Path, only: str) -> None:
    """Execute the grids of FILES: fine-tune, export, score every variant; started again, continue.

    NAME.yaml becomes NAME.json among the results, written anew after every finished run.
    """
    from converters.experiment_execution import execute
    from converters.experiments import load_experiment

    grids = {file: load_experiment(file) for file in files}
    for file, experiment in grids.items():
        finished = execute(file, experiment, folder, results / f"{file.stem}.json", only)
        click.echo(f"{experiment.title}\n\n{render_markdown_table(finished.rows)}")


@click.command()
@click.argument("files", nargs=-1, required=True, type=_PATH)
@click.option("--results", type=_PATH, default=RESULTS, show_default=True, help="Folder of the results files.")
@click.option("--page", type=_PATH, default=Path("docs/recipes.md"), show_default=True, help="Markdown to update.")
def recipes(files: tuple[Path, ...], results: Path, page: Path) -> None:
    """Put the results of the grids of FILES into a page, as tables.

    The table of NAME.yaml goes between the comments NAME:begin and NAME:end of the page.
    """
    from converters.grid_tables import update_page

    update_page(page, files, results)
