"""A whole Conformer with random weights: ten seconds from waveform to logits, and one step of a stream.

    python -m benchmarks.encoder configs/conformer_l.yaml --output results/encoder.json

This project's formats, LiteRT's and onnxruntime's take turns. The models of a workload differ in their dense layers, in
the second convolution, the depthwise ones, attention and the layer normalizations: this project has its own operations
for these, the baselines have theirs in float, as are the first convolution, the head and the front end in all of them.
(LiteRT and onnxruntime have int8 convolutions, with one activation scale for the whole input, so that a stream would
not compute what an utterance does.)
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks import onnx_layers
from benchmarks.onnx_conformer import OnnxConformer, OnnxStream, Quantize
from benchmarks.onnx_layers import blockwise_weights, float_weights, int8_weights
from benchmarks.random_conformers import VOCABULARY, Frozen, contents, frozen_step, frozen_utterance, variants
from benchmarks.timing import interleaved_seconds
from converters.runtime.model import SpeechModel, StreamModel, open_model
from tfconformer.config import Config, load_config
from tfconformer.models.config import SUBSAMPLING
from tfconformer.quantization.spec import QuantSpec
from tfconformer.reports.provenance import results_of_this_process
from tfconformer.reports.results import write_results
from tfconformer.reports.rows import Execution, Quantization, ResultRow, Size, Speed, StepTime, Stream
from tfconformer.reports.tables import scheme

# A stream as the streaming models of configs/ are: 2.6 s of left context, a step for every frame of 40 ms.
STREAM = ("model.causal=true", "model.left_context=64", "model.attention_chunk=1")
# Name of onnxruntime's kernels.
MLAS = "mlas"
Onnx = TypeVar("Onnx", OnnxConformer, OnnxStream)


@dataclass(frozen=True)
class Subject:
    """A model file of a comparison.

    Attributes:
      implementation: name and version of what computes the dense layers.
      quantization: scheme of the dense layers.
      file_bytes: size of the file.
      runtime: name and version.
    """

    implementation: str
    quantization: Quantization
    file_bytes: int
    runtime: str


@dataclass(frozen=True)
class Candidate:
    """A model in its runtime, with a workload.

    Attributes:
      subject: the model.
      run: runs the workload once.
      kernel: returns the name of the implementation that multiplied, after a run.
    """

    subject: Subject
    run: Callable[[], Any]
    kernel: Callable[[], str]


def utterance_candidates(config: Config, seconds: float) -> Iterator[Candidate]:
    """Yields every offline model with an utterance of that length as the workload."""
    waveform = _noise(int(seconds * config.features.sample_rate))
    for subject, model in _opened(config, frozen_utterance):
        assert not isinstance(model, StreamModel)
        yield Candidate(subject, partial(model.run, waveform), partial(_kernel, model))
    for subject, onnx_model in _onnx_models(config, OnnxConformer):
        yield Candidate(subject, partial(onnx_model.run, waveform), lambda: MLAS)


def step_candidates(config: Config) -> Iterator[Candidate]:
    """Yields every streaming model with one step as the workload."""
    step = _noise(SUBSAMPLING * config.features.frame_step)
    for subject, model in _opened(config, frozen_step):
        assert isinstance(model, StreamModel)
        yield Candidate(subject, partial(model.step, step), partial(_kernel, model))
    for subject, onnx_model in _onnx_models(config, OnnxStream):
        yield Candidate(subject, partial(onnx_model.step, step), lambda: MLAS)


def _opened(config: Config, freeze_model: Callable[[Config, bool], Frozen]) -> Iterator[tuple[Subject, SpeechModel]]:
    """Yields this project's models and LiteRT's."""
    for variant, content in contents(freeze_model, config, variants()):
        # The interpreter maps the file, so that it need not stay.
        with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
            file.write(content)
            file.flush()
            model = open_model(file.name)
        yield Subject(variant.implementation, variant.quantization, len(content), model.runtime), model


def _kernel(model: SpeechModel) -> str:
    return model.kernels().name


def _onnx_models(config: Config, kind: type[Onnx]) -> Iterator[tuple[Subject, Onnx]]:
    """Yields onnxruntime's models."""
    formats: list[tuple[Quantization, Quantize]] = [
        (Quantization(weight_bits=32), float_weights),
        (Quantization.of_spec(QuantSpec(bits=8)), int8_weights),
        *(
            (
                Quantization.of_spec(QuantSpec(bits=bits, block_size=64)),
                partial(blockwise_weights, bits=bits, block_size=64),
            )
            for bits in (4, 2)
        ),
    ]
    rng = np.random.default_rng(0)

    def variables(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        if len(shape) == 1:
            return rng.uniform(0.5, 1, shape).astype(np.float32)
        return rng.standard_normal(shape, np.float32) / np.float32(np.sqrt(np.prod(shape[:-1])))

    for quantization, quantize in formats:
        model = kind(config, VOCABULARY, variables, quantize)
        yield Subject(onnx_layers.NAME, quantization, model.file_bytes, onnx_layers.NAME), model


def _noise(samples: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(samples, np.float32) * np.float32(0.05)


def measure(candidates: Sequence[Candidate], rounds: int) -> Iterator[tuple[Candidate, float]]:
    """Yields every candidate with its median CPU seconds over the rounds."""
    runs = {str(number): candidate.run for number, candidate in enumerate(candidates)}
    for candidate, times in zip(candidates, interleaved_seconds(runs, rounds).values(), strict=True):
        seconds = statistics.median(times)
        subject = candidate.subject
        click.echo(f"{subject.implementation}, {scheme(subject.quantization)}: {1e3 * seconds:.2f} ms")
        yield candidate, seconds


def utterance_rows(config: Config, seconds: float, rounds: int, model: str | None = None) -> Iterator[ResultRow]:
    """Measures every model on audio of that length; `model` is its name in the rows."""
    for candidate, time in measure(list(utterance_candidates(config, seconds)), rounds):
        subject = candidate.subject
        yield ResultRow(
            model=model,
            quantization=subject.quantization,
            size=Size(file_bytes=subject.file_bytes),
            speed=Speed(latency_ms_p50=1e3 * time, rtf_p50=time / seconds),
            execution=_execution(candidate),
            audio_seconds=seconds,
            implementation=subject.implementation,
        )


def step_rows(config: Config, rounds: int, model: str | None = None) -> Iterator[ResultRow]:
    """Measures every model on one step of a stream; `model` is its name in the rows."""
    chunk_ms = 1e3 * SUBSAMPLING * config.features.frame_step / config.features.sample_rate
    for candidate, time in measure(list(step_candidates(config)), rounds):
        subject = candidate.subject
        yield ResultRow(
            model=model,
            quantization=subject.quantization,
            size=Size(file_bytes=subject.file_bytes),
            execution=_execution(candidate),
            stream=Stream(chunk_ms=chunk_ms),
            step=StepTime(step_ms_p50=1e3 * time),
            implementation=subject.implementation,
        )


def _execution(candidate: Candidate) -> Execution:
    return Execution(runtime=candidate.subject.runtime, kernel=candidate.kernel(), threads=1)


@click.command()
@click.argument("config_file", type=click.Path(path_type=Path))
@click.option("--seconds", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="Length of the audio.")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="Results file to write (JSON).")
def main(config_file: Path, seconds: float, rounds: int, output: Path | None) -> None:
    """Measure the model of CONFIG_FILE, single thread, CPU time."""
    rows = [
        *utterance_rows(load_config(config_file), seconds, rounds, config_file.stem),
        *step_rows(load_config(config_file, list(STREAM)), 4 * rounds, config_file.stem),
    ]
    if output is not None:
        write_results(output, results_of_this_process(rows=tuple(rows)))


if __name__ == "__main__":
    main()
