"""Logging of the command line."""

from __future__ import annotations

import logging
from importlib.metadata import distribution


def show_logs(verbose: bool) -> None:
    """Prints the warnings of every package and, if `verbose`, the progress messages of this project's packages."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    for package in (distribution("tfconformer").read_text("top_level.txt") or "").split():
        logging.getLogger(package).setLevel(logging.INFO if verbose else logging.WARNING)
