"""Commands that measure and describe exported models: `tfconformer evaluate | report | summary`.

Imports that take seconds (TensorFlow, Matplotlib) wait until a command needs them.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from converters.provenance import results_of_this_process
from converters.results import merge_results, read_results, write_results
from converters.runtimes import RUNTIMES
from converters.summary import LayerRow, layer_rows, model_summary
from converters.tables import RESULTS_SECTION, describe, render_markdown_table, update_markdown
from tfconformer.errors import InputError

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("model_file", type=_PATH)
@click.option("--shards", "patterns", metavar="GLOB", multiple=True, required=True, help="Shards of the test sets.")
@click.option("--runtime", type=click.Choice(RUNTIMES), default="ai-edge-litert", show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--max-seconds", type=click.FloatRange(min=0, min_open=True), default=60.0, show_default=True)
@click.option("--name", help="Name of the model in the results; by default that of the file.")
@click.option("--output", type=_PATH, help="Results file to write (JSON).")
def evaluate(
    model_file: Path,
    patterns: tuple[str, ...],
    runtime: str,
    threads: int,
    max_seconds: float,
    name: str | None,
    output: Path | None,
) -> None:
    """Score MODEL_FILE (.tflite) on test sets, in a real runtime.

    Shards are named NAME-00000-of-00005.tfrecord; every NAME is a test set of its own.
    """
    from converters.scoring import file_layer_errors, score_file
    from tfconformer.data.shards import shards_by_set

    model = name or model_file.stem
    scores = []
    for score in score_file(model_file, model, shards_by_set(patterns), runtime, threads, max_seconds):
        scores.append(score)
        click.echo(describe(score.row))
    if output is not None:
        rows = tuple(score.row for score in scores)
        transcripts = tuple(transcript for score in scores for transcript in score.transcripts)
        layers = file_layer_errors(model_file, model)
        write_results(output, results_of_this_process(rows=rows, layers=layers, transcripts=transcripts))


@click.command()
@click.argument("results_files", type=_PATH, nargs=-1, required=True)
@click.option("--output", type=_PATH, required=True, help="HTML file to write; the JSON goes beside it.")
@click.option("--title", default="tfconformer report", show_default=True)
@click.option("--markdown", type=_PATH, help="Markdown file whose table between the results markers is replaced.")
def report(results_files: tuple[Path, ...], output: Path, title: str, markdown: Path | None) -> None:
    """Join RESULTS_FILES into one report: a JSON file and a page to look at."""
    from converters.comparison import compare_with_float
    from converters.render import render_report

    if output.suffix == ".json":
        raise InputError(f"--output names the HTML file, got {output}")
    results = compare_with_float(merge_results([read_results(path) for path in results_files]))
    render_report(results, output, title)
    write_results(output.with_suffix(".json"), results)
    if markdown is not None:
        update_markdown(markdown, {RESULTS_SECTION: render_markdown_table(results.rows)})
    click.echo(render_markdown_table(results.rows), nl=False)


@click.command()
@click.argument("source", type=_PATH)
def summary(source: Path) -> None:
    """Show a model layer by layer: bits, parameters, bytes, multiplications, quantization error.

    SOURCE is an exported .tflite file, the directory of a run, or the YAML of a model that need not fit into memory.
    """
    from converters.model_file import read_model_file

    if source.is_dir():
        rows = _rows_of_run(source)
    elif source.suffix in (".yaml", ".yml"):
        rows = _rows_of_config(source)
    else:
        rows = read_model_file(source).layer_rows()
    click.echo(model_summary(rows, title=source.name), nl=False)


def _rows_of_run(path: Path) -> list[LayerRow]:
    """What the exported file of a run would hold."""
    from converters.export import prepare
    from tfconformer.data.tokenizer import Tokenizer
    from tfconformer.training.checkpoint import load_model
    from tfconformer.training.run import RunDirectory

    run = RunDirectory(path)
    config = run.config()
    prepared = prepare(load_model(run), config, Tokenizer.from_file(run.tokenizer_file).vocabulary_size)
    return layer_rows(map(asdict, prepared.layers), config)


def _rows_of_config(path: Path) -> list[LayerRow]:
    """What the exported file of a run of a configuration would hold, sizes before padding; no weight is allocated."""
    import tensorflow as tf

    from converters.metadata import abstract_layer_records
    from tfconformer.config import load_config
    from tfconformer.models.conformer_ctc import conformer_ctc
    from tfconformer.quantization.apply import match_layers

    config = load_config(path)
    one_head = config.model.model_copy(update={"intermediate_ctc": None})
    with tf.Graph().as_default():
        model = conformer_ctc(one_head, config.features.mel_bins, config.data.tokenizer.vocabulary_size)
    records = abstract_layer_records(model, match_layers(model, config.quantization))
    return layer_rows(map(asdict, records), config)
