"""The command `tfconformer stream`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import click

from converters.commands.beam_options import beam_options
from converters.runtime.model import RUNTIMES
from tfconformer.commands.numbers import Finite
from tfconformer.decoding.beam import BeamSearch
from tfconformer.errors import InputError


@click.command()
@click.argument("model_file", type=click.Path(path_type=Path), metavar="FILE.tflite")
@click.option("--wav", type=click.Path(path_type=Path), help="Audio file to recognize, of any sample rate.")
@click.option("--mic", is_flag=True, help="Recognize the microphone, until Ctrl-C.")
@click.option("--fast", is_flag=True, help="Read the audio file at once, not at the pace of speech.")
@click.option("--runtime", type=click.Choice(RUNTIMES), default="ai-edge-litert", show_default=True)
@click.option("--threads", type=click.IntRange(1, 256), default=1, show_default=True)
@beam_options
@click.option("--rule1-min-trailing-silence", type=Finite(), default=2.4, show_default=True, metavar="SECONDS")
@click.option("--rule2-min-trailing-silence", type=Finite(), default=1.2, show_default=True, metavar="SECONDS")
@click.option("--rule3-min-utterance-length", type=Finite(), default=20.0, show_default=True, metavar="SECONDS")
def stream(
    model_file: Path,
    wav: Path | None,
    mic: bool,
    fast: bool,
    runtime: str,
    threads: int,
    beam: BeamSearch | None,
    rule1_min_trailing_silence: float,
    rule2_min_trailing_silence: float,
    rule3_min_utterance_length: float,
) -> None:
    """Recognize speech as it arrives, with a file of `tfconformer export --streaming`.

    On a terminal the current utterance grows as it arrives, above a line with latency and real-time factor. An
    utterance ends after silence (rule 1), after shorter silence that follows speech (rule 2), or at its greatest length
    (rule 3); it is then printed as a line of its own.
    """
    if (wav is None) != mic:
        raise InputError("give either --wav FILE or --mic")
    if mic and fast:
        raise InputError("--fast is for --wav: a microphone has its own pace")
    from converters.streaming.audio import LiveAudio, microphone_audio, wav_audio
    from converters.streaming.display import show
    from converters.streaming.endpoint import endpoint_rules
    from converters.streaming.online_recognizer import OnlineRecognizer

    rules = endpoint_rules(rule1_min_trailing_silence, rule2_min_trailing_silence, rule3_min_utterance_length)
    recognizer = OnlineRecognizer(model_file, runtime, threads, rules, beam)
    source: AbstractContextManager[LiveAudio] = (
        microphone_audio(recognizer.model.description.sample_rate) if wav is None else wav_audio(wav, paced=not fast)
    )
    with source as audio:
        show(recognizer, audio)
