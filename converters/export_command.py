"""The command `tfconformer export`."""

from __future__ import annotations

import itertools
from pathlib import Path

import click

from converters.runtimes import RUNTIMES
from tfconformer.errors import InputError


@click.command()
@click.argument("run_directory", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path, dir_okay=False), metavar="OUTPUT.tflite")
@click.option("--shards", multiple=True, metavar="GLOB", help="Shards to verify with [default: the run's dev shards].")
@click.option("--utterances", type=click.IntRange(min=1), default=8, show_default=True, help="How many to verify with.")
@click.option(
    "--runtime",
    "runtimes",
    type=click.Choice(RUNTIMES),
    multiple=True,
    default=("ai-edge-litert",),
    show_default=True,
    help="Where to run the file for the verification; may be given several times.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="model.KEY=VALUE",
    help="Replace a value of the run's configuration that shapes no weight, as model.attention_chunk.",
)
@click.option("--streaming", is_flag=True, help="Write a file that takes audio in steps, as it arrives.")
def export(
    run_directory: Path,
    output: Path,
    shards: tuple[str, ...],
    utterances: int,
    runtimes: tuple[str, ...],
    overrides: tuple[str, ...],
    streaming: bool,
) -> None:
    """Write the best weights of RUN_DIRECTORY to a packed, verified .tflite file.

    With --streaming the file has the signatures encode_step and flush, and says in its metadata how they are used.
    A report of sizes, operations, quantization errors and parity goes beside it, as OUTPUT.export.json.
    """
    if output.suffix != ".tflite":
        raise InputError(f"the output {output} should have a name that ends in .tflite")
    from converters.export import export as run_export
    from tfconformer.data.pipeline import evaluation_utterances
    from tfconformer.data.shards import find_shards
    from tfconformer.training.run import RunDirectory

    run = RunDirectory(run_directory)
    paths = find_shards(shards or run.config().data.dev)
    waveforms = [one.waveform for one in itertools.islice(evaluation_utterances(paths), utterances)]
    report = run_export(run, output, waveforms, runtimes, overrides, streaming)
    packed = f", {report.bits_per_weight:.2f} bits per packed weight" if report.bits_per_weight else ""
    click.echo(f"{output}: {report.file_bytes:,} bytes{packed}")
    for parity in report.parity:
        click.echo(
            f"{parity.runtime}: relative RMS {parity.relative_rms:.1e} to the Keras model's logits, "
            f"{parity.different_hypotheses} of {parity.utterances} transcripts differ"
        )
