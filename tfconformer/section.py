"""The base class of the sections of a configuration, and the text of its validation errors."""

from __future__ import annotations

from datetime import date
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

LARGEST_INTEGER = 2**31 - 1  # of TensorFlow's int32


class Section(BaseModel):
    """A section of a YAML file, immutable; an unknown key is an error, and so is a whole number of over 32 bits."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _of_32_bits(cls, value: Any) -> Any:
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int) and not -LARGEST_INTEGER <= number <= LARGEST_INTEGER:
                bounds = f"at least {-LARGEST_INTEGER} and at most {LARGEST_INTEGER}"
                raise ValueError(f"a whole number must be {bounds}, got {number}")
        return value


def explain(error: ValidationError) -> str:
    """Returns a validation error as one line that names every wrong key."""
    problems = []
    for detail in error.errors():
        key = ".".join(str(part) for part in detail["loc"]) or "(top level)"
        message = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "string_type" and isinstance(detail["input"], int | float | date):
            message += f"; YAML reads a {type(detail['input']).__name__} here: put it in quotes"
        problems.append(f"unknown key {key!r}" if detail["type"] == "extra_forbidden" else f"{key!r}: {message}")
    return "; ".join(problems)
