"""The command `tfconformer convert`."""

from __future__ import annotations

from pathlib import Path

import click

from converters.runtime.model import RUNTIMES
from tfconformer.commands.output import OUTPUT_FILE
from tfconformer.errors import InputError


@click.command()
@click.argument("source", type=click.Path(path_type=Path), metavar="IN.wav")
@click.argument("output", type=OUTPUT_FILE, metavar="OUT.wav")
@click.argument("model_file", type=click.Path(path_type=Path), metavar="FILE.tflite")
@click.option("--runtime", type=click.Choice(RUNTIMES), default="ai-edge-litert", show_default=True)
@click.option("--threads", type=click.IntRange(1, 256), default=1, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the vocoder's noise.")
def convert(source: Path, output: Path, model_file: Path, runtime: str, threads: int, seed: int) -> None:
    """Convert the speech of IN.wav to the voice of FILE.tflite, and write it to OUT.wav.

    FILE.tflite is one of `tfconformer export --streaming --vocoder RUN`. Audio of any length and rate is converted
    utterance by utterance, in constant memory.
    """
    if output.suffix != ".wav":
        raise InputError(f"the output {output} should have a name that ends in .wav")
    import soundfile

    from converters.streaming.audio import wav_audio
    from converters.streaming.conversion import ConversionTiming, convert_audio
    from converters.streaming.online_converter import OnlineConverter
    from tfconformer import atomic

    converter, timing = OnlineConverter(model_file, runtime, threads, seed=seed), ConversionTiming()
    with (
        wav_audio(source, paced=False) as audio,
        atomic.atomic_path(output) as path,
        soundfile.SoundFile(path, "w", converter.sample_rate, 1, "PCM_16", format="WAV") as file,
    ):
        for samples in convert_audio(converter, audio, timing):
            file.write(samples)
    click.echo(f"{output}: {timing}")
