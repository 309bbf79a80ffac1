"""Decoding of audio files, whatever their headers say.

A length is that of the decoded samples: a program that writes to a pipe leaves 0 or the largest number in the header.
The rules by which audio cannot be used are those of shards and of live audio from a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from tfconformer.data.limits import LOUDEST
from tfconformer.errors import InputError, one_line

_BLOCK = 1 << 16  # samples per channel
# Lengths beyond are those of headers that do not say one: 2^40 samples are 795 days at 16 kHz.
_UNKNOWN_LENGTH = 1 << 40
_SAMPLE_RATES = 1000, 1_000_000  # Hz; a rate beyond is damage
# Share of the channels' energy that the energy of their mean must reach. Independent channels keep 1 / channels, two
# of opposite phase nothing.
_LEAST_MONO_ENERGY = 0.01

Floats = NDArray[np.float32]


class UnusableError(InputError):
    """An utterance that cannot be used.

    Attributes:
      reason: short reason, by which such utterances are counted.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason} ({detail})" if detail else reason)
        self.reason = reason


@dataclass(frozen=True)
class Audio:
    """A decoded audio file, or a part of it.

    Attributes:
      samples: [samples, channels] float32.
      sample_rate: in Hz.
      kind: format and encoding in the names of libsndfile, such as ("FLAC", "PCM_16").
      is_whole: True if all of the file was decoded and its header says its length.
    """

    samples: Floats
    sample_rate: int
    kind: tuple[str, str]
    is_whole: bool

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate


class AudioFile(soundfile.SoundFile):
    """An audio file that is read from the beginning to the end.

    Raises:
      UnusableError: the file cannot be read, is no audio, or has a sample rate outside of 1 kHz to 1 MHz.
    """

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb"):
                pass
        except (OSError, ValueError) as error:
            raise UnusableError("unreadable file", getattr(error, "strerror", None) or str(error)) from None
        try:
            super().__init__(str(path))
        except (soundfile.SoundFileError, OSError, ValueError, TypeError) as error:
            raise UnusableError("corrupt audio", one_line(error)) from None
        least, most = _SAMPLE_RATES
        if not least <= self.samplerate <= most:
            raise UnusableError("corrupt audio", f"a sample rate of {self.samplerate} Hz")

    def seekable(self) -> bool:
        """Returns False: the base class would seek after every read, which fails where the length is not known."""
        return False

    @property
    def length(self) -> int | None:
        """The number of samples that the header says; None if it says none."""
        return self.frames if self.frames < _UNKNOWN_LENGTH else None

    def chunks(self, size: int) -> Iterator[Floats]:
        """Yields the next samples [size, channels], the last time fewer.

        Raises:
          UnusableError: the samples cannot be decoded, are not finite, or are far outside of [-1, 1].
        """
        while True:
            block = np.empty((size, self.channels), np.float32)
            try:
                count = self.buffer_read_into(block, dtype="float32")
            except (soundfile.SoundFileError, OSError, ValueError, TypeError) as error:
                raise UnusableError("corrupt audio", one_line(error)) from None
            block = block[:count]
            if not np.isfinite(block).all():
                raise UnusableError("corrupt audio", "not every sample is finite")
            peak = float(np.abs(block).max(initial=0.0))
            if peak > LOUDEST:
                raise UnusableError(
                    "audio far outside of [-1, 1]", f"{peak:g}: divide 16-bit numbers by 32768 before storing floats"
                )
            if count:
                yield block
            if count < size:
                return

    def skip(self, samples: int) -> None:
        """Goes forward to the sample of that number.

        Raises:
          UnusableError: there is no such sample, or what is before it cannot be decoded.
        """
        try:
            if self.length is not None and super().seekable():
                self.seek(samples)
                return
        except soundfile.SoundFileError as error:
            raise UnusableError("corrupt audio", one_line(error)) from None
        while samples:
            block = next(self.chunks(min(samples, _BLOCK)), None)
            if block is None:
                raise UnusableError("truncated audio", "it ends before the offset")
            samples -= len(block)


class MonoMix:
    """The mean of the channels of a file, and the check that they do not cancel each other."""

    def __init__(self) -> None:
        self._energy_of_mean = self._energy = 0.0

    def __call__(self, samples: Floats) -> Floats:
        """Returns the mean [samples] of the next samples [samples, channels]."""
        mean: Floats = samples.mean(axis=1)
        self._energy_of_mean += float(np.square(mean, dtype=np.float64).sum())
        self._energy += float(np.square(samples, dtype=np.float64).sum()) / samples.shape[1]
        return mean

    def check(self) -> None:
        """Checks the samples so far.

        Raises:
          UnusableError: the channels are of opposite phase, so that their mean is nearly silent.
        """
        if self._energy_of_mean < _LEAST_MONO_ENERGY * self._energy:
            raise UnusableError("channels of opposite phase", "their mean is silent: store one of them")


def read_audio(path: Path, max_seconds: float, start: float = 0.0, seconds: float | None = None) -> Audio:
    """Decodes an audio file or a part of it.

    Args:
      path: the file.
      max_seconds: longest usable audio; what is longer is not decoded.
      start: beginning of the part, in seconds.
      seconds: length of the part; None for all that follows.

    Raises:
      UnusableError: the file cannot be decoded, is too long, ends before the part does, or holds samples that are not
        finite or far outside of [-1, 1].
    """
    with AudioFile(path) as file:
        rate, length = file.samplerate, file.length
        most = max_seconds * rate
        first = round(start * rate)
        wanted = None if seconds is None else max(1, round(seconds * rate))
        expected = wanted if wanted is not None else None if length is None else length - first
        if expected is not None and expected > most:
            raise UnusableError("too long", f"{expected / rate:.4g} s")
        if wanted is not None and length is not None and first + wanted > length:
            raise UnusableError("truncated audio", f"a part to {start + (seconds or 0):.2f} s of {length / rate:.2f} s")
        file.skip(first)
        blocks, count = [], 0
        for block in file.chunks(min(_BLOCK, wanted or _BLOCK)):
            blocks.append(block)
            count += len(block)
            if count > most:
                raise UnusableError("too long", f"more than {max_seconds:g} s")
            if wanted is not None and count >= wanted:
                break
        samples = np.concatenate([*blocks, np.empty((0, file.channels), np.float32)])[:wanted]
        if expected is not None and len(samples) != expected:
            raise UnusableError("corrupt audio", f"{len(samples)} of {expected} samples can be decoded")
        is_whole = first == 0 and wanted is None and length is not None
        return Audio(samples, rate, (file.format, file.subtype), is_whole)


def read_waveform(path: Path, sample_rate: int, max_seconds: float) -> Floats:
    """Decodes an audio file to the mean of its channels [samples], float32, at a sample rate in Hz.

    Raises:
      UnusableError: see `read_audio`; or the channels are of opposite phase.
    """
    audio = read_audio(path, max_seconds)
    mix = MonoMix()
    mono = mix(audio.samples)
    mix.check()
    if audio.sample_rate == sample_rate:
        return mono
    resampled: Floats = soxr.resample(mono, audio.sample_rate, sample_rate)
    return resampled


def measure_seconds(path: Path) -> float:
    """Returns the length of an audio file in seconds, from its header or, if that says none, by decoding it.

    Raises:
      UnusableError: the file cannot be read or is no audio.
    """
    with AudioFile(path) as file:
        samples = file.length
        if samples is None:
            samples = sum(len(block) for block in file.chunks(_BLOCK))
        return samples / file.samplerate
