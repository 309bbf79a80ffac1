"""Simulated recording conditions: vocal tract, level, room, noise, telephone channel.

All functions take and return [samples] float32 at 16 kHz; random ones take their generator as an argument.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soxr

SAMPLE_RATE = 16000

Samples = npt.NDArray[np.float32]

_SILENCE = 0.01  # of the peak; quieter edges are removed
_EDGE = SAMPLE_RATE // 10  # samples of silence that are kept at either end


def resample(samples: Samples, source: float, target: float) -> Samples:
    """Changes the sampling rate from `source` to `target` Hz."""
    return samples if source == target else soxr.resample(samples, source, target).astype(np.float32)


def warp(samples: Samples, factor: float) -> Samples:
    """Speeds speech up by `factor`: pitch and formants rise together, as with a shorter vocal tract."""
    return resample(samples, SAMPLE_RATE * factor, SAMPLE_RATE)


def trim(samples: Samples) -> Samples:
    """Removes leading and trailing silence except 0.1 s at either end; returns no samples if all is silence."""
    level = np.abs(samples)
    loud = np.flatnonzero(level > _SILENCE * level.max(initial=0.0))
    return samples[max(0, loud[0] - _EDGE) : loud[-1] + _EDGE] if loud.size else samples[:0]


def scale_to_peak(samples: Samples, peak: float) -> Samples:
    """Scales to a largest absolute sample of `peak`; silence stays silence."""
    largest = np.abs(samples).max(initial=0.0)
    return (samples * (peak / largest)).astype(np.float32) if largest > 0 else samples


def pad(samples: Samples, before: float, after: float) -> Samples:
    """Adds `before` and `after` seconds of digital silence."""
    return np.pad(samples, (round(before * SAMPLE_RATE), round(after * SAMPLE_RATE)))


@dataclass(frozen=True)
class Degradation:
    """A degraded recording condition.

    Attributes:
      reverberation: reverberation time T60 of the room, in seconds; 0 is no room.
      narrowband: true for a telephone channel, sampled at 8 kHz.
      noise_tilt: exponent of the noise amplitude f**-tilt: 0 is white, 1 falls by 6 dB per octave.
      snr: signal-to-noise ratio, in dB.
    """

    reverberation: float
    narrowband: bool
    noise_tilt: float
    snr: float

    @classmethod
    def draw(cls, generator: np.random.Generator) -> Degradation:
        """Draws a condition: 70 % are reverberant (T60 of 0.15 to 0.5 s), 30 % narrowband, all noisy (8 to 20 dB)."""
        return cls(
            reverberation=round(generator.uniform(0.15, 0.5), 3) if generator.random() < 0.7 else 0.0,
            narrowband=bool(generator.random() < 0.3),
            noise_tilt=round(generator.uniform(0.0, 0.9), 2),
            snr=round(generator.uniform(8.0, 20.0), 1),
        )

    def apply(self, samples: Samples, generator: np.random.Generator) -> Samples:
        """Degrades speech; the result is longer by a quarter of T60 if it reverberates, and has a peak of 0.7."""
        if self.reverberation:
            samples = reverberate(samples, self.reverberation, generator)
        if self.narrowband:
            samples = resample(resample(samples, SAMPLE_RATE, 8000), 8000, SAMPLE_RATE)
        samples = add_noise(samples, self.snr, self.noise_tilt, generator)
        return scale_to_peak(samples, 0.7)

    def __str__(self) -> str:
        room = f"T60 {self.reverberation:g} s, " if self.reverberation else ""
        band = "8 kHz channel, " if self.narrowband else ""
        return f"{room}{band}noise f^-{self.noise_tilt:g} at {self.snr:g} dB"


def reverberate(samples: Samples, t60: float, generator: np.random.Generator) -> Samples:
    """Convolves with a synthetic room response: a direct path and Gaussian noise that decays by 60 dB in `t60` s.

    The diffuse part has 1/16 of the direct path's energy, as for a speaker near the microphone.
    """
    length = round(t60 * SAMPLE_RATE)
    response = generator.standard_normal(length) * 10.0 ** (-3.0 * np.arange(length) / length)
    response *= 0.25 / np.sqrt(np.sum(response**2))
    response[0] += 1.0
    total = len(samples) + length // 4
    size = 1 << (len(samples) + length - 1).bit_length()
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(response, size), size)
    return wet[:total].astype(np.float32)


def add_noise(samples: Samples, snr: float, tilt: float, generator: np.random.Generator) -> Samples:
    """Adds Gaussian noise with the amplitude spectrum f**-tilt, `snr` dB below the speech's mean power."""
    spectrum = np.fft.rfft(generator.standard_normal(len(samples)))
    spectrum /= np.arange(1, len(spectrum) + 1) ** tilt
    noise = np.fft.irfft(spectrum, len(samples))
    gain = np.sqrt(np.mean(np.square(samples)) / np.mean(np.square(noise))) * 10.0 ** (-snr / 20.0)
    return (samples + gain * noise).astype(np.float32)
