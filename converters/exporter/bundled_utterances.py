"""Utterances that come with the package, so that a speech model can be verified where its corpus is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tfconformer.data.audio import read_waveform
from tfconformer.data.limits import MAX_SECONDS

FOLDER = Path(__file__).with_name("utterances")


def bundled_utterances(sample_rate: int) -> list[NDArray[np.float32]]:
    """Returns three utterances of synthetic speech, of 1 to 5 seconds, [samples] each at `sample_rate` in Hz.

    They are of the corpus of `tfconformer data sample`.
    """
    return [read_waveform(path, sample_rate, MAX_SECONDS) for path in sorted(FOLDER.glob("*.ogg"))]
