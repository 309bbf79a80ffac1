"""Recall of rare words, and the errors of all others, with and without a list of hotwords.

    python -m benchmarks.hotwords results/hotwords.json models/small models/small_streaming_transducer

The hotwords are the words of a test set that the training speech has twice at most. The other test sets have none of
them: there the list can only do harm.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import zip_longest
from pathlib import Path

import click

from converters.evaluation.evaluate import RecognizedUtterance, evaluate
from converters.exporter.export import export
from tfconformer.data.pipeline import evaluation_utterances, transcripts
from tfconformer.data.shards import find_shards
from tfconformer.decoding.beam import BeamSearch
from tfconformer.decoding.wer import align
from tfconformer.reports.provenance import results_of_this_process
from tfconformer.reports.results import write_results
from tfconformer.reports.rows import HotwordScore
from tfconformer.training.run import RunDirectory

SHARDS = "data/speech/shards"
RARE_IN, OTHERS = "test-human", ("test-clean", "test-other")
LARGEST_COUNT, SHORTEST = 2, 4  # occurrences in training speech, letters of a hotword
WIDTH = 8


def score(utterances: Sequence[RecognizedUtterance], hotwords: Collection[str]) -> HotwordScore:
    """Counts hotwords that were recognized, hotwords that were not said, and errors in all other words."""
    said = recognized = wrong = errors = words = 0
    for one in utterances:
        for part in align(one.reference, one.hypothesis):
            for reference, hypothesis in zip_longest(part.reference, part.hypothesis):
                said += reference in hotwords
                recognized += reference in hotwords and reference == hypothesis
                wrong += hypothesis in hotwords and reference != hypothesis
                if reference not in hotwords:
                    words += reference is not None
                    errors += reference != hypothesis
    return HotwordScore(
        hotwords=len(hotwords),
        hotwords_said=said,
        hotword_recall=recognized / said if said else None,
        false_hotwords=wrong,
        other_wer=errors / words,
    )


@click.command()
@click.argument("output", type=click.Path(path_type=Path))
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--shards", "folder", default=SHARDS, show_default=True)
@click.option("--boost", "boosts", multiple=True, type=float, default=(1.5,), show_default=True)
def main(output: Path, runs: tuple[Path, ...], folder: str, boosts: tuple[float, ...]) -> None:
    """Score RUNS, exported in float32, with a beam and with hotwords, and write the rows to OUTPUT."""
    trained = Counter(
        word for text in transcripts(find_shards([f"{folder}/train-*.tfrecord"])) for word in text.split()
    )
    sets = {name: f"{folder}/{name}-0*.tfrecord" for name in (RARE_IN, *OTHERS)}
    tested = {word for one in evaluation_utterances(find_shards([sets[RARE_IN]])) for word in one.text.split()}
    hotwords = tuple(sorted(word for word in tested if trained[word] <= LARGEST_COUNT and len(word) >= SHORTEST))
    searches = {"beam": BeamSearch(WIDTH)}
    for boost in boosts:
        searches[f"hotwords, boost {boost:g}"] = BeamSearch(WIDTH, hotwords=hotwords, hotword_boost=boost)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for run in runs:
            file = Path(name) / f"{run.name}.tflite"
            export(run, file, streaming=RunDirectory(run).config().model.left_context is not None)
            for search, beam in searches.items():
                for test_set, shards in sets.items():
                    evaluation = evaluate(file, shards, beam=beam)
                    row = evaluation.row(f"{run.name}, {search}", test_set)
                    row = row.model_copy(update={"hotword_score": score(evaluation.utterances, set(hotwords))})
                    click.echo(f"{row.model} on {test_set}: {row.hotword_score}")
                    rows.append(row)
    write_results(output, results_of_this_process(rows=tuple(rows)))


if __name__ == "__main__":
    main()
