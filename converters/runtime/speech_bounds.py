"""Beginning and end of the speech in a recording, by its level."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_WINDOW_SECONDS = 0.01
_RANGE_DB = 30.0


def speech_bounds(waveform: NDArray[np.float32], rate: int) -> tuple[float, float]:
    """Returns the seconds to the beginning of the first, and to the end of the last 10 ms within 30 dB of the loudest.

    Args:
      waveform: [samples], at least one.
      rate: sample rate in Hz.
    """
    size = int(_WINDOW_SECONDS * rate)
    windows = np.pad(waveform, (0, -len(waveform) % size)).reshape(-1, size)
    energy = np.square(windows, dtype=np.float64).mean(axis=1)
    loud = np.flatnonzero(energy >= energy.max() * 10 ** (-_RANGE_DB / 10))
    return float(loud[0]) * size / rate, float(loud[-1] + 1) * size / rate
