"""The demo of conversion to one voice: the shipped models as a file in few bits, and a page to listen to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

from converters.evaluation.speech_systems import live_conversion
from converters.experiments.stages import Stages
from converters.runtime.stream_model import open_stream
from converters.streaming.online_converter import OnlineConverter
from converters.streaming.playback import wav_output
from tfconformer.data.pipeline import EvaluationPair, evaluation_pairs
from tfconformer.data.shards import find_shards
from tfconformer.decoding.ctc import greedy_decode
from tfconformer.decoding.onset import spoken_frames
from tfconformer.decoding.spectrogram import convert
from tfconformer.reports.speech_page import Recording, SpeechExample, render_speech_page

CONVERTER, VOCODER = Path("models/parrotron"), Path("models/vocoder")
SAMPLE = Path("samples/conversion")
CONFIGS = Path("configs/parrotron")
TITLE = "One voice for every speaker"
LEAD = (
    "Speakers that the models have not heard, the same sentences in the target voice, and what the files make of the"
    " speakers, each after the end of the sentence."
)


def run_speech_demo(output: Path, train: bool = False) -> None:
    """Exports the shipped models of conversion, converts the sample, and writes WAV files and a page.

    Args:
      output: folder of files, recordings and `report.html`.
      train: also fine-tunes the model to int4, and converts with it.

    Raises:
      InputError: a stage failed; its own message was printed before.
    """
    stages = Stages()
    manifests = sorted(SAMPLE.glob("manifests/*-pairs.jsonl"))
    stages.run("prepare the sample", "data", "shards", *manifests, "--output", output / "shards")
    shards = f"{output}/shards/test-pairs-*.tfrecord"
    runs, rules = {"int8": CONVERTER}, {"int8": ["--post-training", str(CONFIGS / "int8.yaml")]}
    if train:
        runs["int4"], rules["int4"] = output / "runs" / "int4", []
        stages.run("fine-tune int4", "quantize", "configs/demo/conversion_int4.yaml", CONVERTER, runs["int4"])
    for name, run in runs.items():
        voice = ("--vocoder", VOCODER, "--vocoder-post-training", CONFIGS / f"vocoder_{name}.yaml")
        verify = ("--shards", shards, "--utterances", "1")
        file = output / f"{name}.tflite"
        stages.run(f"export {name}", "export", run, file, *rules[name], *voice, "--streaming", *verify)
    files = {name: output / f"{name}.tflite" for name in runs}
    examples = list(_examples(files, list(evaluation_pairs(find_shards((shards,)))), output))
    features = open_stream(next(iter(files.values()))).metadata.features
    render_speech_page(examples, output / "report.html", TITLE, LEAD, features)
    for stage in stages.done:
        click.echo(f"{stage.seconds:7.1f} s  {stage.name}")
    click.secho(f"\n{output / 'report.html'}", bold=True)


def _examples(files: dict[str, Path], pairs: list[EvaluationPair], output: Path) -> Iterator[SpeechExample]:
    """Converts every pair with every file, and writes the WAV files."""
    converters = {name: OnlineConverter(path, rules=()) for name, path in files.items()}
    systems = {name: live_conversion(converter) for name, converter in converters.items()}
    model = open_stream(next(iter(files.values())))
    memory = model.metadata.task.setting("memory")
    for pair in pairs:
        encoded = model.run(pair.source)
        logits = encoded[:, memory:]
        recognized = f"recognized: {model.metadata.text(greedy_decode(logits)).lower()}"
        recordings = [Recording("source", pair.source, recognized), Recording("target voice", pair.target)]
        for name, system in systems.items():
            generated = system(pair)
            path = output / "wav" / f"{pair.id}.{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            with wav_output(path, converters[name].sample_rate) as write:
                write(generated.speech)
            seconds = len(generated.speech) / converters[name].sample_rate
            note = f"{generated.seconds or 0.0:.2f} s of computing for {seconds:.1f} s of speech"
            recordings.append(Recording(f"converted, {name}", generated.speech, note))
        spoken = spoken_frames(encoded, logits)
        attention = convert(model, spoken).attention if len(spoken) else np.zeros([1, 1], np.float32)
        yield SpeechExample(pair.id, pair.text, tuple(recordings), attention)
