"""The command `tfconformer dev config-reference`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tfconformer.commands.output import OUTPUT_FOLDER


@click.command("config-reference")
@click.argument("folder", type=OUTPUT_FOLDER, default=Path("docs/reference"))
def config_reference(folder: Path) -> None:
    """Write the reference of the configuration into FOLDER: a page, and a JSON schema for editors."""
    from tfconformer import atomic
    from tfconformer.config_reference import config_page, config_schema

    atomic.write_text(folder / "configuration.md", config_page())
    atomic.write_text(folder / "configuration.schema.json", json.dumps(config_schema(), indent=1) + "\n")
