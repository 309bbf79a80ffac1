"""The command `tfconformer demo-speech`."""

from __future__ import annotations

from pathlib import Path

import click

from tfconformer.commands.output import OUTPUT_FOLDER


@click.command()
@click.option("--output", type=OUTPUT_FOLDER, default=Path("build/demo-speech"), show_default=True)
@click.option("--train", is_flag=True, help="Also fine-tune the model to int4 on the sample, and convert with it.")
def demo_speech(output: Path, train: bool) -> None:
    """Convert sample speakers to one voice with the shipped model: WAV files, and a page to listen to.

    Needs nothing but the checkout.
    """
    from converters.experiments.demo_speech import run_speech_demo

    run_speech_demo(output, train)
