"""A whole Conformer with random weights: ten seconds from waveform to logits, and one step of a stream.

    python -m benchmarks.encoder configs/conformer_l.yaml --output results/encoder.json

Our formats, LiteRT's and onnxruntime's take turns. The models of a workload differ in their dense layers, in the
second convolution, the depthwise ones, attention and the layer normalizations: in ours these are our operations, in the
others' their own in float, as are the first convolution, the head and the front end in all of them. (LiteRT and
onnxruntime have int8 convolutions, with one activation scale for the whole input, so that a stream would not compute
what an utterance does.)
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from benchmarks.random_weights import scheme_columns
from benchmarks.timing import interleaved_seconds
from converters.runtime.model import Model, StreamModel, open_model
from tfconformer.config import Config, load_config
from tfconformer.models.encoder import SUBSAMPLING
from tfconformer.quantization.spec import QuantSpec
from tfconformer.reports.provenance import results_of_this_process
from tfconformer.reports.results import ResultRow, write_results
from tfconformer.reports.tables import scheme

# A stream as the streaming models of configs/ are: 2.6 s of left context, a step for every frame of 40 ms.
STREAM = ("model.causal=true", "model.left_context=64", "model.attention_chunk=1")
# The kernels of onnxruntime.
MLAS = "mlas"
Peer = TypeVar("Peer", OnnxConformer, OnnxStream)


@dataclass(frozen=True)
class Candidate:
    """A model in its runtime.

    Attributes:
      columns: of its results row: who computes what, and the size of the file.
      run: the workload once.
      kernel: what multiplied, once it has run.
    """

    columns: Mapping[str, Any]
    run: Callable[[], Any]
    kernel: Callable[[], str]


def utterance_candidates(config: Config, seconds: float) -> Iterator[Candidate]:
    """Every model for whole utterances, on one of that length."""
    waveform = _noise(int(seconds * config.features.sample_rate))
    length = {"audio_seconds": seconds}
    for columns, model in _opened(config, frozen_utterance):
        assert isinstance(model, Model)
        yield Candidate(columns | length, partial(model.run, waveform), partial(_kernel, model))
    for columns, peer in _onnx_models(config, OnnxConformer):
        yield Candidate(columns | length, partial(peer.run, waveform), lambda: MLAS)


def step_candidates(config: Config) -> Iterator[Candidate]:
    """Every model of a stream, on one step of it."""
    samples = SUBSAMPLING * config.features.frame_step
    piece = _noise(samples)
    chunk = {"chunk_ms": 1e3 * samples / config.features.sample_rate}
    for columns, model in _opened(config, frozen_step):
        assert isinstance(model, StreamModel)
        yield Candidate(columns | chunk, partial(model.step, piece), partial(_kernel, model))
    for columns, peer in _onnx_models(config, OnnxStream):
        yield Candidate(columns | chunk, partial(peer.step, piece), lambda: MLAS)


def _opened(
    config: Config, freeze_model: Callable[[Config, bool], Frozen]
) -> Iterator[tuple[dict[str, Any], Model | StreamModel]]:
    """Ours and LiteRT's."""
    for variant, content in contents(freeze_model, config, variants()):
        # The interpreter maps the file, so that it need not stay.
        with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
            file.write(content)
            file.flush()
            model = open_model(file.name)
        columns = {"file_bytes": len(content), "runtime": model.runtime}
        yield {"implementation": variant.implementation, **variant.columns, **columns}, model


def _kernel(model: Model | StreamModel) -> str:
    return model.kernels().name


def _onnx_models(config: Config, kind: type[Peer]) -> Iterator[tuple[dict[str, Any], Peer]]:
    """Onnxruntime's."""
    formats: list[tuple[dict[str, Any], Quantize]] = [
        ({"weight_bits": 32}, float_weights),
        (scheme_columns(QuantSpec(bits=8)), int8_weights),
        (scheme_columns(QuantSpec(bits=4, block_size=64)), partial(blockwise_weights, bits=4, block_size=64)),
        (scheme_columns(QuantSpec(bits=2, block_size=64)), partial(blockwise_weights, bits=2, block_size=64)),
    ]
    rng = np.random.default_rng(0)

    def variables(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        if len(shape) == 1:
            return rng.uniform(0.5, 1, shape).astype(np.float32)
        return rng.standard_normal(shape, np.float32) / np.float32(np.sqrt(np.prod(shape[:-1])))

    for weights, quantize in formats:
        model = kind(config, VOCABULARY, variables, quantize)
        columns = {"file_bytes": model.file_bytes, "runtime": onnx_layers.NAME}
        yield {"implementation": onnx_layers.NAME, **weights, **columns}, model


def _noise(samples: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(samples, np.float32) * np.float32(0.05)


def measure(
    candidates: Sequence[Candidate], rounds: int, columns: Callable[[float], dict[str, Any]]
) -> Iterator[ResultRow]:
    """A row for every candidate, with `columns` of its median seconds."""
    runs = {str(number): candidate.run for number, candidate in enumerate(candidates)}
    for candidate, times in zip(candidates, interleaved_seconds(runs, rounds).values(), strict=True):
        seconds = statistics.median(times)
        row = ResultRow(**candidate.columns, kernel=candidate.kernel(), threads=1, **columns(seconds))
        click.echo(f"{row.implementation}, {scheme(row)}: {1e3 * seconds:.2f} ms")
        yield row


def utterance_rows(config: Config, seconds: float, rounds: int) -> Iterator[ResultRow]:
    """Every model on audio of that length."""
    candidates = list(utterance_candidates(config, seconds))
    return measure(candidates, rounds, lambda time: {"latency_ms_p50": 1e3 * time, "rtf_p50": time / seconds})


def step_rows(config: Config, rounds: int) -> Iterator[ResultRow]:
    """Every model on one step of a stream."""
    return measure(list(step_candidates(config)), rounds, lambda time: {"step_ms_p50": 1e3 * time})


@click.command()
@click.argument("config_file", type=click.Path(path_type=Path))
@click.option("--seconds", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="Length of the audio.")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="Results file to write (JSON).")
def main(config_file: Path, seconds: float, rounds: int, output: Path | None) -> None:
    """Measure the model of CONFIG_FILE, single thread, CPU time."""
    rows = [
        *utterance_rows(load_config(config_file), seconds, rounds),
        *step_rows(load_config(config_file, list(STREAM)), 4 * rounds),
    ]
    if output is not None:
        named = tuple(row.model_copy(update={"model": config_file.stem}) for row in rows)
        write_results(output, results_of_this_process(rows=named))


if __name__ == "__main__":
    main()
