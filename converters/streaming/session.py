"""A live recognition, chunk by chunk, with its timing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from converters.streaming.audio import LiveAudio
from converters.streaming.online_recognizer import OnlineRecognizer, Result
from tfconformer.errors import InputError


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
    timing = Timing()
    failure: InputError | None = None
    while True:
        try:
            chunk = next(audio.chunks, None)
        except InputError as error:
            chunk, failure = None, error
        if chunk is None:
            break
        started = time.perf_counter()
        recognizer.accept_waveform(audio.sample_rate, chunk)
        recognizer.decode()
        timing.compute_seconds.append(time.perf_counter() - started)
        timing.audio_seconds += len(chunk) / audio.sample_rate
        ended = recognizer.is_endpoint
        yield Update(replace(recognizer.result, is_final=ended), timing)
        if ended:
            recognizer.reset()
    started = time.perf_counter()
    recognizer.input_finished()
    recognizer.decode()
    timing.compute_seconds.append(time.perf_counter() - started)
    yield Update(recognizer.result, timing)
    if failure is not None:
        raise failure
