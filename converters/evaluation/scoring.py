"""Scores of one model on several test sets, as the parts of a results file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras as keras
from tqdm import tqdm

from converters.evaluation.evaluate import MAX_SECONDS, evaluate
from converters.flatbuffer.model_file import common_values, read_model_file
from converters.flatbuffer.summary import layer_errors
from tfconformer.data.pipeline import evaluation_batches, evaluation_utterances
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.decoding.wer import word_errors
from tfconformer.features.config import FeatureConfig
from tfconformer.quantization.apply import QuantizedLayers
from tfconformer.quantization.spec import FLOAT_BITS
from tfconformer.reports.results import LayerError, ResultRow, Transcript
from tfconformer.training.recognition import Recognizer

TestSets = Mapping[str, Sequence[Path]]


@dataclass(frozen=True)
class Score:
    """One model on one test set."""

    row: ResultRow
    transcripts: tuple[Transcript, ...]


def score_file(
    model_file: Path,
    model: str,
    test_sets: TestSets,
    runtime: str = "ai-edge-litert",
    threads: int = 1,
    max_seconds: float = MAX_SECONDS,
    beam_width: int | None = None,
) -> Iterator[Score]:
    """Scores an exported model in a real runtime, see `evaluate`, under the name `model`.

    `test_sets` are shards by the name of the set, as `data.shards.shards_by_set` gives them.
    """
    for test_set, shards in test_sets.items():
        utterances = evaluation_utterances(shards)
        evaluation = evaluate(model_file, utterances, runtime, threads, max_seconds, beam_width=beam_width)
        yield Score(evaluation.row(model, test_set), evaluation.transcripts(model, test_set))


def file_layer_errors(model_file: Path, model: str) -> tuple[LayerError, ...]:
    """What quantization lost in every layer of an exported model."""
    return layer_errors(model, read_model_file(model_file).layer_rows())


def score_keras(
    recognize: Recognizer,
    features: FeatureConfig,
    tokenizer: Tokenizer,
    model: str,
    test_sets: TestSets,
    columns: Mapping[str, Any],
) -> Iterator[Score]:
    """Scores a model as it trains, in Keras, with any search: before it is exported, or what no file can hold yet.

    Args:
      recognize: the model with its search.
      features: the front end it was trained with.
      tokenizer: of the model.
      model: its name in the rows.
      test_sets: shards by the name of the test set.
      columns: what else the rows say of the model. They have neither file nor speed.
    """
    runtime = f"tensorflow {tf.__version__}"
    for test_set, shards in test_sets.items():
        heard: list[Transcript] = []
        for inputs, texts, ids in tqdm(evaluation_batches(shards, features), desc=test_set, disable=None):
            heard += [
                Transcript(
                    model=model,
                    test_set=test_set,
                    runtime=runtime,
                    id=utterance.decode("utf-8"),
                    reference=text.decode("utf-8"),
                    hypothesis=tokenizer.decode(labels),
                )
                for text, utterance, labels in zip(texts.numpy(), ids.numpy(), recognize(*inputs), strict=True)
            ]
        errors = word_errors([one.reference for one in heard], [one.hypothesis for one in heard])
        row = ResultRow(
            model=model,
            test_set=test_set,
            skipped=0,
            evaluated_with="keras",
            runtime=runtime,
            **columns,
            **asdict(errors),
        )
        yield Score(row, tuple(heard))


def scheme_columns(trained: keras.Model) -> dict[str, Any]:
    """The columns of a row that the quantized layers of a model have in common."""
    specs = QuantizedLayers(trained).specs.values()
    of_codes = [spec for spec in specs if spec.bits != FLOAT_BITS]
    return common_values(
        {
            "weight_bits": [spec.bits for spec in specs],
            "activation_bits": [spec.activation_bits or FLOAT_BITS for spec in specs],
            "symmetric": [spec.symmetric for spec in of_codes],
            "granularity": [spec.granularity for spec in of_codes],
            "block_size": [spec.block_size for spec in of_codes],
            "sparsity": [spec.sparsity for spec in of_codes],
        }
    )
