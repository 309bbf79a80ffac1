"""Cutting a signal into steps of equal length, for everything that runs a model on a stream.

steps, rest = split_steps(waveform, 640)        # a signal that is there as a whole
outputs = [model.step(step) for step in steps] + [model.finish(rest)]

for step in iter_steps(microphone, 640):        # a signal that arrives in chunks of any length
    model.step(step)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray


def split_steps(signal: NDArray[np.float32], size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Splits a signal [samples] into its whole steps [steps, size] and the rest [fewer than size]."""
    whole = len(signal) // size * size
    return signal[:whole].reshape(-1, size), signal[whole:]


def iter_steps(chunks: Iterable[NDArray[np.float32]], size: int) -> Iterator[NDArray[np.float32]]:
    """Yields the whole steps [size] of a signal of chunks [samples]; drops the samples that do not fill the last."""
    pending = np.zeros(0, np.float32)
    for chunk in chunks:
        steps, pending = split_steps(np.concatenate([pending, chunk]), size)
        yield from steps
