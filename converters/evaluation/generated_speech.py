"""Scores of generated speech by an independent recognizer: conversions, and vocoders (copy synthesis).

Beside the rows of a model there are always those of the source and of the target voice, on the same sentences. Each is
speech that someone else recognizes: a row's word errors are relative to what the recognizer makes of the target voice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from converters.evaluation import speech_systems as systems
from converters.evaluation.moonshine import Moonshine, Recognize
from converters.evaluation.scoring import Score, TestSets
from converters.evaluation.speech_systems import RATE, Generated, System
from converters.flatbuffer.metadata import ModelMetadata
from converters.flatbuffer.model_file import ModelFile, read_model_file
from converters.runtime.model import SpeechModel, open_model
from converters.streaming.online_converter import OnlineConverter
from tfconformer.data.pipeline import EvaluationPair, evaluation_pairs
from tfconformer.decoding.griffin_lim import GriffinLim
from tfconformer.decoding.vocoder import NeuralVocoder
from tfconformer.decoding.wer import character_error_rate, word_errors
from tfconformer.errors import InputError
from tfconformer.reports.results import Transcript
from tfconformer.reports.rows import Accuracy, Execution, GeneratedSpeech, ResultRow, Speed

# Ends of the names of a model's controls.
FORCED, SHUFFLED = ", teacher forcing", ", another sentence"

_SHARES = (10, 50, 90)  # of the distribution of lengths, in percent


def score_conversion(
    path: Path,
    model: str,
    test_sets: TestSets,
    runtime: str,
    limit: int | None = None,
    recognizer: Recognize | None = None,
    lag: float | None = None,
    controls: bool = True,
) -> Iterator[Score]:
    """Scores a file that converts speech, decoding freely, beside the source and the target voice.

    A streaming file is scored as a stream, with its latencies.

    Args:
      path: a file of the task conversion.
      model: its name in the rows.
      test_sets: shards of pairs by the name of the test set.
      runtime: one of `converters.runtime.model.RUNTIMES`.
      limit: largest number of utterances of each set.
      recognizer: the independent recognizer; None takes `Moonshine`.
      lag: see `OnlineConverter`.
      controls: also yields the speech of another sentence than the one that is scored, and the same file with teacher
        forcing, after the end of the utterance.

    Raises:
      InputError: the file or a shard cannot be used, or the recognizer is not available.
    """
    opened: SpeechModel
    stream = ModelMetadata.read(path).graphs[0].stream
    if stream is None:
        if lag is not None:
            raise InputError(f"a lag is for a streaming file, got {path}")
        opened = open_model(path, runtime)
        system = systems.whole_conversion(opened)
    else:
        converter = OnlineConverter(path, runtime, rules=(), lag=lag)
        opened, system = converter.model, systems.live_conversion(converter)
    rows = {"source": systems.source, "target": systems.target, model: system}
    if controls:
        rows[f"{model}{FORCED}"] = systems.forced_conversion(opened)
    return _scores(rows, model, opened, test_sets, limit, recognizer, lag, controls)


def score_vocoder(
    path: Path,
    model: str,
    test_sets: TestSets,
    runtime: str,
    limit: int | None = None,
    recognizer: Recognize | None = None,
    lag: float | None = None,
) -> Iterator[Score]:
    """Scores a vocoder on the spectrograms of the target voice (copy synthesis), beside streaming Griffin-Lim.

    Args and errors are those of `score_conversion`, for a file of the task vocoder.
    """
    opened = open_model(path, runtime)
    features = opened.metadata.features
    if lag is not None:
        raise InputError(f"a lag is for a file that converts speech, got the vocoder {path}")
    rows = {
        "source": systems.source,
        "target": systems.target,
        "griffin_lim": systems.copy_synthesis(features, lambda: GriffinLim(features)),
        model: systems.copy_synthesis(features, lambda: NeuralVocoder(opened)),
    }
    return _scores(rows, model, opened, test_sets, limit, recognizer)


def _scores(
    rows: Mapping[str, System],
    model: str,
    opened: SpeechModel,
    test_sets: TestSets,
    limit: int | None,
    recognizer: Recognize | None,
    lag: float | None = None,
    shuffled: bool = False,
) -> Iterator[Score]:
    recognize = recognizer or Moonshine()
    file = read_model_file(opened.path)
    for test_set, shards in test_sets.items():
        pairs = list(evaluation_pairs(shards, limit))
        for name, system in rows.items():
            generated = [system(pair) for pair in tqdm(pairs, desc=f"{name} on {test_set}", leave=False, disable=None)]
            hypotheses = [recognize(one.speech) for one in generated]
            score = _score(name, test_set, pairs, generated, hypotheses, lag if name == model else None)
            yield _with_file(score, file, opened) if name == model else score
            if name == model and shuffled and len(pairs) > 1:
                shifted = [*generated[1:], generated[0]], [*hypotheses[1:], hypotheses[0]]
                yield _score(f"{name}{SHUFFLED}", test_set, pairs, *shifted)


def _score(
    model: str,
    test_set: str,
    pairs: Sequence[EvaluationPair],
    generated: Sequence[Generated],
    hypotheses: Sequence[str],
    lag: float | None = None,
) -> Score:
    texts = [pair.text for pair in pairs]
    timed = [(one.seconds, len(one.speech) / RATE) for one in generated if one.seconds is not None and len(one.speech)]
    lengths = [len(one.speech) / len(pair.target) for one, pair in zip(generated, pairs, strict=True)]
    stopped = [one.stopped for one in generated if one.stopped is not None]
    row = ResultRow(
        model=model,
        accuracy=Accuracy.of_errors(test_set, word_errors(texts, hypotheses), skipped=0),
        generated_speech=GeneratedSpeech(
            cer=character_error_rate(texts, hypotheses),
            stopped=sum(stopped) / len(stopped) if stopped else None,
            lag_ms=None if lag is None else 1e3 * lag,
            **_percentiles("length_ratio", lengths, _SHARES),
            **_percentiles(
                "first_sound_ms", [1e3 * one.first_sound for one in generated if one.first_sound is not None]
            ),
            **_percentiles("rest_ms", [1e3 * one.rest for one in generated if one.rest is not None]),
        ),
        speed=Speed.of_utterances(*map(list, zip(*timed, strict=True))) if timed else Speed(),
    )
    transcripts = tuple(
        Transcript(model=model, test_set=test_set, runtime="", id=pair.id, reference=pair.text, hypothesis=hypothesis)
        for pair, hypothesis in zip(pairs, hypotheses, strict=True)
    )
    return Score(row, transcripts)


def _percentiles(name: str, values: Sequence[float], shares: Sequence[int] = (50, 90)) -> dict[str, float]:
    """Returns percentiles as columns of a row; none of no values."""
    if not values:
        return {}
    return {
        f"{name}_p{share}": float(value) for share, value in zip(shares, np.percentile(values, shares), strict=True)
    }


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
