"""Scores of one model on several test sets, as the parts of a results file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras as keras

from converters.evaluate import MAX_SECONDS, evaluate
from converters.model_file import common_values, read_model_file
from converters.results import LayerError, ResultRow, Transcript
from converters.summary import FLOAT_BITS, layer_errors
from converters.verify import keras_references
from tfconformer.config import Config
from tfconformer.data.pipeline import evaluation_utterances
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.decoding.ctc import greedy_decode
from tfconformer.decoding.wer import word_errors
from tfconformer.quantization.apply import quantized_layers

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
) -> Iterator[Score]:
    """Scores an exported model in a real runtime, see `evaluate`, under the name `model`.

    `test_sets` are shards by the name of the set, as `data.shards.shards_by_set` gives them.
    """
    for test_set, shards in test_sets.items():
        evaluation = evaluate(model_file, evaluation_utterances(shards), runtime, threads, max_seconds)
        yield Score(evaluation.row(model, test_set), evaluation.transcripts(model, test_set))


def file_layer_errors(model_file: Path, model: str) -> tuple[LayerError, ...]:
    """What quantization lost in every layer of an exported model."""
    return layer_errors(model, read_model_file(model_file).layer_rows())


def score_keras(
    trained: keras.Model, config: Config, tokenizer: Tokenizer, model: str, test_sets: TestSets
) -> Iterator[Score]:
    """Scores what no file can hold yet: the model as it trains, in Keras, one utterance at a time.

    The rows say so, and have neither file nor speed.
    """
    columns = _scheme(trained)
    runtime = f"tensorflow {tf.__version__}"
    for test_set, shards in test_sets.items():
        utterances = list(evaluation_utterances(shards))
        logits = [one.logits for one in keras_references(trained, config.features, (u.waveform for u in utterances))]
        heard = [tokenizer.decode(greedy_decode(one)) for one in logits]
        errors = word_errors([one.text for one in utterances], heard)
        row = ResultRow(
            model=model,
            test_set=test_set,
            skipped=0,
            evaluated_with="keras",
            runtime=runtime,
            **columns,
            **asdict(errors),
        )
        transcripts = tuple(
            Transcript(
                model=model, test_set=test_set, runtime=runtime, id=one.id, reference=one.text, hypothesis=hypothesis
            )
            for one, hypothesis in zip(utterances, heard, strict=True)
        )
        yield Score(row, transcripts)


def _scheme(trained: keras.Model) -> dict[str, Any]:
    """The columns of a row that the quantized layers have in common."""
    specs = [weights.spec for weights in quantized_layers(trained).values()]
    return common_values(
        {
            "weight_bits": [spec.bits for spec in specs],
            "activation_bits": [spec.activation_bits or FLOAT_BITS for spec in specs],
            "symmetric": [spec.symmetric for spec in specs],
            "granularity": ["block" if spec.block_size else "channel" for spec in specs],
            "block_size": [spec.block_size for spec in specs],
            "sparsity": [spec.sparsity for spec in specs],
        }
    )
