"""Scores of generated speech by an independent recognizer: conversions, and vocoders (copy synthesis).

Beside the rows of a model there are always those of the source and of the target voice, on the same sentences. Each is
speech that someone else recognizes: a row's word errors are relative to what the recognizer makes of the target voice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from converters.evaluation.moonshine import Moonshine, Recognize
from converters.evaluation.scoring import Score, TestSets
from converters.flatbuffer.model_file import ModelFile, read_model_file
from converters.runtime.model import SpeechModel, open_model
from tfconformer.data.pipeline import EvaluationPair, evaluation_pairs
from tfconformer.decoding.griffin_lim import GriffinLim
from tfconformer.decoding.spectrogram import convert
from tfconformer.decoding.vocoder import NeuralVocoder, Vocoder, vocode
from tfconformer.decoding.wer import character_error_rate, word_errors
from tfconformer.features.config import FeatureConfig
from tfconformer.features.log_mel import scaled_log_mel
from tfconformer.reports.results import Transcript
from tfconformer.reports.rows import Accuracy, Execution, GeneratedSpeech, ResultRow, Speed

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Generated:
    """Speech that a system generated of one utterance.

    Attributes:
      speech: [samples] in [-1, 1].
      seconds: compute time; None if it was not generated but recorded.
      stopped: False if the decoder did not end by itself; None without a decoder.
    """

    speech: Samples
    seconds: float | None = None
    stopped: bool | None = None


_RATE = 16000  # of the shards and the recognizer
_SHARES = (10, 50, 90)  # of the distribution of lengths, in percent

System = Callable[[EvaluationPair], Generated]


def score_conversion(
    path: Path,
    model: str,
    test_sets: TestSets,
    runtime: str,
    limit: int | None = None,
    recognizer: Recognize | None = None,
) -> Iterator[Score]:
    """Scores a file that converts speech after its end, decoding freely, beside the source and the target voice.

    Args:
      path: a file of the task conversion.
      model: its name in the rows.
      test_sets: shards of pairs by the name of the test set.
      runtime: one of `converters.runtime.model.RUNTIMES`.
      limit: largest number of utterances of each set.
      recognizer: the independent recognizer; None takes `Moonshine`.

    Raises:
      InputError: the file or a shard cannot be used, or the recognizer is not available.
    """
    opened = open_model(path, runtime)
    bins = opened.metadata.task.setting("bins")

    def system(pair: EvaluationPair) -> Generated:
        began = time.perf_counter()
        converted = convert(opened, opened.run(pair.source))
        speech = vocode(NeuralVocoder(opened), converted.spectrogram.reshape(-1, bins))
        return Generated(speech, time.perf_counter() - began, converted.stopped)

    systems = {"source": _source, "target": _target, model: system}
    return _scores(systems, model, opened, test_sets, limit, recognizer)


def score_vocoder(
    path: Path,
    model: str,
    test_sets: TestSets,
    runtime: str,
    limit: int | None = None,
    recognizer: Recognize | None = None,
) -> Iterator[Score]:
    """Scores a vocoder on the spectrograms of the target voice (copy synthesis), beside streaming Griffin-Lim.

    Args and errors are those of `score_conversion`, for a file of the task vocoder.
    """
    opened = open_model(path, runtime)
    features = opened.metadata.features
    systems = {
        "source": _source,
        "target": _target,
        "griffin_lim": _copy(features, lambda: GriffinLim(features)),
        model: _copy(features, lambda: NeuralVocoder(opened)),
    }
    return _scores(systems, model, opened, test_sets, limit, recognizer)


def _source(pair: EvaluationPair) -> Generated:
    return Generated(pair.source)


def _target(pair: EvaluationPair) -> Generated:
    return Generated(pair.target)


def _copy(features: FeatureConfig, new_vocoder: Callable[[], Vocoder]) -> System:
    def copy(pair: EvaluationPair) -> Generated:
        # Windows end where their hop does.
        padded = np.pad(pair.target, (features.frame_length - features.frame_step, 0))
        spectrogram = scaled_log_mel(tf.constant(padded), features).numpy()
        began = time.perf_counter()
        speech = vocode(new_vocoder(), spectrogram)
        return Generated(speech, time.perf_counter() - began)

    return copy


def _scores(
    systems: Mapping[str, System],
    model: str,
    opened: SpeechModel,
    test_sets: TestSets,
    limit: int | None,
    recognizer: Recognize | None,
) -> Iterator[Score]:
    recognize = recognizer or Moonshine()
    file = read_model_file(opened.path)
    for test_set, shards in test_sets.items():
        pairs = list(evaluation_pairs(shards, limit))
        for name, system in systems.items():
            generated = [system(pair) for pair in tqdm(pairs, desc=f"{name} on {test_set}", leave=False, disable=None)]
            hypotheses = [recognize(one.speech) for one in generated]
            score = _score(name, test_set, pairs, generated, hypotheses)
            yield _with_file(score, file, opened) if name == model else score


def _score(
    model: str,
    test_set: str,
    pairs: Sequence[EvaluationPair],
    generated: Sequence[Generated],
    hypotheses: Sequence[str],
) -> Score:
    texts = [pair.text for pair in pairs]
    timed = [(one.seconds, len(one.speech) / _RATE) for one in generated if one.seconds is not None and len(one.speech)]
    ratios = np.percentile(
        [len(one.speech) / len(pair.target) for one, pair in zip(generated, pairs, strict=True)], _SHARES
    )
    stopped = [one.stopped for one in generated if one.stopped is not None]
    row = ResultRow(
        model=model,
        accuracy=Accuracy.of_errors(test_set, word_errors(texts, hypotheses), skipped=0),
        generated_speech=GeneratedSpeech(
            cer=character_error_rate(texts, hypotheses),
            stopped=sum(stopped) / len(stopped) if stopped else None,
            **dict(zip(("length_ratio_p10", "length_ratio_p50", "length_ratio_p90"), ratios.tolist(), strict=True)),
        ),
        speed=Speed.of_utterances(*map(list, zip(*timed, strict=True))) if timed else Speed(),
    )
    transcripts = tuple(
        Transcript(model=model, test_set=test_set, runtime="", id=pair.id, reference=pair.text, hypothesis=hypothesis)
        for pair, hypothesis in zip(pairs, hypotheses, strict=True)
    )
    return Score(row, transcripts)


def _with_file(score: Score, file: ModelFile, opened: SpeechModel) -> Score:
    """Returns a score with what is known of the file and its runtime."""
    row = score.row.model_copy(
        update={
            "parameters": file.parameters,
            "quantization": file.quantization,
            "training": file.training,
            "size": file.size,
            "execution": Execution(runtime=opened.runtime, kernel=opened.kernels().name, threads=1),
        }
    )
    return Score(row, score.transcripts)


# Scoring of files whose outputs are speech, by the name of their task.
SCORERS: dict[str, Callable[..., Iterator[Score]]] = {"conversion": score_conversion, "vocoder": score_vocoder}
