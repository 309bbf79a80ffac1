"""The command `tfconformer transcribe`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from converters.commands.beam_options import beam_options
from converters.runtime.model import RUNTIMES
from tfconformer.commands.numbers import Finite
from tfconformer.data.limits import MAX_SECONDS
from tfconformer.decoding.beam import BeamSearch
from tfconformer.errors import InputError, printed


@click.command()
@click.argument("model_file", type=click.Path(path_type=Path), metavar="FILE.tflite")
@click.argument("audio", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--timestamps", is_flag=True, help="Print start, end (in seconds), confidence and text of each word.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each file, with all its words.")
@click.option("--runtime", type=click.Choice(RUNTIMES), default="ai-edge-litert", show_default=True)
@click.option("--threads", type=click.IntRange(1, 256), default=1, show_default=True)
@beam_options
@click.option(
    "--max-seconds",
    type=Finite(min=0, min_open=True),
    default=MAX_SECONDS,
    show_default=True,
    help="Longest audio for an offline file; a streaming file takes any length.",
)
def transcribe(
    model_file: Path,
    audio: tuple[Path, ...],
    timestamps: bool,
    as_json: bool,
    runtime: str,
    threads: int,
    beam: BeamSearch | None,
    max_seconds: float,
) -> None:
    """Print the text of AUDIO files, with an exported file, offline or streaming.

    An audio file that cannot be used is reported, the others are transcribed, and the exit status is 2.
    """
    if timestamps and as_json:
        raise InputError("--timestamps is for text: --json has the times of all words")
    from converters.runtime.transcribe import Transcriber

    transcriber = Transcriber(model_file, runtime, threads, beam, max_seconds)
    failed = 0
    for path in audio:
        try:
            transcription = transcriber(path)
        except InputError as error:
            click.echo(f"tfconformer: {printed(error)}", err=True)
            failed += 1
            continue
        if as_json:
            click.echo(json.dumps({"audio": str(path), **asdict(transcription)}))
            continue
        click.echo(f"{path}: {transcription.text}")
        for word in transcription.words if timestamps else ():
            click.echo(f"{word.start:8.2f} {word.end:8.2f} {word.confidence:6.2f}  {word.text}")
    if failed:
        raise InputError(f"{failed} of {len(audio)} audio files could not be transcribed")
