"""The types of options that are numbers, which are finite and bounded."""

from __future__ import annotations

import math
from typing import Any

import click

_LARGEST = 2**31 - 1  # what TensorFlow and NumPy count with


class Finite(click.FloatRange):
    """A number in a range, from -(2^31 - 1) to 2^31 - 1."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns the number; fails as click's types do."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number) or abs(number) > _LARGEST:
            self.fail(f"{value} is not a finite number up to {_LARGEST}.", param, ctx)
        return number


class Whole(click.IntRange):
    """A whole number in a range, from -(2^31 - 1) to 2^31 - 1."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns the number; fails as click's types do."""
        number = super().convert(value, param, ctx)
        if abs(number) > _LARGEST:
            self.fail(f"{value} is not a whole number up to {_LARGEST}.", param, ctx)
        return number
