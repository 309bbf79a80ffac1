"""The base class of the sections of a configuration, and the text of its validation errors."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, ConfigDict, ValidationError


class Section(BaseModel):
    """A section of a YAML file, immutable; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


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
