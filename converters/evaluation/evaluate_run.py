"""Evaluation of the Keras model of a run with any search, to measure a beam or a language model before any export.

No time is measured: that of the exported file counts (`converters.evaluation.evaluate`).
"""

from __future__ import annotations

from collections.abc import Iterator

from converters.evaluation.scoring import Score, TestSets, score_keras
from tfconformer.data.limits import MAX_SECONDS
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.tasks.recognition import BeamSearch, recognition_task
from tfconformer.training.checkpoint import load_model
from tfconformer.training.run import RunDirectory


def evaluate_run(
    run: RunDirectory,
    test_sets: TestSets,
    name: str,
    search: BeamSearch | None = None,
    max_seconds: float = MAX_SECONDS,
) -> Iterator[Score]:
    """Recognizes test sets with the best weights of a run.

    Args:
      run: a finished training.
      test_sets: shards by the name of the test set.
      name: the model's name in the results.
      search: a beam search; None searches greedily.
      max_seconds: longest utterance to recognize; longer ones are skipped.

    Raises:
      InputError: the run or a shard cannot be used, or the search not with this model.
    """
    config, tokenizer, model = run.config(), Tokenizer.from_file(run.tokenizer_file), load_model(run)
    recognize = recognition_task(config.task).recognizer(model, tokenizer, search)
    size = model.count_params()
    yield from score_keras(
        recognize, config.features, tokenizer, name, test_sets, parameters=size, max_seconds=max_seconds
    )
