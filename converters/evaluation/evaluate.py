"""Evaluation of a `.tflite` recognizer on a test set: hypotheses, word errors, time and memory.

    evaluation = evaluate("int4.tflite", "shards/test-clean-*.tfrecord")
    print(evaluation.errors.wer, evaluation.row("int4", "test-clean"))

The file runs in a process of its own (`converters.runtime.isolated`), one utterance at a time, as on a phone.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from converters.evaluation.references import warn_of_unwritable
from converters.flatbuffer.model_file import ModelFile, read_model_file
from converters.runtime.isolated import OPEN_MODEL, IsolatedRecognizer
from tfconformer.data.limits import MAX_SECONDS
from tfconformer.decoding.beam import BeamSearch
from tfconformer.decoding.wer import WordErrors, word_errors
from tfconformer.errors import InputError
from tfconformer.models.config import shortest_utterance
from tfconformer.reports.results import Transcript
from tfconformer.reports.rows import Accuracy, Execution, ResultRow, Speed

logger = logging.getLogger(__name__)

# Waveform [samples] float32 in [-1, 1], transcript, name: `tfconformer.data.pipeline.evaluation_utterances` yields it.
Utterance = tuple[np.ndarray, str, str]


@dataclass(frozen=True)
class RecognizedUtterance:
    """One utterance that was recognized.

    Attributes:
      id: its name.
      reference, hypothesis: words.
      audio_seconds: its length.
      compute_seconds: time from the waveform to the labels, or to the converted speech.
      components: of a conversion, the compute time in seconds of each component; empty of a recognition.
      stopped: False if the decoder of a conversion was cut off.
    """

    id: str
    reference: str
    hypothesis: str
    audio_seconds: float
    compute_seconds: float
    components: Mapping[str, float] = field(default_factory=dict)
    stopped: bool = True


@dataclass(frozen=True)
class Evaluation:
    """One model on one test set.

    Attributes:
      file: the model file.
      utterances: those that were recognized, in the order of the test set.
      skipped: reason -> number of utterances that could not be used.
      errors: word errors and their interval.
      peak_rss_bytes: high-water mark of the resident memory of the process that ran the model and nothing else:
        Python, NumPy, the runtime, the model, its activations on the longest utterance.
      runtime: name and version.
      kernel: name of the implementation that multiplied the quantized weights.
      threads: number of threads of the runtime.
    """

    file: ModelFile
    utterances: tuple[RecognizedUtterance, ...]
    skipped: Mapping[str, int]
    errors: WordErrors
    peak_rss_bytes: int
    runtime: str
    kernel: str
    threads: int

    def row(self, model: str, test_set: str) -> ResultRow:
        """Returns the evaluation as a row of a results file."""
        compute_seconds = [one.compute_seconds for one in self.utterances]
        audio_seconds = [one.audio_seconds for one in self.utterances]
        return ResultRow(
            model=model,
            parameters=self.file.parameters,
            quantization=self.file.quantization,
            training=self.file.training,
            accuracy=Accuracy.of_errors(test_set, self.errors, skipped=sum(self.skipped.values())),
            size=self.file.size,
            speed=Speed.of_utterances(compute_seconds, audio_seconds),
            execution=Execution(
                peak_rss_mb=self.peak_rss_bytes / 1e6, runtime=self.runtime, kernel=self.kernel, threads=self.threads
            ),
        )

    def transcripts(self, model: str, test_set: str) -> tuple[Transcript, ...]:
        """Returns references and hypotheses as a results file stores them."""
        return tuple(
            Transcript(
                model=model,
                test_set=test_set,
                runtime=self.runtime,
                id=one.id,
                reference=one.reference,
                hypothesis=one.hypothesis,
            )
            for one in self.utterances
        )


def evaluate(
    model_path: str | Path,
    utterances: str | Iterable[Utterance],
    runtime: str = "ai-edge-litert",
    threads: int = 1,
    max_seconds: float = MAX_SECONDS,
    open_model: str = OPEN_MODEL,
    beam: BeamSearch | None = None,
) -> Evaluation:
    """Evaluates an exported model.

    Utterances that hold no sample, too few for one frame of the encoder, more than `max_seconds`, or a value that is
    not finite are skipped, logged and counted. The first usable one runs twice: the first time only warms up.

    Args:
      model_path: a `.tflite` with tfconformer's metadata.
      utterances: the test set, or the glob pattern of its shards.
      runtime: one of `converters.runtime.model.RUNTIMES`.
      threads: number of threads of the runtime.
      max_seconds: longest utterance to run; attention's memory grows with the square of the length.
      open_model: `module:function` that opens the model in the process.
      beam: settings of a beam search; None searches greedily.

    Raises:
      InputError: the file cannot be read or run, a waveform does not have one dimension, two utterances have the
        same name, none is usable, or the pattern matches no shard.
    """
    if isinstance(utterances, str):
        # With utterances of their own, evaluations need no TensorFlow.
        from tfconformer.data.pipeline import evaluation_utterances
        from tfconformer.data.shards import find_shards

        utterances = evaluation_utterances(find_shards([utterances]))
    file = read_model_file(model_path)
    recognized: dict[str, RecognizedUtterance] = {}
    skipped: Counter[str] = Counter()
    peak_rss_bytes, kernel = 0, ""
    with IsolatedRecognizer(model_path, runtime, threads, open_model, beam) as recognizer:
        tokenizer, features = file.metadata.tokenizer, file.metadata.features
        shortest = shortest_utterance(features, file.metadata.model)
        for waveform, text, name in tqdm(utterances, desc=Path(model_path).name, unit="utt", leave=False, disable=None):
            reason = _unusable(waveform, shortest, int(max_seconds * features.sample_rate))
            if reason:
                logger.warning("skipped %s: %s", name, reason)
                skipped[reason] += 1
                continue
            if name in recognized:
                raise InputError(f"the test set has two utterances named {name}")
            if not recognized:
                recognizer.decode(waveform, name)
            decoded = recognizer.decode(waveform, name)
            recognized[name] = RecognizedUtterance(
                id=name,
                reference=text,
                hypothesis=file.metadata.text(decoded.ids),
                audio_seconds=len(waveform) / features.sample_rate,
                compute_seconds=decoded.seconds,
            )
            peak_rss_bytes, kernel = decoded.peak_rss_bytes, decoded.kernel
        warn_of_unwritable(tokenizer, (one.reference for one in recognized.values()))
        if not recognized:
            raise InputError(f"{model_path}: the test set has no usable utterance ({_describe(skipped)})")
        return Evaluation(
            file=file,
            utterances=tuple(recognized.values()),
            skipped=dict(skipped),
            errors=word_errors(
                [one.reference for one in recognized.values()], [one.hypothesis for one in recognized.values()]
            ),
            peak_rss_bytes=peak_rss_bytes,
            runtime=recognizer.runtime,
            kernel=kernel,
            threads=threads,
        )


def _unusable(waveform: np.ndarray, min_samples: int, max_samples: int) -> str | None:
    if waveform.ndim != 1:
        raise InputError(f"a waveform must have shape [samples], got {list(waveform.shape)}")
    if not len(waveform):
        return "empty"
    if len(waveform) < min_samples:
        return f"shorter than {min_samples} samples"
    if len(waveform) > max_samples:
        return f"longer than {max_samples} samples"
    if not np.isfinite(waveform).all():
        return "not finite"
    return None


def _describe(skipped: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in skipped.items()) or "it is empty"
