"""The base class of the sections of a configuration, and the text of its validation errors."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError


class Section(BaseModel):
    """A section of a YAML file, immutable; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def explain(error: ValidationError) -> str:
    """Returns a validation error as one line that names every wrong key."""
    problems = []
    for detail in error.errors():
        key = ".".join(str(part) for part in detail["loc"]) or "(top level)"
        message = detail["msg"].removeprefix("Value error, ")
        problems.append(f"unknown key '{key}'" if detail["type"] == "extra_forbidden" else f"'{key}': {message}")
    return "; ".join(problems)
