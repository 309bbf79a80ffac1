"""The pitch of speech: fundamental frequency and voicing of every frame.

Normalized cross-correlation of every frame with itself, and the path of the least cost through its peaks, after RAPT
(Talkin 1995). NumPy only: it is computed once for a batch of training speech, as a target.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tfconformer.features.config import FeatureConfig

# Fundamental frequencies of voices, in Hz.
LOWEST, HIGHEST = 55.0, 320.0

_CANDIDATES = 64  # lags per frame, equally far apart in octaves
# Costs of a path, in units of correlation: of an octave between two frames, of the beginning and end of voicing, and of
# a lag twice as long, which correlates as well as the right one.
_OCTAVE, _SWITCH, _DOUBLE_LAG = 2.8, 0.3, 0.06
_UNVOICED = 0.45  # correlation that counts as much as no voice
_SILENCE = 1e-4  # energy of a frame, below which correlation means nothing

Floats = NDArray[np.float32]


def track_pitch(waveform: Floats, config: FeatureConfig) -> Floats:
    """Estimates the fundamental frequency of every frame.

    Args:
      waveform: [B, samples] in [-1, 1].
      config: sample rate and frames; a frame holds two periods of the lowest voice at least.

    Returns:
      [B, frames] in Hz, 0 where there is no voice.
    """
    rate = config.sample_rate
    lags = np.arange(int(rate / HIGHEST), int(rate / LOWEST) + 2)
    correlation = _correlation(waveform, config, lags)
    edges = np.geomspace(lags[0], lags[-1], _CANDIDATES + 1)
    starts = np.unique(np.searchsorted(lags, edges[:-1]))
    best = np.maximum.reduceat(correlation, starts, axis=-1)
    path = _best_path(best, lags[starts])
    frequencies = np.zeros(path.shape, np.float32)
    batch, frame = np.nonzero(path >= 0)
    chosen = path[batch, frame]
    stops = np.append(starts[1:], len(lags))
    for b, t, first, last in zip(batch, frame, starts[chosen], stops[chosen], strict=True):
        peak = _climb(correlation[b, t], first + int(np.argmax(correlation[b, t, first:last])))
        frequencies[b, t] = rate / (lags[peak] + _vertex(correlation[b, t], peak))
    return frequencies


def _correlation(waveform: Floats, config: FeatureConfig, lags: NDArray[np.int_]) -> Floats:
    """Returns the normalized correlation [B, frames, lags] of the beginning of a frame with what is a lag later."""
    count = max(0, (waveform.shape[1] - config.frame_length) // config.frame_step + 1)
    index = np.arange(count)[:, np.newaxis] * config.frame_step + np.arange(config.frame_length)
    frames = waveform[:, index].astype(np.float64)
    width = config.frame_length - int(lags[-1])
    spectrum = np.fft.rfft(frames, 2 * config.frame_length)
    beginning = np.fft.rfft(frames[..., :width], 2 * config.frame_length)
    products = np.fft.irfft(spectrum * beginning.conj(), 2 * config.frame_length)[..., lags]
    sums = np.cumsum(np.pad(np.square(frames), ((0, 0), (0, 0), (1, 0))), axis=-1)
    energies = sums[..., lags + width] - sums[..., lags]
    return (products / np.sqrt(sums[..., width : width + 1] * energies + _SILENCE)).astype(np.float32)


def _best_path(correlation: Floats, lags: NDArray[np.int_]) -> NDArray[np.int_]:
    """Returns the candidates [B, frames] of the best path, -1 without voice, given [B, frames, candidates]."""
    octaves = np.log2(lags / lags[0]).astype(np.float32)
    batch, frames, candidates = correlation.shape
    gains = np.full([batch, frames, candidates + 1], _UNVOICED, np.float32)
    gains[..., :-1] = correlation - _DOUBLE_LAG * octaves
    costs = np.full([candidates + 1] * 2, _SWITCH, np.float32)
    costs[:-1, :-1] = _OCTAVE * np.abs(octaves[:, np.newaxis] - octaves)
    costs[-1, -1] = 0
    back = np.zeros([frames, batch, candidates + 1], int)
    total = gains[:, 0] if frames else np.zeros([batch, candidates + 1], np.float32)
    for frame in range(1, frames):
        through = total[:, :, np.newaxis] - costs
        back[frame] = through.argmax(axis=1)
        total = through.max(axis=1) + gains[:, frame]
    path = np.zeros([batch, frames], int)
    state = total.argmax(axis=-1)
    for frame in reversed(range(frames)):
        path[:, frame] = state
        state = back[frame, np.arange(batch), state]
    return np.where(path == candidates, -1, path)


def _climb(values: Floats, place: int) -> int:
    """Returns the local maximum that rises from `place`: the best lag of a candidate may be at its edge."""
    while place + 1 < len(values) and values[place + 1] > values[place]:
        place += 1
    while place > 0 and values[place - 1] > values[place]:
        place -= 1
    return place


def _vertex(values: Floats, peak: int) -> float:
    """Returns where, from -0.5 to 0.5, the parabola through a peak and its neighbours is highest."""
    if not 0 < peak < len(values) - 1:
        return 0.0
    before, middle, after = (float(values[peak + offset]) for offset in (-1, 0, 1))
    curvature = before - 2 * middle + after
    return float(np.clip(0.5 * (before - after) / curvature, -0.5, 0.5)) if curvature < 0 else 0.0
