"""Regular expressions in configurations and on the command line."""

from __future__ import annotations

import re

from tfconformer.errors import InputError


def compile_pattern(pattern: str, where: str) -> re.Pattern[str]:
    """Compiles a regular expression.

    Args:
      pattern: the expression.
      where: the key or option that holds it, for the message.

    Raises:
      InputError: it is not one.
    """
    try:
        return re.compile(pattern)
    except re.error as error:
        raise InputError(f"{where} {pattern!r} is not a regular expression: {error}") from None
