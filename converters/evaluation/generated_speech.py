"""Scores of generated speech by an independent recognizer: conversions, and vocoders (copy synthesis).

Beside the rows of a model there are always those of the source and of the target voice, on the same sentences. Each is
speech that someone else recognizes: a row's word errors are relative to what the recognizer makes of the target voice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from converters.evaluation import speech_systems as systems
from converters.evaluation.moonshine import Moonshine, Recognize
from converters.evaluation.scoring import Score, TestSets
from converters.evaluation.speech_systems import RATE, Generated, System
from converters.flatbuffer.metadata import ModelMetadata
from converters.flatbuffer.model_file import ModelFile, read_model_file
from converters.runtime.conversion import CONVERSION
from converters.runtime.model import SpeechModel, open_model
from converters.streaming.online_converter import OnlineConverter
from tfconformer.data.pipeline import EvaluationPair, evaluation_pairs
from tfconformer.decoding.griffin_lim import GriffinLim
from tfconformer.decoding.vocoder import NeuralVocoder
from tfconformer.decoding.wer import character_error_rate, word_errors
from tfconformer.errors import InputError
from tfconformer.reports.results import Transcript
from tfconformer.reports.rows import Accuracy, Execution, GeneratedSpeech, ResultRow, Speed, percentiles

# Ends of the names of a model's controls.
FORCED, SHUFFLED = ", teacher forcing", ", another sentence"

_SHARES = (10, 50, 90)  # of the distribution of lengths, in percent


def generates_speech(path: Path) -> bool:
    """Returns True if a file's outputs are speech, which `score_generated_speech` scores.

    Raises:
      InputError: the file cannot be read.
    """
    return ModelMetadata.read(path).task.name in _GENERATORS


def score_generated_speech(
    path: Path,
    model: str,
    test_sets: TestSets,
    runtime: str,
    limit: int | None = None,
    recognizer: Recognize | None = None,
    lag: float | None = None,
    controls: bool = True,
) -> Iterator[Score]:
    """Scores a file that generates speech, beside the source and the target voice.

    A file that converts speech decodes freely, a streaming one as a stream, with its latencies. A vocoder is given the
    spectrograms of the target voice (copy synthesis), and stands beside streaming Griffin-Lim.

    Args:
      path: a file of the task conversion or vocoder.
      model: its name in the rows.
      test_sets: shards of pairs by the name of the test set.
      runtime: one of `converters.runtime.model.RUNTIMES`.
      limit: largest number of utterances of each set.
      recognizer: the independent recognizer; None takes `Moonshine`.
      lag: of a streaming conversion, see `OnlineConverter`.
      controls: of a conversion, also yields the speech of another sentence than the one that is scored, and the same
        file with teacher forcing, after the end of the utterance.

    Raises:
      InputError: the file or a shard cannot be used, or the recognizer is not available.
    """
    generator = _GENERATORS[ModelMetadata.read(path).task.name](path, runtime, lag)
    rows = {"source": systems.source, "target": systems.target, **generator.baselines, model: generator.system}
    if controls and generator.forced is not None:
        rows[f"{model}{FORCED}"] = generator.forced
    return _scores(rows, model, generator.opened, test_sets, limit, recognizer, lag)


@dataclass(frozen=True)
class _Generator:
    """A file that generates speech.

    Attributes:
      opened: the file in its runtime.
      system: what it generates.
      forced: the same with teacher forcing; None without a decoder.
      baselines: other systems that generate speech of the same.
    """

    opened: SpeechModel
    system: System
    forced: System | None = None
    baselines: Mapping[str, System] = field(default_factory=dict)


def _converter(path: Path, runtime: str, lag: float | None) -> _Generator:
    if ModelMetadata.read(path).graphs[0].stream is None:
        if lag is not None:
            raise InputError(f"a lag is for a streaming file, got {path}")
        opened: SpeechModel = open_model(path, runtime)
        system = systems.whole_conversion(opened)
    else:
        converter = OnlineConverter(path, runtime, rules=(), lag=lag)
        opened, system = converter.model, systems.live_conversion(converter)
    return _Generator(opened, system, systems.forced_conversion(opened))


def _vocoder(path: Path, runtime: str, lag: float | None) -> _Generator:
    if lag is not None:
        raise InputError(f"a lag is for a file that converts speech, got the vocoder {path}")
    opened = open_model(path, runtime)
    features = opened.metadata.features
    return _Generator(
        opened,
        systems.copy_synthesis(features, lambda: NeuralVocoder(opened)),
        baselines={"griffin_lim": systems.copy_synthesis(features, lambda: GriffinLim(features))},
    )


# By the name of the file's task.
_GENERATORS: Mapping[str, Callable[[Path, str, float | None], _Generator]] = {
    CONVERSION: _converter,
    "vocoder": _vocoder,
}


def _scores(
    rows: Mapping[str, System],
    model: str,
    opened: SpeechModel,
    test_sets: TestSets,
    limit: int | None,
    recognizer: Recognize | None,
    lag: float | None,
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
            if name == model and f"{model}{FORCED}" in rows and len(pairs) > 1:
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
    ratios = np.percentile(lengths, _SHARES)
    stopped = [one.stopped for one in generated if one.stopped is not None]
    row = ResultRow(
        model=model,
        accuracy=Accuracy.of_errors(test_set, word_errors(texts, hypotheses), skipped=0),
        generated_speech=GeneratedSpeech(
            cer=character_error_rate(texts, hypotheses),
            stopped=sum(stopped) / len(stopped) if stopped else None,
            lag_ms=None if lag is None else 1e3 * lag,
            **dict(zip(("length_ratio_p10", "length_ratio_p50", "length_ratio_p90"), ratios.tolist(), strict=True)),
            **_latency("first_sound", (one.first_sound for one in generated)),
            **_latency("rest", (one.rest for one in generated)),
        ),
        speed=Speed.of_utterances(*map(list, zip(*timed, strict=True))) if timed else Speed(),
    )
    transcripts = tuple(
        Transcript(model=model, test_set=test_set, runtime="", id=pair.id, reference=pair.text, hypothesis=hypothesis)
        for pair, hypothesis in zip(pairs, hypotheses, strict=True)
    )
    return Score(row, transcripts)


def _latency(name: str, seconds: Iterable[float | None]) -> dict[str, float]:
    """Returns the columns of a latency, in milliseconds; none where no utterance has one."""
    known = [1e3 * one for one in seconds if one is not None]
    return dict(zip((f"{name}_ms_p50", f"{name}_ms_p90"), percentiles(known), strict=True)) if known else {}


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
