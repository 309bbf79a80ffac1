"""The command `tfconformer evaluate`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click

from converters.commands.beam_options import beam_options
from converters.runtime.model import RUNTIMES
from tfconformer.commands.numbers import Finite, Whole
from tfconformer.commands.output import OUTPUT_FILE
from tfconformer.commands.texts import TEXT
from tfconformer.data.limits import MAX_SECONDS
from tfconformer.decoding.beam import BeamSearch
from tfconformer.errors import InputError
from tfconformer.reports.provenance import results_of_this_process
from tfconformer.reports.results import LayerError, Transcript, write_results
from tfconformer.reports.rows import ResultRow
from tfconformer.reports.tables import describe

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("source", type=_PATH)
@click.option("--shards", "patterns", metavar="GLOB", multiple=True, required=True, help="Shards of the test sets.")
@click.option("--runtime", type=click.Choice(RUNTIMES), default="ai-edge-litert", show_default=True)
@click.option("--threads", type=click.IntRange(1, 256), default=1, show_default=True)
@click.option(
    "--max-seconds",
    type=Finite(min=0, min_open=True),
    default=MAX_SECONDS,
    show_default=True,
    help="Longest utterance; longer ones are skipped and counted.",
)
@click.option(
    "--lag",
    type=Finite(min=0, min_open=True),
    metavar="SECONDS",
    help="Of a streaming conversion: convert so far behind the speaker, not after the end.",
)
@click.option("--utterances", type=Whole(min=1), help="Of generated speech: so many of each set, not all.")
@beam_options
@click.option("--language-model", type=_PATH, help="Of a run with CTC: an n-gram model, ARPA or KenLM's binary format.")
@click.option("--language-model-weight", type=Finite(min=0), default=0.5, show_default=True)
@click.option("--name", type=TEXT, help="Name of the model in the results; by default that of the file.")
@click.option("--output", type=OUTPUT_FILE, help="Results file to write (JSON).")
def evaluate(
    source: Path,
    patterns: tuple[str, ...],
    runtime: str,
    threads: int,
    max_seconds: float,
    lag: float | None,
    utterances: int | None,
    beam: BeamSearch | None,
    language_model: Path | None,
    language_model_weight: float,
    name: str | None,
    output: Path | None,
) -> None:
    """Score SOURCE on test sets: a .tflite file in a real runtime, or the directory of a run in Keras.

    Shards are named NAME-00000-of-00005.tfrecord; every NAME is a test set of its own. A file that generates speech, of
    the task conversion or vocoder, is scored on shards of pairs by an independent recognizer and rater, beside the
    source, the target voice and, for a vocoder, Griffin-Lim; this needs the extra `moonshine`. A conversion is also
    scored on speech without a target, beside the source.
    """
    from converters.evaluation.evaluate_run import evaluate_run
    from converters.evaluation.generated_speech import generates_speech, score_generated_speech
    from converters.evaluation.scoring import Score, file_layer_errors, score_file
    from tfconformer.data.shards import shards_by_set
    from tfconformer.training.run import RunDirectory

    test_sets = shards_by_set(patterns)
    if language_model is not None:
        if beam is None:
            raise InputError("--language-model needs --beam-width")
        if not source.is_dir():
            raise InputError(f"--language-model is for the directory of a run, got {source}")
        if not language_model.is_file():
            raise InputError(f"there is no language model {language_model}")
        beam = replace(beam, language_model=language_model, language_model_weight=language_model_weight)
    speech = not source.is_dir() and generates_speech(source)
    for option, value in (("--utterances", utterances), ("--lag", lag)):
        if value is not None and not speech:
            raise InputError(f"{option} is for a file that generates speech, got {source}")
    if beam is not None and speech:
        raise InputError(f"a beam is for a recognizer, got {source}, which generates speech")
    scores: Iterator[Score]
    if source.is_dir():
        scores = evaluate_run(RunDirectory(source), test_sets, name or source.name, beam, max_seconds)
        layers: tuple[LayerError, ...] = ()
    else:
        model = name or source.stem
        if speech:
            scores = score_generated_speech(source, model, test_sets, runtime, utterances, lag=lag)
        else:
            scores = score_file(source, model, test_sets, runtime, threads, max_seconds, beam)
        layers = file_layer_errors(source, model)
    rows: list[ResultRow] = []
    transcripts: list[Transcript] = []
    for score in scores:
        click.echo(describe(score.row))
        rows.append(score.row)
        transcripts += score.transcripts
    if output is not None:
        results = results_of_this_process(rows=tuple(rows), layers=layers, transcripts=tuple(transcripts))
        write_results(output, results)
