"""A whole Conformer with random weights, from waveform to logits: our formats and LiteRT's in turn.

    python -m benchmarks.encoder configs/conformer_l.yaml --output docs/results/encoder.json

All files come from the same frozen graph and differ in their dense layers only; the head and the front end are float.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.litert_layers import NAME as LITERT
from benchmarks.random_weights import random_builtin, random_kernel, random_packed, scheme_columns
from benchmarks.timing import interleaved_seconds
from converters.freeze import freeze, inference_model
from converters.operators import LayerWeights
from converters.plan import LayerPlan, plan
from converters.provenance import results_of_this_process
from converters.results import ResultRow, write_results
from converters.rewrite import rewrite
from converters.runtimes import Model, StreamModel, open_model
from tfconformer.config import Config, load_config
from tfconformer.models.conformer_ctc import conformer_ctc
from tfconformer.quantization.spec import QuantSpec

VOCABULARY = 1024
HEAD = "ctc_head"


@dataclass(frozen=True)
class Variant:
    """A format for all dense layers but the head.

    Attributes:
      implementation: whose operation.
      columns: of the results row, how weights are stored.
      weights: (K, N) -> a layer.
    """

    implementation: str
    columns: dict[str, Any]
    weights: Callable[[int, int], LayerWeights]

    @property
    def name(self) -> str:
        """Unique among the variants."""
        return " ".join([self.implementation, *(f"{key}={value}" for key, value in self.columns.items())])


def variants() -> Iterator[Variant]:
    """Everything that is measured."""
    for bits, block_size in ((2, None), (2, 64), (4, None), (4, 64), (8, None)):
        spec = QuantSpec(bits=bits, block_size=block_size, activation_bits=8)
        yield Variant("tfconformer", scheme_columns(spec), partial(random_packed, spec))
    sparse = QuantSpec(bits=4, block_size=64, activation_bits=8, sparsity="2:4")
    yield Variant("tfconformer", scheme_columns(sparse), partial(random_packed, sparse))
    yield Variant(LITERT, {"weight_bits": 32}, random_kernel)
    for bits, block_size in ((8, None), (4, None), (2, None), (4, 64)):
        spec = QuantSpec(bits=bits, block_size=block_size)
        yield Variant(LITERT, scheme_columns(spec), partial(random_builtin, spec))


def frozen_encoder(config: Config) -> tuple[bytes, list[LayerPlan]]:
    """The graph of a random model with placeholders for all dense layers but the head, and these layers."""
    model = conformer_ctc(config.model, config.features.mel_bins, VOCABULARY)
    model = inference_model(model, config, VOCABULARY)
    layers = [layer for layer in plan(model, {}) if layer.name != HEAD]
    return freeze(model, config.features, [layer.name for layer in layers]), layers


def open_variants(frozen: bytes, layers: list[LayerPlan]) -> dict[str, tuple[Variant, Model | StreamModel, int]]:
    """Name -> variant, the model in LiteRT's interpreter, and the size of its file."""
    opened = {}
    for variant in variants():
        shapes = {(layer.k, layer.n) for layer in layers}
        weights = {shape: variant.weights(*shape) for shape in shapes}
        content = rewrite(frozen, {layer.name: weights[layer.k, layer.n] for layer in layers}, b"{}")
        # The interpreter maps the file, so that it need not stay.
        with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
            file.write(content)
            file.flush()
            opened[variant.name] = variant, open_model(file.name), len(content)
    return opened


@click.command()
@click.argument("config_file", type=click.Path(path_type=Path))
@click.option("--seconds", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="Length of the audio.")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="Results file to write (JSON).")
def main(config_file: Path, seconds: float, rounds: int, output: Path | None) -> None:
    """Measure the model of CONFIG_FILE, single thread, CPU time."""
    config = load_config(config_file)
    opened = open_variants(*frozen_encoder(config))
    samples = int(seconds * config.features.sample_rate)
    waveform = np.random.default_rng(0).standard_normal(samples, np.float32) * np.float32(0.05)
    runs = {name: lambda model=model: model.run(waveform) for name, (_, model, _) in opened.items()}
    rows = []
    for name, times in interleaved_seconds(runs, rounds).items():
        variant, model, file_bytes = opened[name]
        rows.append(
            ResultRow(
                model=config_file.stem,
                implementation=variant.implementation,
                **variant.columns,
                file_bytes=file_bytes,
                runtime=model.runtime,
                kernel=model.kernels().name,
                threads=1,
                latency_ms_p50=1e3 * statistics.median(times),
                rtf_p50=statistics.median(times) / seconds,
            )
        )
        click.echo(f"{name}: {rows[-1].latency_ms_p50:.0f} ms, {file_bytes / 1e6:.1f} MB")
    if output is not None:
        write_results(output, results_of_this_process(rows=tuple(rows)))


if __name__ == "__main__":
    main()
