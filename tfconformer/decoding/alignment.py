"""Alignment of two utterances of the same words, and the lag of attention behind the sound that a decoder makes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def warping_path(costs: Floats) -> NDArray[np.int64]:
    """Finds the cheapest monotonic path through pairs of frames (dynamic time warping).

    Args:
      costs: [M, N], the cost of each pair.

    Returns:
      [L, 2], the pairs from (0, 0) to (M - 1, N - 1); each is one more than that before it in one index or in both.
    """
    rows, columns = costs.shape
    total = np.full([rows + 1, columns + 1], np.inf)
    total[0, 0] = 0.0
    for row in range(rows):
        for column in range(columns):
            before = min(total[row, column], total[row, column + 1], total[row + 1, column])
            total[row + 1, column + 1] = costs[row, column] + before
    row, column = rows - 1, columns - 1
    path = [(row, column)]
    while (row, column) != (0, 0):
        steps = ((row - 1, column - 1), (row - 1, column), (row, column - 1))
        row, column = min(steps, key=lambda pair: total[pair[0] + 1, pair[1] + 1])
        path.append((row, column))
    return np.array(path[::-1])


def emission_lag(attention: Floats, source: Floats, target: Floats) -> float:
    """Measures how many frames attention is behind the sound that a step makes.

    An encoder may emit a sound frames after it was spoken, and a decoder may want to read on before it makes it: both
    delay a conversion beside its look-ahead, and are one number here. It is the median over the steps.

    Args:
      attention: [S, T], the weights of the source's frames in the steps of the target, with teacher forcing.
      source: [T, bins], log-mel spectrogram of the source, one row for each frame of the encoder.
      target: [S, bins], that of the target, one row for each step.

    Returns:
      The lag in frames of the encoder; negative if attention is ahead.
    """
    first, second = _normalized(source), _normalized(target)
    path = warping_path(np.sqrt(np.mean((first[:, np.newaxis] - second) ** 2, axis=-1)))
    centres = attention @ np.arange(len(source)) / np.maximum(attention.sum(axis=1), 1e-6)
    spoken = [np.mean(path[path[:, 1] == step, 0]) for step in range(len(target))]
    return float(np.median(centres - spoken))


def _normalized(spectrogram: Floats) -> Floats:
    """Makes voices comparable: every bin gets the mean 0 and the standard deviation 1 over the utterance."""
    return (spectrogram - spectrogram.mean(axis=0)) / (spectrogram.std(axis=0) + 1e-3)
