"""A live recognition, piece by piece: what has changed, and how fast it went."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from converters.streaming.audio import LiveAudio
from converters.streaming.online_recognizer import OnlineRecognizer, Result


@dataclass
class Timing:
    """How fast a live recognition is.

    Attributes:
      audio_seconds: that arrived.
      compute_seconds: per piece of audio, from its arrival to the result that has it.
    """

    audio_seconds: float = 0.0
    compute_seconds: list[float] = field(default_factory=list)

    @property
    def rtf(self) -> float:
        """Compute seconds per second of audio."""
        return sum(self.compute_seconds) / self.audio_seconds if self.audio_seconds else 0.0

    def compute_ms(self, percentile: float) -> float:
        """Milliseconds from the arrival of a piece of audio to its result."""
        return 1e3 * float(np.percentile(self.compute_seconds, percentile)) if self.compute_seconds else 0.0


@dataclass(frozen=True)
class Update:
    """What is known after a piece of audio: the result of the current utterance, and how fast it went."""

    result: Result
    timing: Timing


def recognize(recognizer: OnlineRecognizer, audio: LiveAudio) -> Iterator[Update]:
    """Recognizes audio as it arrives; an utterance that ends, by the recognizer's rules or the audio, is final."""
    timing = Timing()
    for piece in audio.pieces:
        started = time.perf_counter()
        recognizer.accept_waveform(audio.sample_rate, piece)
        recognizer.decode()
        timing.compute_seconds.append(time.perf_counter() - started)
        timing.audio_seconds += len(piece) / audio.sample_rate
        ended = recognizer.is_endpoint
        yield Update(replace(recognizer.result, is_final=ended), timing)
        if ended:
            recognizer.reset()
    started = time.perf_counter()
    recognizer.input_finished()
    recognizer.decode()
    timing.compute_seconds.append(time.perf_counter() - started)
    yield Update(recognizer.result, timing)
