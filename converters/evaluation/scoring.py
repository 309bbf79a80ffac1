"""Scores of one model on several test sets, as parts of a results file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf
import tf_keras as keras
from tqdm import tqdm

from converters.evaluation.evaluate import evaluate
from converters.evaluation.references import warn_of_unwritable
from converters.flatbuffer.model_file import read_model_file
from tfconformer.data.limits import MAX_SECONDS
from tfconformer.data.pipeline import evaluation_batches, evaluation_utterances
from tfconformer.data.shards import read_index
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.decoding.beam import BeamSearch
from tfconformer.decoding.wer import word_errors
from tfconformer.features.config import FeatureConfig
from tfconformer.quantization.apply import QuantizedLayers
from tfconformer.quantization.spec import FLOAT_BITS
from tfconformer.reports.layer_table import layer_errors
from tfconformer.reports.results import LayerError, Transcript
from tfconformer.reports.rows import Accuracy, Execution, Quantization, ResultRow, common
from tfconformer.tasks.recognition import Recognizer

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
    beam: BeamSearch | None = None,
) -> Iterator[Score]:
    """Scores an exported model in a TFLite runtime.

    Args:
      model_file: the `.tflite` file.
      model: its name in the rows.
      test_sets: shards by the name of the test set.
      runtime: one of `converters.runtime.model.RUNTIMES`.
      threads: number of threads of the runtime.
      max_seconds: longest utterance to run; longer ones are skipped.
      beam: settings of a beam search; None searches greedily.

    Raises:
      InputError: the file cannot be read or run, or a test set has no usable utterance.
    """
    for test_set, shards in test_sets.items():
        utterances = evaluation_utterances(shards)
        evaluation = evaluate(model_file, utterances, runtime, threads, max_seconds, beam=beam)
        yield Score(evaluation.row(model, test_set), evaluation.transcripts(model, test_set))


def file_layer_errors(model_file: Path, model: str) -> tuple[LayerError, ...]:
    """Returns the quantization error of every layer of an exported model."""
    return layer_errors(model, read_model_file(model_file).layer_rows())


def score_keras(
    recognize: Recognizer,
    features: FeatureConfig,
    tokenizer: Tokenizer,
    model: str,
    test_sets: TestSets,
    parameters: int | None = None,
    quantization: Quantization | None = None,
    max_seconds: float = MAX_SECONDS,
) -> Iterator[Score]:
    """Scores a Keras model with any search, before its export or where no file can hold it; measures no time.

    Args:
      recognize: the model with its search.
      features: configuration of the front end that it was trained with.
      tokenizer: turns its labels into words.
      model: its name in the rows.
      test_sets: shards by the name of the test set.
      parameters: number of its weights.
      quantization: scheme of its layers, see `model_quantization`.
      max_seconds: longest utterance to recognize; longer ones are skipped.
    """
    runtime = f"tensorflow {tf.__version__}"
    for test_set, shards in test_sets.items():
        transcripts: list[Transcript] = []
        batches = evaluation_batches(shards, features, max_seconds=max_seconds)
        for inputs, texts, ids in tqdm(batches, desc=test_set, disable=None):
            transcripts += [
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
        warn_of_unwritable(tokenizer, (one.reference for one in transcripts))
        errors = word_errors([one.reference for one in transcripts], [one.hypothesis for one in transcripts])
        row = ResultRow(
            model=model,
            parameters=parameters,
            quantization=quantization or Quantization(),
            accuracy=Accuracy.of_errors(test_set, errors, "keras", skipped=_too_long(shards, max_seconds)),
            execution=Execution(runtime=runtime),
        )
        yield Score(row, tuple(transcripts))


def model_quantization(trained: keras.Model) -> Quantization:
    """Returns the scheme that the quantized layers of a model share; a property in which they differ is None."""
    specs = QuantizedLayers(trained).specs.values()
    quantized = [spec for spec in specs if spec.bits != FLOAT_BITS]
    return Quantization(
        weight_bits=common([spec.bits for spec in specs]),
        activation_bits=common([spec.activation_bits or FLOAT_BITS for spec in specs]),
        symmetric=common([spec.symmetric for spec in quantized]),
        half_integer=common([spec.zero_points == "implied" or None for spec in quantized]),
        granularity=common([spec.granularity for spec in quantized]),
        block_size=common([spec.block_size for spec in quantized]),
        sparsity=common([spec.sparsity for spec in quantized]),
    )


def _too_long(shards: Sequence[Path], max_seconds: float) -> int:
    indexes = [read_index(shard) for shard in shards]
    return sum(samples > max_seconds * index.sample_rate for index in indexes for samples in index.samples)
