"""The command `tfconformer card`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from tfconformer.commands.output import OUTPUT_FILE
from tfconformer.commands.texts import TEXT

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("source", type=_PATH)
@click.option("--output", type=OUTPUT_FILE, default=Path("README.md"), show_default=True, help="The page.")
@click.option(
    "--results", type=_PATH, multiple=True, help="Results of `tfconformer evaluate --output`; can be repeated."
)
@click.option(
    "--name", type=TEXT, help="Name of the model, which is that of its rows in the results.  [default: that of SOURCE]"
)
@click.option(
    "--license", "licence", type=TEXT, help='Licence of the model by its identifier, for example "apache-2.0".'
)
@click.option("--language", type=TEXT, help='Code of the language that it understands, for example "en".')
@click.option("--data", type=TEXT, help="What it was trained on, and the licences of that, in Markdown.")
def card(
    source: Path,
    output: Path,
    results: tuple[Path, ...],
    name: str | None,
    licence: str | None,
    language: str | None,
    data: str | None,
) -> None:
    """Write the model card of SOURCE, an exported .tflite file or the directory of a run.

    The card is a README.md as the Hugging Face hub reads it: a metadata block, sizes, word errors with intervals,
    kernel and speed, the formats of the weights, how to run the model, and its data.
    """
    from converters.evaluation.model_card import card_of_file, card_of_run
    from tfconformer import atomic
    from tfconformer.reports.card import render_card, rows_of_model
    from tfconformer.reports.results import merge_results, read_results

    name = name or (source.name if source.is_dir() else source.stem)
    rows = rows_of_model(merge_results([read_results(path) for path in results]).rows, name) if results else []
    made = (card_of_run if source.is_dir() else card_of_file)(source, name, rows)
    atomic.write_text(output, render_card(replace(made, license=licence, language=language, data=data)))
    click.echo(output)
