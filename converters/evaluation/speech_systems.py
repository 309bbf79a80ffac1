"""Systems that generate speech of a pair of source and target: recordings, conversions, and vocoders."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from converters.runtime.conversion import ConvertedUtterance, convert_utterance
from converters.runtime.model import SpeechModel
from converters.streaming.audio import CHUNK_SECONDS, LiveAudio
from converters.streaming.conversion import ConversionTiming, convert_audio
from converters.streaming.online_converter import OnlineConverter
from tfconformer.data.pipeline import EvaluationPair
from tfconformer.decoding.spectrogram import Conversion, StepGraphs, convert
from tfconformer.decoding.vocoder import Vocoder, vocode
from tfconformer.errors import InputError
from tfconformer.features.config import FeatureConfig
from tfconformer.features.log_mel import scaled_log_mel

Samples = NDArray[np.float32]

RATE = 16000  # of the shards


@dataclass(frozen=True)
class Generated:
    """Speech that a system generated of one utterance.

    Attributes:
      speech: [samples] in [-1, 1].
      seconds: compute time; None if it was not generated but recorded.
      stopped: False if the decoder did not end by itself; None without a decoder.
      first_sound, rest: latencies in seconds, see `ConversionTiming`; None of what is no stream, or silent.
      aligned: True if it should be the target frame by frame.
    """

    speech: Samples
    seconds: float | None = None
    stopped: bool | None = None
    first_sound: float | None = None
    rest: float | None = None
    aligned: bool = False


System = Callable[[EvaluationPair], Generated]


def source(pair: EvaluationPair) -> Generated:
    """Returns the source."""
    return Generated(pair.source)


def target(pair: EvaluationPair) -> Generated:
    """Returns the same sentence in the target voice."""
    return Generated(pair.target)


def whole_conversion(model: SpeechModel) -> System:
    """Returns the conversion of whole utterances after their end."""
    return lambda pair: _generated(convert_utterance(model, pair.source))


def forced_conversion(model: SpeechModel) -> System:
    """Returns the conversion with teacher forcing: every step of the decoder is given the target's last frame.

    Raises:
      InputError: the file's configuration lacks the decoder.
    """
    decoder = model.metadata.model.parrotron
    if decoder is None:
        raise InputError(f"{model.path}: its configuration lacks model.parrotron")
    features, frames_per_step = decoder.target, decoder.frames_per_step

    def system(pair: EvaluationPair) -> Generated:
        last = _causal_spectrogram(pair.target, features)[frames_per_step - 1 :: frames_per_step]

        def decode(graphs: StepGraphs, spoken: Samples) -> Conversion:
            return convert(_Forced(graphs, last), spoken, steps=len(last))

        return _generated(convert_utterance(model, pair.source, decode))

    return system


def live_conversion(converter: OnlineConverter) -> System:
    """Returns the conversion of audio that arrives at the pace of speech."""

    def system(pair: EvaluationPair) -> Generated:
        size = int(CHUNK_SECONDS * RATE)
        chunks = (pair.source[start : start + size] for start in range(0, len(pair.source), size))
        timing = ConversionTiming()
        pieces = list(convert_audio(converter, LiveAudio(RATE, chunks), timing))
        speech = np.concatenate([np.zeros(0, np.float32), *pieces])
        first_sound, rest = (next(iter(seconds), None) for seconds in (timing.first_sound_seconds, timing.rest_seconds))
        return Generated(speech, timing.compute_seconds, not timing.cut_off, first_sound, rest)

    return system


def copy_synthesis(features: FeatureConfig, new_vocoder: Callable[[], Vocoder]) -> System:
    """Returns the synthesis of the target voice from its own spectrograms of these `features`."""

    def system(pair: EvaluationPair) -> Generated:
        spectrogram = _causal_spectrogram(pair.target, features)
        began = time.perf_counter()
        speech = vocode(new_vocoder(), spectrogram)
        return Generated(speech, time.perf_counter() - began, aligned=True)

    return system


class _Forced:
    """The steps of a decoder that are given frames of the target in place of their own, from the second step on."""

    def __init__(self, graphs: StepGraphs, frames: Samples) -> None:
        self._graphs = graphs
        self._frames: Iterator[Samples] = iter(frames)

    def call(self, signature: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        outputs = self._graphs.call(signature, inputs)
        outputs["previous"] = next(self._frames)[np.newaxis]
        return outputs

    def zero_states(self, signature: str) -> dict[str, NDArray[Any]]:
        return self._graphs.zero_states(signature)


def _generated(converted: ConvertedUtterance) -> Generated:
    return Generated(converted.speech, sum(converted.seconds.values()), converted.stopped)


def _causal_spectrogram(waveform: Samples, features: FeatureConfig) -> Samples:
    """Returns the scaled log-mel spectrogram [frames, mel_bins], of windows that end where their hop does."""
    padded = np.pad(waveform, (features.frame_length - features.frame_step, 0))
    return np.asarray(scaled_log_mel(tf.constant(padded), features))
