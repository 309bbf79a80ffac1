"""Dense layers of Conformers, one by one: ours, LiteRT's and onnxruntime's in one interleaved run.

python -m benchmarks.kernels --output results/kernels.json
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks import litert_layers, onnx_layers
from benchmarks.limits import Limits, measure_limits
from benchmarks.litert_layers import LiteRtLayers
from benchmarks.onnx_layers import OnnxLayers, blockwise_weights, float_weights, int8_weights
from benchmarks.random_weights import random_builtin, random_kernel, random_packed, scheme_columns
from benchmarks.timing import interleaved_seconds
from tfconformer.errors import InputError
from tfconformer.quantization.spec import QuantSpec
from tfconformer.reports.provenance import results_of_this_process
from tfconformer.reports.results import ResultRow, write_results

# [K, N] of the layers of Conformer S (dim 144), M (256) and L (512).
SHAPES = ((144, 576), (256, 1024), (512, 512), (512, 2048), (2048, 512))
# A streaming step has 1 to 8 frames, ten seconds of audio 250.
ROWS = (1, 2, 4, 8, 16, 64, 250)
# Conformer L. The weights of a whole model are gone round, so that no cache holds what a phone would have to read anew.
MODEL_PARAMETERS = 118_000_000
# Above so many rows arithmetic takes many times as long as reading: an eighth of the model is gone round, which keeps
# the memory for inputs and outputs small.
COLD_ROWS = 16
WARM_FRACTION = 8
# Largest root mean square error against float, relative: 8-bit activations cost about 1 %, onnxruntime's, which have
# one scale for all rows, little more. A wrong kernel is nowhere near.
TOLERANCE = 0.05
STAMPED_CHANNELS = 2


class Layers(Protocol):
    """Equal layers that are computed together: `LiteRtLayers` or `OnnxLayers`."""

    kernel: NDArray[np.float32]
    weight_bytes: int

    def feed(self, x: NDArray[np.float32]) -> None: ...
    def run(self) -> None: ...
    def outputs(self) -> Any: ...


@dataclass(frozen=True)
class Candidate:
    """An implementation with a weight format.

    Attributes:
      implementation: name and version.
      scheme: columns of the row that say how the weights are stored.
      arithmetic: "int8" or "float".
      open: (K, N, copies) -> the layers.
    """

    implementation: str
    scheme: dict[str, Any]
    open: Callable[[int, int, int], Layers]
    arithmetic: str = "int8"

    @property
    def name(self) -> str:
        """Unique among the candidates."""
        return " ".join([self.implementation, *(f"{key}={value}" for key, value in self.scheme.items())])


@dataclass
class Table:
    """Rows measured so far."""

    limits: Limits
    rows: list[ResultRow] = field(default_factory=list)

    def add(self, candidate: Candidate, layers: Layers, copies: int, m: int, seconds: Sequence[float]) -> None:
        k, n = layers.kernel.shape
        best = min(seconds) / copies
        working_set = layers.weight_bytes * copies
        least = self.limits.seconds(layers.weight_bytes, working_set, m * k * n, candidate.arithmetic)
        self.rows.append(
            ResultRow(
                implementation=candidate.implementation,
                **candidate.scheme,
                k=k,
                n=n,
                m=m,
                weight_bytes=layers.weight_bytes,
                weights_rotated_mb=working_set / 1e6,
                time_us=best * 1e6,
                gops=2e-9 * m * k * n / best,
                limit_fraction=least / best,
                threads=1,
            )
        )


def ours(spec: QuantSpec) -> Candidate:
    """Our operation in LiteRT's interpreter."""
    columns = scheme_columns(spec) | {"activation_bits": spec.activation_bits or 32}
    return Candidate("tfconformer", columns, lambda k, n, copies: LiteRtLayers(random_packed(spec, k, n), copies))


def litert(spec: QuantSpec) -> Candidate:
    """LiteRT's own FULLY_CONNECTED."""
    columns = scheme_columns(spec) | {"activation_bits": 8}
    return Candidate(litert_layers.NAME, columns, lambda k, n, copies: LiteRtLayers(random_builtin(spec, k, n), copies))


def onnx_blockwise(bits: int, block_size: int) -> Candidate:
    """MatMulNBits of onnxruntime."""
    scheme = {
        "weight_bits": bits,
        "symmetric": True,
        "granularity": "block",
        "block_size": block_size,
        "activation_bits": 8,
    }

    def open_layers(k: int, n: int, copies: int) -> Layers:
        return OnnxLayers(blockwise_weights(random_kernel(k, n), bits, block_size), copies)

    return Candidate(onnx_layers.NAME, scheme, open_layers)


