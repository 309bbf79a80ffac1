"""The audio that has arrived and is not computed yet: checked, and at the rate of the model."""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

from tfconformer.data.limits import LOUDEST
from tfconformer.errors import InputError

Samples = NDArray[np.float32]


class WaveformInput:
    """The audio of one utterance after the other.

    Args:
      sample_rate: rate of the model in Hz.
      step_samples: samples of a step of the model.
      owner: the name of what reads the audio, for messages.
    """

    def __init__(self, sample_rate: int, step_samples: int, owner: str) -> None:
        self._sample_rate = sample_rate
        self._step_samples = step_samples
        self._owner = owner
        self._resampler: soxr.ResampleStream | None = None
        self._input_rate: int | None = None
        self._audio: Samples = np.zeros(0, np.float32)
        self.finished = False

    def accept(self, sample_rate: int, samples: Samples) -> None:
        """Appends the next samples [any number] in [-1, 1]; another rate than the model's is converted.

        Raises:
          InputError: they have another shape, are integers, far outside of [-1, 1] or not finite, the rate is not
            positive or not that of the earlier samples, or the input was finished. Nothing is appended then.
        """
        samples = self._checked(sample_rate, samples)
        if self._resampler is None and sample_rate != self._sample_rate:
            self._resampler = soxr.ResampleStream(sample_rate, self._sample_rate, 1)
        self._input_rate = sample_rate
        self._append(samples)

    def finish(self) -> None:
        """Ends the utterance."""
        if not self.finished and self._resampler is not None:
            self._append(np.zeros(0, np.float32), last=True)
        self.finished = True

    @property
    def pending(self) -> int:
        """The number of samples that were not taken out."""
        return len(self._audio)

    @property
    def has_step(self) -> bool:
        """True if the samples of a whole step have arrived."""
        return self.pending >= self._step_samples

    def step(self) -> Samples:
        """Takes the samples [step_samples] of the next step out."""
        step, self._audio = np.split(self._audio, [self._step_samples])
        return step

    def rest(self) -> Samples:
        """Takes all out that whole steps left, fewer samples than one."""
        rest, self._audio = self._audio, self._audio[:0]
        return rest

    def next_utterance(self) -> None:
        """Begins the next utterance, with the samples that were not taken out unless the input was finished."""
        if self.finished:
            self._resampler = self._input_rate = None
            self._audio = self._audio[:0]
        self.finished = False

    def _append(self, samples: Samples, last: bool = False) -> None:
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples, last=last)
        self._audio = np.concatenate([self._audio, samples])

    def _checked(self, sample_rate: int, samples: Samples) -> Samples:
        samples = np.asarray(samples)
        if self.finished:
            raise InputError(f"the input was finished: reset the {self._owner} before more audio")
        if sample_rate <= 0 or sample_rate != (self._input_rate or sample_rate):
            before = "" if self._input_rate is None else f" like the audio before, of {self._input_rate} Hz"
            raise InputError(f"the sample rate should be positive{before}, got {sample_rate}")
        if samples.ndim != 1:
            raise InputError(f"audio has the shape [samples], got {list(samples.shape)}")
        if not np.issubdtype(samples.dtype, np.floating):
            raise InputError(f"audio should be floating-point numbers in [-1, 1], got {samples.dtype}")
        if not np.isfinite(samples).all():
            raise InputError(f"sample {int(np.argmin(np.isfinite(samples)))} of the audio is not finite")
        if np.abs(samples).max(initial=0.0) > LOUDEST:
            raise InputError(
                f"audio should be in [-1, 1], got {np.abs(samples).max():g}: divide 16-bit numbers by 32768"
            )
        return samples.astype(np.float32)
