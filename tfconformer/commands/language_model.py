"""The command `tfconformer language-model`."""

from __future__ import annotations

from pathlib import Path

import click

from tfconformer.commands.output import OUTPUT_FILE


@click.command("language-model")
@click.argument("run_directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("output", type=OUTPUT_FILE, metavar="OUTPUT.arpa")
@click.option("--shards", multiple=True, metavar="GLOB", help="Transcripts to count [default: the training's].")
@click.option("--order", type=click.IntRange(1, 6), default=6, show_default=True, help="Longest n-gram.")
def language_model(run_directory: Path, output: Path, shards: tuple[str, ...], order: int) -> None:
    """Estimate an n-gram model over the tokens of RUN_DIRECTORY, for beam search."""
    from tfconformer.data.pipeline import transcripts
    from tfconformer.data.shards import find_shards
    from tfconformer.data.tokenizer import Tokenizer
    from tfconformer.decoding.ngram import estimate, write_arpa
    from tfconformer.training.run import RunDirectory

    run = RunDirectory(run_directory)
    tokenizer = Tokenizer.from_file(run.tokenizer_file)
    texts = transcripts(find_shards(shards or run.config().data.train))
    model = estimate(map(tokenizer.encode_as_tokens, texts), order)
    write_arpa(model, output)
    click.echo(f"{output}: {len(model.probabilities):,} n-grams from {len(texts):,} transcripts")
