"""What the commands print about their progress."""

from __future__ import annotations

import logging

PACKAGES = ("tfconformer", "converters")


def show_logs(verbose: bool) -> None:
    """Prints warnings of everything and, if `verbose`, what this project does."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    for package in PACKAGES:
        logging.getLogger(package).setLevel(logging.INFO if verbose else logging.WARNING)