def candidates(k: int) -> Iterator[Candidate]:
    """Everything that is measured on layers with that K; blocks are whole."""
    block = 64 if k % 64 == 0 else 16
    for bits in (2, 4, 8):
        yield ours(QuantSpec(bits=bits, activation_bits=8))
    for bits in (2, 4):
        yield ours(QuantSpec(bits=bits, block_size=block, activation_bits=8))
    yield ours(QuantSpec(bits=2, block_size=block, symmetric=False, activation_bits=8))
    for sparsity in ("2:4", "1:4"):
        yield ours(QuantSpec(bits=4, block_size=block, activation_bits=8, sparsity=sparsity))
    float_scheme = {"weight_bits": 32, "activation_bits": 32}
    yield Candidate(
        litert_layers.NAME, float_scheme, lambda k, n, copies: LiteRtLayers(random_kernel(k, n), copies), "float"
    )
    for bits in (8, 4, 2):
        yield litert(QuantSpec(bits=bits))
    for block_size in (32, 64):
        if k % block_size == 0:
            yield litert(QuantSpec(bits=4, block_size=block_size))
    yield Candidate(
        onnx_layers.NAME,
        float_scheme,
        lambda k, n, copies: OnnxLayers(float_weights(random_kernel(k, n)), copies),
        "float",
    )
    yield Candidate(
        onnx_layers.NAME,
        {"weight_bits": 8, "symmetric": True, "granularity": "channel", "activation_bits": 8},
        lambda k, n, copies: OnnxLayers(int8_weights(random_kernel(k, n)), copies),
    )
    for bits in (8, 4, 2):
        yield onnx_blockwise(bits, block)


def measure_shape(table: Table, k: int, n: int, rows: tuple[int, ...], rounds: int) -> None:
    """Adds the rows of one shape."""
    copies = -(-MODEL_PARAMETERS // (k * n))
    for few in (True, False):
        chosen = [m for m in rows if (m <= COLD_ROWS) == few]
        if chosen:
            _measure_set(table, k, n, copies if few else -(-copies // WARM_FRACTION), chosen, rounds)


def _measure_set(table: Table, k: int, n: int, copies: int, rows: list[int], rounds: int) -> None:
    opened = [(candidate, candidate.open(k, n, copies)) for candidate in candidates(k)]
    for m in rows:
        x = np.random.default_rng(m).standard_normal((m, k)).astype(np.float32)
        for candidate, layers in opened:
            layers.feed(x)
            layers.run()
            _check(candidate, layers, x)
        runs = {candidate.name: layers.run for candidate, layers in opened}
        seconds = interleaved_seconds(runs, rounds)
        for candidate, layers in opened:
            table.add(candidate, layers, copies, m, seconds[candidate.name])


def _check(candidate: Candidate, layers: Layers, x: NDArray[np.float32]) -> None:
    """The first and the last layer must be right: only then their time means something.

    But for the first channels, which bear the stamp of a copy.
    """
    expected = (x @ layers.kernel)[:, STAMPED_CHANNELS:]
    outputs = layers.outputs()
    for y in (outputs[0], outputs[-1]):
        error = np.linalg.norm(y[:, STAMPED_CHANNELS:] - expected) / np.linalg.norm(expected)
        if not error < TOLERANCE:
            raise InputError(f"{candidate.name} computes wrong numbers: relative error {error:.2g} for {x.shape}")


@click.command()
@click.option("--shape", "shapes", type=(int, int), multiple=True, default=SHAPES, metavar="K N")
@click.option("--rows", type=click.IntRange(min=1), multiple=True, default=ROWS, metavar="M")
@click.option("--rounds", type=click.IntRange(min=1), default=9, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="Results file to write (JSON).")
def main(shapes: tuple[tuple[int, int], ...], rows: tuple[int, ...], rounds: int, output: Path | None) -> None:
    """Measure dense layers of every shape and number of rows, single thread."""
    table = Table(measure_limits())
    for k, n in shapes:
        measure_shape(table, k, n, rows, rounds)
        if output is not None:
            write_results(output, results_of_this_process(rows=tuple(table.rows)))
    for row in table.rows:
        click.echo(
            f"{row.k}x{row.n} M={row.m:<4}{row.implementation:<20}{row.weight_bits}-bit {row.block_size or ''} "
            f"{row.time_us:.1f} us {row.gops:.0f} GOPS {row.limit_fraction:.0%}"
        )


if __name__ == "__main__":
    main()
