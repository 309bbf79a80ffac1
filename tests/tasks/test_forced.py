"""Steps that are forced along another implementation's path differ by what each step does wrong, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tfconformer.tasks.forced import ForcedSteps


class Doubling:
    """A step graph that doubles its state, with an error in the output or in the state."""

    def __init__(self, output_error: float = 0.0, state_error: float = 0.0) -> None:
        self._errors = output_error, state_error

    def run(self, waveform: np.ndarray) -> np.ndarray:
        return waveform

    def zero_states(self, signature: str) -> dict[str, Any]:
        return {"state": np.zeros([1, 1], np.float32)}

    def call(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        state = 2 * inputs["state"] + inputs["x"]
        return {"y": 1e-3 * state + self._errors[0], "state": state + self._errors[1]}


def walk(graphs: ForcedSteps) -> np.ndarray:
    state = graphs.zero_states("step")["state"]
    for _ in range(20):
        state = graphs.call("step", {"x": np.ones([1, 1], np.float32), "state": state})["state"]
    return graphs.values()


def test_errors_do_not_add_up_and_none_is_hidden() -> None:
    reference = ForcedSteps(Doubling())
    expected = walk(reference)
    assert expected.shape == (40, 1)
    for errors in ({"output_error": 1.0}, {"state_error": 1000.0}):
        forced = walk(ForcedSteps(Doubling(**errors), reference.path()))
        difference = np.abs(forced - expected)
        # Output and state count in units of their own size: the same relative error is the same difference.
        assert np.count_nonzero(difference > 1e-6) == 20
        assert difference.max() == pytest.approx(1000 / np.sqrt(np.mean((2.0 ** np.arange(1, 21) - 1) ** 2)), rel=1e-2)


def test_the_path_of_forced_steps_is_the_given_one() -> None:
    reference = ForcedSteps(Doubling())
    walk(reference)
    forced = ForcedSteps(Doubling(state_error=1.0), reference.path())
    walk(forced)
    for given, made in zip(reference.path().inputs, forced.path().inputs, strict=True):
        np.testing.assert_equal(given, made)
