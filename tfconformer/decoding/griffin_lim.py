"""Streaming Griffin-Lim: phases for a spectrogram whose frames arrive one by one (2203.00756; RTISI, Zhu et al. 2007).

A vocoder without weights. The magnitudes come from mel energies by non-negative least squares. A few frames are
estimated at a time: those that were finished are fixed, and overlap with them. NumPy only.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from tfconformer.decoding.vocoder import LOOK_AHEAD
from tfconformer.features.config import FeatureConfig
from tfconformer.features.scale import SCALED_DEVIATION, SCALED_MEAN, SCALED_SILENCE

# Iterations of phases for every frame, and of magnitudes; more of these change nothing audible.
_ITERATIONS = 4
_MEL_ITERATIONS = 30
_LEAST = 1e-9  # of energies, which are factors

Floats = NDArray[np.float32]


class GriffinLim:
    """The vocoder of one utterance, with the interface of `Vocoder`.

    Args:
      config: the front end of the spectrogram, whose windows end where a hop does.
      seed: seed of the phases where nothing precedes a frame.
    """

    def __init__(self, config: FeatureConfig, seed: int = 0) -> None:
        self._config = config
        self._window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(config.frame_length) / config.frame_length)
        self._gain = np.square(self._window[:: config.frame_step]).sum()
        self._random = np.random.default_rng(seed)
        self._filters = mel_filters(config)
        # The sum of the finished frames from the beginning of the first unfinished one on.
        self._past = np.zeros(config.frame_length)
        self._unfinished: deque[tuple[NDArray[np.float64], NDArray[np.complex128]]] = deque()
        self._later = config.frame_length // config.frame_step - 1
        self._early = self._later * config.frame_step  # samples before the utterance

    def push(self, frames: Floats) -> Floats:
        """Takes frames [any number, bins], see `Vocoder.push`."""
        hops = [hop for magnitude in self._magnitudes(frames) for hop in self._add(magnitude)]
        samples = np.concatenate([np.zeros(0), *hops])
        dropped = min(self._early, len(samples))
        self._early -= dropped
        return samples[dropped:].astype(np.float32)

    def finish(self) -> Floats:
        """Ends the utterance, see `Vocoder.finish`."""
        if not self._unfinished:
            return np.zeros(0, np.float32)
        return self.push(np.full([self._later + LOOK_AHEAD, self._config.mel_bins], SCALED_SILENCE, np.float32))

    def _magnitudes(self, frames: Floats) -> NDArray[np.float64]:
        """Returns the magnitudes [frames, fft_length / 2 + 1] whose mel energies are those of scaled log-mel frames."""
        energies = np.exp(frames.astype(np.float64) * SCALED_DEVIATION + SCALED_MEAN)
        spectrum = np.maximum(energies @ np.linalg.pinv(self._filters), _LEAST)
        for _ in range(_MEL_ITERATIONS):  # multiplicative updates (Lee and Seung 2001)
            made = spectrum @ self._filters
            spectrum *= (energies @ self._filters.T) / np.maximum(made @ self._filters.T, _LEAST)
        return np.sqrt(spectrum)

    def _add(self, magnitude: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Adds a frame; returns the hop that is final then, if any."""
        hop = self._config.frame_step
        start = len(self._unfinished) * hop
        overlapping = self._analyze(self._sum(start + self._config.frame_length), start)
        unknown = np.exp(2j * np.pi * self._random.random(overlapping.shape))
        self._unfinished.append((magnitude, np.where(np.abs(overlapping) > 1e-6, _phase(overlapping), unknown)))
        for _ in range(_ITERATIONS):
            signal = self._sum(start + self._config.frame_length)
            for index, (one, _) in enumerate(self._unfinished):
                self._unfinished[index] = one, _phase(self._analyze(signal, index * hop))
        if len(self._unfinished) <= LOOK_AHEAD:
            return []
        total = self._past + self._synthesize(*self._unfinished.popleft())
        self._past = np.pad(total[hop:], (0, hop))
        return [total[:hop]]

    def _sum(self, length: int) -> NDArray[np.float64]:
        """Returns the sum of all frames [length] from the beginning of the first unfinished one on."""
        signal = np.pad(self._past, (0, length - len(self._past)))
        for index, (magnitude, phase) in enumerate(self._unfinished):
            start = index * self._config.frame_step
            signal[start : start + self._config.frame_length] += self._synthesize(magnitude, phase)
        return signal

    def _analyze(self, signal: NDArray[np.float64], start: int) -> NDArray[np.complex128]:
        frame = signal[start : start + self._config.frame_length] * self._window
        return np.fft.rfft(frame, self._config.fft_length)

    def _synthesize(self, magnitude: NDArray[np.float64], phase: NDArray[np.complex128]) -> NDArray[np.float64]:
        frame = np.fft.irfft(magnitude * phase, self._config.fft_length)[: self._config.frame_length]
        return np.asarray(frame * self._window / self._gain)


def _phase(spectrum: NDArray[np.complex128]) -> NDArray[np.complex128]:
    return np.exp(1j * np.angle(spectrum))


def mel_filters(config: FeatureConfig) -> NDArray[np.float64]:
    """Returns the mel filters [fft_length / 2 + 1, mel_bins] of the front end: triangles on HTK's mel scale."""
    frequencies = np.linspace(0, config.sample_rate / 2, config.fft_length // 2 + 1)
    edges = np.linspace(_mel(config.lower_edge), _mel(config.upper_edge), config.mel_bins + 2)
    position = _mel(frequencies)[:, np.newaxis]
    rising = (position - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - position) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0, np.minimum(rising, falling))
    filters[0] = 0  # no filter passes the mean
    return np.asarray(filters)


def _mel(frequency: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.asarray(1127.0 * np.log1p(np.asarray(frequency) / 700.0))
