"""Commands that measure and describe exported models and runtimes: `tfconformer evaluate | probe | report | summary`.

Imports that take seconds (TensorFlow, Matplotlib) wait until a command needs them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from converters.provenance import results_of_this_process
from converters.results import ResultRow, ResultsFile, Transcript, merge_results, read_results, write_results
from converters.runtimes import RUNTIMES
from converters.summary import LayerRow, layer_rows, model_summary
from converters.tables import RESULTS_SECTION, describe, render_markdown_table, update_markdown
from tfconformer.errors import InputError

if TYPE_CHECKING:
    from converters.scoring import Score

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("source", type=_PATH)
@click.option("--shards", "patterns", metavar="GLOB", multiple=True, required=True, help="Shards of the test sets.")
@click.option("--runtime", type=click.Choice(RUNTIMES), default="ai-edge-litert", show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--max-seconds", type=click.FloatRange(min=0, min_open=True), default=60.0, show_default=True)
@click.option("--beam-width", type=click.IntRange(min=1), help="Of a run, or a transducer: so many hypotheses.")
@click.option("--language-model", type=_PATH, help="Of a run with CTC: an n-gram model, ARPA or KenLM's binary format.")
@click.option("--language-model-weight", type=click.FloatRange(min=0), default=0.5, show_default=True)
@click.option("--name", help="Name of the model in the results; by default that of the file.")
@click.option("--output", type=_PATH, help="Results file to write (JSON).")
def evaluate(
    source: Path,
    patterns: tuple[str, ...],
    runtime: str,
    threads: int,
    max_seconds: float,
    beam_width: int | None,
    language_model: Path | None,
    language_model_weight: float,
    name: str | None,
    output: Path | None,
) -> None:
    """Score SOURCE on test sets: a .tflite file in a real runtime, or the directory of a run in Keras.

    Shards are named NAME-00000-of-00005.tfrecord; every NAME is a test set of its own.
    """
    from tfconformer.data.shards import shards_by_set

    test_sets = shards_by_set(patterns)
    if language_model is not None and beam_width is None:
        raise InputError("--language-model needs --beam-width")
    if source.is_dir():
        results = _evaluated_run(source, test_sets, name, beam_width, language_model, language_model_weight)
    elif language_model is not None:
        raise InputError(f"--language-model is for the directory of a run, got {source}")
    else:
        results = _evaluated_file(source, test_sets, name, runtime, threads, max_seconds, beam_width)
    if output is not None:
        write_results(output, results)


def _evaluated_file(
    path: Path,
    test_sets: Mapping[str, Sequence[Path]],
    name: str | None,
    runtime: str,
    threads: int,
    max_seconds: float,
    beam_width: int | None,
) -> ResultsFile:
    from converters.scoring import file_layer_errors, score_file

    model = name or path.stem
    rows, transcripts = _told(score_file(path, model, test_sets, runtime, threads, max_seconds, beam_width))
    return results_of_this_process(rows=rows, layers=file_layer_errors(path, model), transcripts=transcripts)


def _evaluated_run(
    path: Path,
    test_sets: Mapping[str, Sequence[Path]],
    name: str | None,
    beam_width: int | None,
    language_model: Path | None,
    language_model_weight: float,
) -> ResultsFile:
    from converters.evaluate_run import evaluate_run
    from tfconformer.training.recognition import BeamSearch
    from tfconformer.training.run import RunDirectory

    search = None if beam_width is None else BeamSearch(beam_width, language_model, language_model_weight)
    rows, transcripts = _told(evaluate_run(RunDirectory(path), test_sets, name or path.name, search))
    return results_of_this_process(rows=rows, transcripts=transcripts)


def _told(scores: Iterable[Score]) -> tuple[tuple[ResultRow, ...], tuple[Transcript, ...]]:
    """Rows and transcripts; every row is printed as soon as it is there."""
    rows: list[ResultRow] = []
    transcripts: list[Transcript] = []
    for score in scores:
        click.echo(describe(score.row))
        rows.append(score.row)
        transcripts += score.transcripts
    return tuple(rows), tuple(transcripts)


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


@click.command()
@click.option("--runtime", "runtimes", type=click.Choice(RUNTIMES), multiple=True, default=RUNTIMES, show_default=True)
@click.option("--output", type=_PATH, help="File for the table (JSON); export reads converters/capabilities.json.")
def probe(runtimes: tuple[str, ...], output: Path | None) -> None:
    """Measure what the installed runtimes compute rightly: bits, granularity, symmetry, with and without XNNPACK."""
    from converters.capabilities import write
    from converters.probe import probe as run_probe

    table = run_probe(runtimes)
    for case, outcomes in table.items():
        click.echo(str(case))
        for runtime, outcome in outcomes.items():
            click.echo(f"    {runtime}: {outcome}")
    if output is not None:
        write(table, output)


def _rows_of_run(path: Path) -> list[LayerRow]:
    """What the exported file of a run would hold."""
    from converters.export import prepare
    from tfconformer.training.checkpoint import load_model
    from tfconformer.training.run import RunDirectory

    run = RunDirectory(path)
    config = run.config()
    prepared = prepare(load_model(run))
    return layer_rows(map(asdict, prepared.layers), config)


def _rows_of_config(path: Path) -> list[LayerRow]:
    """What the exported file of a run of a configuration would hold, sizes before padding; no weight is allocated."""
    from converters.freeze import inference_model
    from converters.metadata import abstract_layer_records
    from tfconformer.config import load_config
    from tfconformer.models.conformer import abstract_conformer
    from tfconformer.quantization.apply import match_layers

    config = load_config(path)
    vocabulary = config.data.tokenizer.vocabulary_size
    model = inference_model(abstract_conformer(config.model, config.features.mel_bins, vocabulary))
    records = abstract_layer_records(model, match_layers(model, config.quantization))
    return layer_rows(map(asdict, records), config)
