"""A live recognition, chunk by chunk, with its timing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from converters.streaming.audio import LiveAudio
from converters.streaming.online_recognizer import OnlineRecognizer, Result


@dataclass
class Timing:
    """Timing of a live recognition.

    Attributes:
      audio_seconds: length of the audio that has arrived.
      compute_seconds: for every chunk of audio, from its arrival to the result that includes it.
    """

    audio_seconds: float = 0.0
    compute_seconds: list[float] = field(default_factory=list)

    @property
    def rtf(self) -> float:
        """Compute seconds per second of audio."""
        return sum(self.compute_seconds) / self.audio_seconds if self.audio_seconds else 0.0

    def compute_ms(self, percentile: float) -> float:
        """Returns a percentile of the milliseconds from the arrival of a chunk to its result."""
        return 1e3 * float(np.percentile(self.compute_seconds, percentile)) if self.compute_seconds else 0.0


@dataclass(frozen=True)
class Update:
    """The hypothesis for the current utterance after a chunk of audio, and the timing."""

    result: Result
    timing: Timing


def recognize(recognizer: OnlineRecognizer, audio: LiveAudio) -> Iterator[Update]:
    """Recognizes chunks as they arrive and yields an update for each; a result is final where an utterance ends.

    Raises:
      InputError: the audio is damaged; what came before it is recognized and yielded first.
    """
    timing, started = Timing(), time.perf_counter()

    def arriving() -> Iterator[NDArray[np.float32]]:
        nonlocal started
        try:
            for chunk in audio.chunks:
                timing.audio_seconds += len(chunk) / audio.sample_rate
                started = time.perf_counter()
                yield chunk
        finally:
            started = time.perf_counter()

    for result in recognizer.stream(audio.sample_rate, arriving()):
        timing.compute_seconds.append(time.perf_counter() - started)
        yield Update(result, timing)
