"""Warping and lags of sequences whose alignment is known by construction."""

from __future__ import annotations

import numpy as np
import pytest

from tfconformer.decoding.alignment import emission_lag, warping_path


def test_the_path_is_the_cheapest_of_all() -> None:
    """Against all paths of a small matrix."""
    costs = np.random.default_rng(0).uniform(size=(4, 5))

    def cheapest(row: int, column: int) -> float:
        if (row, column) == (0, 0):
            return costs[0, 0]
        steps = ((row - 1, column - 1), (row - 1, column), (row, column - 1))
        return costs[row, column] + min(cheapest(*pair) for pair in steps if min(pair) >= 0)

    path = warping_path(costs)
    assert path[0].tolist() == [0, 0]
    assert path[-1].tolist() == [3, 4]
    assert all(step in ([0, 1], [1, 0], [1, 1]) for step in np.diff(path, axis=0).tolist())
    assert costs[path[:, 0], path[:, 1]].sum() == pytest.approx(cheapest(3, 4))


@pytest.mark.parametrize("lag", [0.0, 5.0, -2.0])
def test_the_lag_is_the_one_of_a_synthetic_attention(lag: float) -> None:
    random = np.random.default_rng(1)
    source = np.cumsum(random.normal(size=(80, 12)), axis=0)
    spoken = np.clip(np.cumsum(random.choice([0, 1, 1, 2], size=70)), 0, 79)  # of each step, slower and faster
    target = 3.0 * source[spoken] - 5.0 + 0.01 * random.normal(size=(70, 12))  # another voice
    distance = np.arange(80) - (spoken[:, np.newaxis] + lag)
    attention = np.exp(-0.5 * (distance / 1.5) ** 2)
    # Frames that no step speaks are ties, and attention is cut off at the ends: half a frame.
    assert emission_lag(attention, source, target) == pytest.approx(lag, abs=0.5)
