"""Scores the Keras model of a run, with any search: how far a beam or a language model helps before any export.

No time is measured: what counts on a phone is the `.tflite` file's (`evaluate.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from converters.results import ResultRow, Transcript
from tfconformer.data.pipeline import evaluation_batches
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.decoding.wer import word_errors
from tfconformer.training.checkpoint import load_model
from tfconformer.training.recognition import BeamSearch, beam_recognizer, greedy_recognizer
from tfconformer.training.run import RunDirectory


def evaluate_run(
    run: RunDirectory, test_sets: Mapping[str, Sequence[Path]], name: str, search: BeamSearch | None = None
) -> tuple[tuple[ResultRow, ...], tuple[Transcript, ...]]:
    """Recognizes test sets with the best weights of a run.

    Args:
      run: a finished training, of a CTC model or a transducer.
      test_sets: shards by the name of the test set.
      name: of the model in the results.
      search: None searches greedily.

    Returns:
      A row for each test set, and what was heard.

    Raises:
      InputError: the run or a shard cannot be used, or the search not with this model.
    """
    config, tokenizer, model = run.config(), Tokenizer.from_file(run.tokenizer_file), load_model(run)
    recognize = greedy_recognizer(model) if search is None else beam_recognizer(model, tokenizer, search)
    rows: list[ResultRow] = []
    heard: list[Transcript] = []
    for test_set, shards in test_sets.items():
        found: list[Transcript] = []
        for inputs, texts, ids in tqdm(evaluation_batches(shards, config.features), desc=test_set, disable=None):
            for text, utterance, labels in zip(texts.numpy(), ids.numpy(), recognize(*inputs), strict=True):
                found.append(
                    Transcript(
                        model=name,
                        test_set=test_set,
                        runtime="Keras",
                        id=utterance.decode("utf-8"),
                        reference=text.decode("utf-8"),
                        hypothesis=tokenizer.decode(labels),
                    )
                )
        errors = word_errors([one.reference for one in found], [one.hypothesis for one in found])
        rows.append(
            ResultRow(
                model=name,
                parameters=model.count_params(),
                test_set=test_set,
                skipped=0,
                evaluated_with="keras",
                **asdict(errors),
            )
        )
        heard += found
    return tuple(rows), tuple(heard)
