"""Conversion of audio that arrives in chunks, utterance by utterance, with its timing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from converters.runtime.speech_bounds import speech_bounds
from converters.streaming.audio import LiveAudio
from converters.streaming.online_converter import OnlineConverter
from tfconformer.reports.rows import percentiles

Samples = NDArray[np.float32]


@dataclass
class ConversionTiming:
    """Timing of a conversion, for a listener who hears every sample as soon as it is made and the one before is over.

    A file that is read at once is timed as if its chunks arrived at the pace of speech.

    Attributes:
      source_seconds: length of the audio that has arrived.
      speech_seconds: length of the converted speech.
      compute_seconds: of all steps together.
      first_sound_seconds: for every utterance with speech, from the onset of the source's speech to the onset of the
        converted speech.
      rest_seconds: for every utterance with speech, from the end of the source's speech to the end of the converted
        speech.
      cut_off: number of utterances whose decoder did not end by itself.
    """

    source_seconds: float = 0.0
    speech_seconds: float = 0.0
    compute_seconds: float = 0.0
    first_sound_seconds: list[float] = field(default_factory=list)
    rest_seconds: list[float] = field(default_factory=list)
    cut_off: int = 0

    def __str__(self) -> str:
        """Returns the timing as one line."""
        rtf = self.compute_seconds / self.source_seconds if self.source_seconds else 0.0
        line = f"{self.source_seconds:.1f} s to {self.speech_seconds:.1f} s of speech, real-time factor {rtf:.3f}"
        if self.first_sound_seconds:
            line += f", first sound {_show(self.first_sound_seconds)} after the onset of speech"
            line += f", last {_show(self.rest_seconds)} after its end"
        if self.cut_off:
            line += f"; {self.cut_off} cut off, since the decoder did not stop"
        return line


def _show(seconds: Sequence[float]) -> str:
    p50, p90 = percentiles(seconds)
    return f"{p50:.2f} s (p90 {p90:.2f})"


class _Utterance:
    """An utterance and its converted speech as it is played, times in seconds of the source's clock.

    Args:
      begin: time at which the utterance begins.
    """

    def __init__(self, begin: float) -> None:
        self._begin = self._until = begin
        self._source: list[Samples] = []
        self._made: list[Samples] = []
        self._starts: list[float] = []

    def hear(self, chunk: Samples) -> None:
        """Adds a chunk of the source."""
        self._source.append(chunk)

    def play(self, samples: Samples, now: float, rate: int) -> None:
        """Plays samples that are made at the time `now`."""
        self._starts.append(max(now, self._until))
        self._made.append(samples)
        self._until = self._starts[-1] + len(samples) / rate

    def latencies(self, source_rate: int, rate: int) -> tuple[float, float] | None:
        """Returns the seconds from onset to onset and from end to end of the speech; None where there is none."""
        source, made = (np.concatenate([np.zeros(0, np.float32), *pieces]) for pieces in (self._source, self._made))
        if not source.any() or not made.any():
            return None
        onset, end = (self._begin + seconds for seconds in speech_bounds(source, source_rate))
        # The time at which each sample is over.
        played = np.concatenate(
            [start + np.arange(1, len(one) + 1) / rate for start, one in zip(self._starts, self._made, strict=True)]
        )
        first, last = (round(seconds * rate) for seconds in speech_bounds(made, rate))
        return float(played[first]) - onset, float(played[min(last, len(played)) - 1]) - end


def convert_audio(converter: OnlineConverter, audio: LiveAudio, timing: ConversionTiming) -> Iterator[Samples]:
    """Converts chunks as they arrive; yields samples of the converted speech as soon as they are made.

    Args:
      converter: the converter, whose endpoint rules cut the audio into utterances.
      audio: the source.
      timing: a timing, which the conversion updates.

    Raises:
      InputError: from the iterator, for audio that cannot be used.
    """
    utterance, free = _Utterance(0.0), 0.0  # the time at which the converter has nothing to do

    def advance() -> Iterator[Samples]:
        nonlocal free
        free = max(free, timing.source_seconds)
        going = True
        while going:
            began = time.perf_counter()
            going = converter.advance()
            samples = converter.read_audio()
            seconds = time.perf_counter() - began
            timing.compute_seconds += seconds
            free += seconds
            if len(samples):
                timing.speech_seconds += len(samples) / converter.sample_rate
                utterance.play(samples, free, converter.sample_rate)
                yield samples

    def finish() -> Iterator[Samples]:
        nonlocal utterance
        converter.input_finished()
        yield from advance()
        latencies = utterance.latencies(audio.sample_rate, converter.sample_rate)
        if latencies is not None:
            timing.first_sound_seconds.append(latencies[0])
            timing.rest_seconds.append(latencies[1])
        timing.cut_off += converter.was_cut_off
        converter.reset()
        utterance = _Utterance(timing.source_seconds)

    for chunk in audio.chunks:
        timing.source_seconds += len(chunk) / audio.sample_rate
        utterance.hear(chunk)
        converter.accept_waveform(audio.sample_rate, chunk)
        yield from advance()
        if converter.is_endpoint:
            yield from finish()
    yield from finish()
