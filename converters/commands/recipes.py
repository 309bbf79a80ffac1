"""The command `tfconformer dev recipes`."""

from __future__ import annotations

from pathlib import Path

import click

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("files", nargs=-1, required=True, type=_PATH)
@click.option(
    "--results",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path("results"),
    show_default=True,
    help="Folder of the results files.",
)
@click.option(
    "--page", type=_PATH, default=Path("docs/results/recipes.md"), show_default=True, help="Markdown to update."
)
def recipes(files: tuple[Path, ...], results: Path, page: Path) -> None:
    """Put the results of the grids of FILES into a page, as tables.

    The table of NAME.yaml goes between the comments NAME:begin and NAME:end of the page.
    """
    from converters.experiments.tables import update_page

    update_page(page, files, results)
