"""The mel filters of Slaney's Auditory Toolbox (1998), which librosa and the models of NeMo have."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tfconformer.features.config import FeatureConfig

# The scale is linear with 200/3 Hz per mel up to 1000 Hz, and has 27 mels for every factor of 6.4 above.
_HERTZ_PER_MEL = 200 / 3
_BREAK_HERTZ = 1000.0
_BREAK_MEL = _BREAK_HERTZ / _HERTZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27


def slaney_filters(config: FeatureConfig) -> NDArray[np.float64]:
    """Returns the filters [fft_length / 2 + 1, mel_bins]: triangles of area 1 over the frequency in Hz."""
    frequencies = np.linspace(0, config.sample_rate / 2, config.fft_length // 2 + 1)[:, np.newaxis]
    edges = _hertz(np.linspace(_mel(config.lower_edge), _mel(config.upper_edge), config.mel_bins + 2))
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.minimum((frequencies - low) / (middle - low), (high - frequencies) / (high - middle))
    return np.asarray(np.maximum(0, triangles) * 2 / (high - low))


def _mel(hertz: float) -> float:
    if hertz < _BREAK_HERTZ:
        return hertz / _HERTZ_PER_MEL
    return float(_BREAK_MEL + np.log(hertz / _BREAK_HERTZ) / _LOG_STEP)


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    above = _BREAK_HERTZ * np.exp(_LOG_STEP * (np.maximum(mel, _BREAK_MEL) - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, mel * _HERTZ_PER_MEL, above)
