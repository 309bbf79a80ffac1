"""Conversion of audio that arrives in chunks, utterance by utterance, with its timing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from converters.streaming.audio import LiveAudio
from converters.streaming.online_converter import OnlineConverter


@dataclass
class ConversionTiming:
    """Timing of a conversion.

    Attributes:
      source_seconds: length of the audio that has arrived.
      speech_seconds: length of the converted speech.
      compute_seconds: of all steps together.
      first_sound_seconds: for every utterance with speech, from its end to the first converted samples.
      cut_off: number of utterances whose decoder did not end by itself.
    """

    source_seconds: float = 0.0
    speech_seconds: float = 0.0
    compute_seconds: float = 0.0
    first_sound_seconds: list[float] = field(default_factory=list)
    cut_off: int = 0

    def __str__(self) -> str:
        """Returns the timing as one line."""
        rtf = self.compute_seconds / self.source_seconds if self.source_seconds else 0.0
        line = f"{self.source_seconds:.1f} s to {self.speech_seconds:.1f} s of speech, real-time factor {rtf:.3f}"
        if self.first_sound_seconds:
            p50, p90 = (1e3 * np.percentile(self.first_sound_seconds, q) for q in (50, 90))
            line += f", first sound {p50:.0f} ms (p90 {p90:.0f}) after the end of an utterance"
        if self.cut_off:
            line += f"; {self.cut_off} cut off, since the decoder did not stop"
        return line


def convert_audio(
    converter: OnlineConverter, audio: LiveAudio, timing: ConversionTiming
) -> Iterator[NDArray[np.float32]]:
    """Converts chunks as they arrive; yields samples of the converted speech as soon as they are made.

    Args:
      converter: the converter, whose endpoint rules cut the audio into utterances.
      audio: the source.
      timing: a timing, which the conversion updates.

    Raises:
      InputError: from the iterator, for audio that cannot be used.
    """

    def advance() -> Iterator[NDArray[np.float32]]:
        began = time.perf_counter()
        silent = True
        while converter.advance():
            samples = converter.read_audio()
            if len(samples):
                now = time.perf_counter()
                if silent:
                    timing.first_sound_seconds.append(now - began)
                    silent = False
                timing.compute_seconds += now - began
                timing.speech_seconds += len(samples) / converter.sample_rate
                yield samples
                began = time.perf_counter()
        timing.compute_seconds += time.perf_counter() - began

    def finish() -> Iterator[NDArray[np.float32]]:
        converter.input_finished()
        yield from advance()
        timing.cut_off += converter.was_cut_off
        converter.reset()

    for chunk in audio.chunks:
        timing.source_seconds += len(chunk) / audio.sample_rate
        converter.accept_waveform(audio.sample_rate, chunk)
        yield from advance()
        if converter.is_endpoint:
            yield from finish()
    yield from finish()
