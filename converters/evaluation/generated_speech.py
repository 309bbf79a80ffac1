"""Scores of generated speech by an independent recognizer and rater: conversions, and vocoders (copy synthesis).

Beside the rows of a model there are always those of the source and, where the sentences are there in it, of the target
voice. Each is speech that someone else recognizes: a row's word errors are relative to what the recognizer makes of the
target voice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from converters.evaluation import speech_systems as systems
from converters.evaluation.dnsmos import Dnsmos, Rate
from converters.evaluation.moonshine import Moonshine, Recognize
from converters.evaluation.pitch_error import pitch_error
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
from tfconformer.features.config import FeatureConfig
from tfconformer.reports.results import Transcript
from tfconformer.reports.rows import Accuracy, Execution, GeneratedSpeech, ResultRow, Speed, percentiles

# Ends of the names of a model's controls.
FORCED, SHUFFLED = ", teacher forcing", ", another sentence"

_SHARES = (10, 50, 90)  # of the distribution of lengths, in percent


@dataclass(frozen=True)
class Listeners:
    """Who judges generated speech, waveforms [samples] at 16 kHz.

    Attributes:
      recognize: returns the words.
      rate: returns the quality, 1 to 5.
    """

    recognize: Recognize
    rate: Rate


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
    listeners: Listeners | None = None,
    lag: float | None = None,
    controls: bool = True,
) -> Iterator[Score]:
    """Scores a file that generates speech, beside the source and the target voice.

    A file that converts speech decodes freely, a streaming one as a stream, with its latencies. A vocoder is given the
    spectrograms of the target voice (copy synthesis), and stands beside streaming Griffin-Lim.

    Args:
      path: a file of the task conversion or vocoder.
      model: its name in the rows.
      test_sets: shards by the name of the test set: of pairs, or of sources alone, which can be converted and have
        no rows of the target voice.
      runtime: one of `converters.runtime.model.RUNTIMES`.
      limit: largest number of utterances of each set.
      listeners: the independent recognizer and rater; None takes `Moonshine` and `Dnsmos`.
      lag: of a streaming conversion, see `OnlineConverter`.
      controls: of a conversion, also yields the speech of another sentence than the one that is scored, and the same
        file with teacher forcing, after the end of the utterance.

    Raises:
      InputError: the file or a shard cannot be used, or a listener is not available.
    """
    generator = _GENERATORS[ModelMetadata.read(path).task.name](path, runtime, lag)
    listeners = listeners or Listeners(Moonshine(), Dnsmos())
    file = read_model_file(path)
    for test_set, shards in test_sets.items():
        pairs = _pairs(shards, limit, test_set, generator)
        rows = _systems(generator, model, bool(len(pairs[0].target)), controls)
        for name, system in rows.items():
            # All before a listener hears any: between two utterances it would change the times that are measured.
            generated = [system(pair) for pair in tqdm(pairs, desc=f"{name} on {test_set}", leave=False, disable=None)]
            heard = [_Heard(one, listeners.recognize(one.speech), listeners.rate(one.speech)) for one in generated]
            features, of_lag = generator.opened.metadata.features, lag if name == model else None
            score = _score(name, test_set, pairs, heard, features, of_lag)
            yield _with_file(score, file, generator.opened) if name == model else score
            if name == model and controls and generator.forced is not None and len(pairs) > 1:
                yield _score(f"{name}{SHUFFLED}", test_set, pairs, [*heard[1:], heard[0]], features)


@dataclass(frozen=True)
class _Heard:
    """Generated speech, and what the listeners made of it."""

    generated: Generated
    words: str
    rating: float


@dataclass(frozen=True)
class _Generator:
    """A file that generates speech.

    Attributes:
      opened: the file in its runtime.
      system: what it generates.
      reads_target: True if it generates the target's speech and not the source's.
      forced: the same with teacher forcing; None without a decoder.
      baselines: other systems that generate speech of the same.
    """

    opened: SpeechModel
    system: System
    reads_target: bool = False
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
    return _Generator(opened, system, forced=systems.forced_conversion(opened))


def _vocoder(path: Path, runtime: str, lag: float | None) -> _Generator:
    if lag is not None:
        raise InputError(f"a lag is for a file that converts speech, got the vocoder {path}")
    opened = open_model(path, runtime)
    features = opened.metadata.features
    return _Generator(
        opened,
        systems.copy_synthesis(features, lambda: NeuralVocoder(opened)),
        reads_target=True,
        baselines={"griffin_lim": systems.copy_synthesis(features, lambda: GriffinLim(features))},
    )


# By the name of the file's task.
_GENERATORS: Mapping[str, Callable[[Path, str, float | None], _Generator]] = {
    CONVERSION: _converter,
    "vocoder": _vocoder,
}


def _pairs(shards: Sequence[Path], limit: int | None, test_set: str, generator: _Generator) -> list[EvaluationPair]:
    """Reads the pairs of a test set.

    Raises:
      InputError: there is none, or one without a target beside others that have one, or for a generator that reads it.
    """
    pairs = list(evaluation_pairs(shards, limit))
    if not pairs:
        raise InputError(f"the shards of {test_set} hold no utterance")
    without = [pair.id for pair in pairs if not len(pair.target)]
    if without and (generator.reads_target or len(without) < len(pairs)):
        raise InputError(f"the utterance {without[0]} of {test_set} has no target, which its score needs")
    return pairs


def _systems(generator: _Generator, model: str, have_targets: bool, controls: bool) -> dict[str, System]:
    """Returns what is scored of a test set, by the name of its row."""
    if not have_targets:
        return {"source": systems.source, model: generator.system}
    rows = {"source": systems.source, "target": systems.target, **generator.baselines, model: generator.system}
    return rows | ({f"{model}{FORCED}": generator.forced} if controls and generator.forced is not None else {})


def _score(
    model: str,
    test_set: str,
    pairs: Sequence[EvaluationPair],
    heard: Sequence[_Heard],
    features: FeatureConfig,
    lag: float | None = None,
) -> Score:
    texts, hypotheses = [pair.text for pair in pairs], [one.words for one in heard]
    generated = [one.generated for one in heard]
    timed = [(one.seconds, len(one.speech) / RATE) for one in generated if one.seconds is not None and len(one.speech)]
    stopped = [one.stopped for one in generated if one.stopped is not None]
    row = ResultRow(
        model=model,
        accuracy=Accuracy.of_errors(test_set, word_errors(texts, hypotheses), skipped=0),
        generated_speech=GeneratedSpeech(
            cer=character_error_rate(texts, hypotheses),
            mos=float(np.mean([one.rating for one in heard])),
            stopped=sum(stopped) / len(stopped) if stopped else None,
            lag_ms=None if lag is None else 1e3 * lag,
            **_beside_target(pairs, generated, features),
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


def _beside_target(
    pairs: Sequence[EvaluationPair], generated: Sequence[Generated], features: FeatureConfig
) -> dict[str, float | None]:
    """Returns the columns that compare speech with that of the target voice, if that has said the sentences."""
    beside = [(one, pair.target) for one, pair in zip(generated, pairs, strict=True) if len(pair.target)]
    if not beside:
        return {}
    ratios = np.percentile([len(one.speech) / len(target) for one, target in beside], _SHARES)
    columns = dict(zip(("length_ratio_p10", "length_ratio_p50", "length_ratio_p90"), ratios.tolist(), strict=True))
    if not all(one.aligned for one, _ in beside):
        return columns
    pitch = pitch_error(((one.speech, target) for one, target in beside), features)
    return columns | {"pitch_rmse_cents": pitch.cents, "voicing_error": pitch.voicing}


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
