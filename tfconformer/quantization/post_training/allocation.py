"""Mixed precision: the spec of every layer with the least total error within a number of bytes.

The errors of layers are taken to add up. Then the choice is a multiple-choice knapsack, which an integer program solves
exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from tfconformer.errors import InputError
from tfconformer.quantization.spec import QuantSpec


@dataclass(frozen=True)
class Choice:
    """A spec for a layer, its size in bytes and its error."""

    spec: QuantSpec
    bytes: int
    error: float


def allocate(choices: Mapping[str, Sequence[Choice]], budget: int) -> dict[str, Choice]:
    """Returns the choices, one per layer, of the least total error within `budget` bytes.

    Raises:
      InputError: even the smallest choices take more.
    """
    smallest = sum(min(one.bytes for one in each) for each in choices.values())
    if smallest > budget:
        raise InputError(f"the smallest choices take {smallest:,} bytes, the budget for them is {budget:,}")
    flat = [(name, one) for name, each in choices.items() for one in each]
    one_per_layer = np.array([[float(name == layer) for name, _ in flat] for layer in choices])
    solution = milp(
        [one.error for _, one in flat],
        integrality=np.ones(len(flat)),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(one_per_layer, 1, 1),
            LinearConstraint([[one.bytes for _, one in flat]], 0, budget),
        ],
    )
    assert solution.success, solution.message
    return {name: one for (name, one), taken in zip(flat, solution.x, strict=True) if taken > 0.5}
