"""The command `tfconformer convert`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import click

from converters.runtime.model import RUNTIMES
from tfconformer import atomic
from tfconformer.commands.numbers import Finite, Whole
from tfconformer.errors import InputError


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[IN.wav] [OUT.wav] FILE.tflite")
@click.option("--mic", is_flag=True, help="Convert the microphone instead of IN.wav, until Ctrl-C.")
@click.option("--speaker", is_flag=True, help="Play the converted speech instead of writing OUT.wav.")
@click.option(
    "--lag",
    type=Finite(min=0, min_open=True),
    metavar="SECONDS",
    help="Convert while the speaker speaks, so far behind; by default after the end of every utterance.",
)
@click.option("--runtime", type=click.Choice(RUNTIMES), default="ai-edge-litert", show_default=True)
@click.option("--threads", type=click.IntRange(1, 256), default=1, show_default=True)
@click.option("--seed", type=Whole(min=0), default=0, show_default=True, help="Seed of the vocoder's noise.")
def convert(
    files: tuple[Path, ...], mic: bool, speaker: bool, lag: float | None, runtime: str, threads: int, seed: int
) -> None:
    """Convert the speech of IN.wav to the voice of FILE.tflite, and write it to OUT.wav.

    FILE.tflite is one of `tfconformer export --streaming --vocoder RUN`. Audio of any length and rate is converted
    utterance by utterance, in constant memory. The last line tells how long after the onset of speech the first sound
    comes, and how long after its end the last one.
    """
    expected = ["IN.wav"] * (not mic) + ["OUT.wav"] * (not speaker) + ["FILE.tflite"]
    if len(files) != len(expected):
        raise click.UsageError(f"give {' '.join(expected)}, got {len(files)} files")
    *sound_files, model_file = files
    output = None if speaker else sound_files.pop()
    source = None if mic else sound_files.pop()
    if output is not None:
        if output.suffix != ".wav":
            raise InputError(f"the output {output} should have a name that ends in .wav")
        atomic.require_writable(output)
    from converters.streaming.audio import LiveAudio, microphone_audio, wav_audio
    from converters.streaming.conversion import ConversionTiming, convert_audio
    from converters.streaming.online_converter import OnlineConverter
    from converters.streaming.playback import speaker_output, wav_output

    converter, timing = OnlineConverter(model_file, runtime, threads, seed=seed, lag=lag), ConversionTiming()
    opened: AbstractContextManager[LiveAudio] = (
        microphone_audio(converter.sample_rate)
        if source is None
        # A loudspeaker is heard while one speaks, a file when it is complete.
        else wav_audio(source, paced=output is None)
    )
    sink = speaker_output(converter.sample_rate) if output is None else wav_output(output, converter.sample_rate)
    with opened as audio, sink as write:
        for samples in convert_audio(converter, audio, timing):
            write(samples)
    click.echo(f"{'' if output is None else f'{output}: '}{timing}")
