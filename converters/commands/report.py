"""The command `tfconformer dev report`."""

from __future__ import annotations

from pathlib import Path

import click

from tfconformer.commands.output import OUTPUT_FILE
from tfconformer.commands.texts import TEXT
from tfconformer.errors import InputError
from tfconformer.reports.results import merge_results, read_results, write_results
from tfconformer.reports.tables import RESULTS_SECTION, render_markdown_table, update_markdown

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("results_files", type=_PATH, nargs=-1, required=True)
@click.option("--output", type=OUTPUT_FILE, required=True, help="HTML file to write; the JSON is written beside it.")
@click.option("--title", type=TEXT, default="tfconformer report", show_default=True)
@click.option("--markdown", type=_PATH, help="Markdown file whose table between the results markers is replaced.")
def report(results_files: tuple[Path, ...], output: Path, title: str, markdown: Path | None) -> None:
    """Join RESULTS_FILES into one report: a JSON file and an HTML page."""
    from tfconformer.reports.baseline import compare_with_float
    from tfconformer.reports.page import render_report

    if output.suffix == ".json":
        raise InputError(f"--output names the HTML file, got {output}")
    results = compare_with_float(merge_results([read_results(path) for path in results_files]))
    if markdown is not None:  # first, since it can be wrong, and the page takes seconds to draw
        update_markdown(markdown, {RESULTS_SECTION: render_markdown_table(results.rows)})
    render_report(results, output, title)
    write_results(output.with_suffix(".json"), results)
    click.echo(render_markdown_table(results.rows), nl=False)
