"""The command `tfconformer import`."""

from __future__ import annotations

from pathlib import Path

import click

from tfconformer.commands.texts import TEXT


@click.command(name="import")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("run_directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--train", type=TEXT, multiple=True, metavar="GLOB", help="Shards to calibrate and to fine-tune with.")
@click.option("--dev", type=TEXT, multiple=True, metavar="GLOB", help="Shards to verify exports and to score with.")
@click.option(
    "--decoder",
    type=click.Choice(["ctc", "transducer"]),
    help="The decoder of a hybrid that is read, by default its CTC head.",
)
def import_checkpoint(
    source: Path, run_directory: Path, train: tuple[str, ...], dev: tuple[str, ...], decoder: str | None
) -> None:
    """Read the checkpoint SOURCE of another framework into RUN_DIRECTORY.

    SOURCE is a folder of a Hugging Face checkpoint, with safetensors, config.json, preprocessor_config.json and
    tokenizer.json or vocab.json, or a NeMo archive. Export the run with `export --post-training`, or fine-tune it with
    `quantize`.
    """
    from tfconformer.importing.run import import_checkpoint as read
    from tfconformer.training.run import RunDirectory

    config = read(source, RunDirectory(run_directory), train, dev, decoder)
    model, features = config.model, config.features
    inputs = "waveform" if features.kind == "waveform" else f"{features.mel_bins} mel bins"
    click.echo(f"{run_directory}: {model.blocks} blocks of width {model.dim}, {inputs}")
