"""The type of options that are texts, of which some end up in files."""

from __future__ import annotations

from typing import Any

import click


class UnicodeText(click.ParamType):
    """A text of Unicode characters, without half of a pair of surrogates, which stands for a byte that is no UTF-8."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Returns the text; fails as click's types do."""
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            self.fail(f"{value!r} is not Unicode.", param, ctx)
        return str(value)


TEXT = UnicodeText()
