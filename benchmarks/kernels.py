"""Dense layers of Conformers, one by one: this project's, LiteRT's and onnxruntime's in one interleaved run.

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
from benchmarks.random_weights import random_builtin, random_kernel, random_packed
from benchmarks.timing import interleaved_seconds
from tfconformer.errors import InputError
from tfconformer.quantization.spec import QuantSpec
from tfconformer.reports.provenance import results_of_this_process
from tfconformer.reports.results import write_results
from tfconformer.reports.rows import Execution, Gemm, Quantization, ResultRow, Size
from tfconformer.reports.tables import scheme

# [K, N] of the layers of Conformer S (dim 144), M (256) and L (512).
SHAPES = ((144, 576), (256, 1024), (512, 512), (512, 2048), (2048, 512))
# A streaming step has 1 to 8 frames, ten seconds of audio 250.
ROWS = (1, 2, 4, 8, 16, 64, 250)
# Conformer L. Every run reads the weights of a whole model, so that no cache holds what a phone reads from memory.
MODEL_PARAMETERS = 118_000_000
# Above so many rows arithmetic takes many times as long as reading: a run reads an eighth of the model, which keeps the
# memory for inputs and outputs small.
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
      quantization: scheme of the weights.
      arithmetic: "int8" or "float".
      open: (K, N, copies) -> the layers.
    """

    implementation: str
    quantization: Quantization
    open: Callable[[int, int, int], Layers]
    arithmetic: str = "int8"

    @property
    def name(self) -> str:
        """Unique among the candidates."""
        return f"{self.implementation}: {scheme(self.quantization)}"


@dataclass
class Table:
    """Rows of the layers that were measured."""

    limits: Limits
    rows: list[ResultRow] = field(default_factory=list)

    def add(self, candidate: Candidate, layers: Layers, copies: int, m: int, seconds: Sequence[float]) -> None:
        k, n = layers.kernel.shape
        best = min(seconds) / copies
        working_set = layers.weight_bytes * copies
        least = self.limits.seconds(layers.weight_bytes, working_set, m * k * n, candidate.arithmetic)
        self.rows.append(
            ResultRow(
                quantization=candidate.quantization,
                size=Size(weight_bytes=layers.weight_bytes),
                execution=Execution(threads=1),
                implementation=candidate.implementation,
                gemm=Gemm(
                    k=k,
                    n=n,
                    m=m,
                    working_set_mb=working_set / 1e6,
                    time_us=best * 1e6,
                    gops=2e-9 * m * k * n / best,
                    limit_fraction=least / best,
                ),
            )
        )


def ours(spec: QuantSpec) -> Candidate:
    """Returns this project's operation in LiteRT's interpreter."""
    quantization = Quantization.of_spec(spec, activation_bits=spec.activation_bits or 32)
    return Candidate("tfconformer", quantization, lambda k, n, copies: LiteRtLayers(random_packed(spec, k, n), copies))


def litert(spec: QuantSpec) -> Candidate:
    """Returns LiteRT's own FULLY_CONNECTED."""

    def open_layers(k: int, n: int, copies: int) -> Layers:
        return LiteRtLayers(random_builtin(spec, k, n), copies)

    return Candidate(litert_layers.NAME, Quantization.of_spec(spec, activation_bits=8), open_layers)


def onnx_blockwise(bits: int, block_size: int) -> Candidate:
    """Returns MatMulNBits of onnxruntime."""
    quantization = Quantization.of_spec(QuantSpec(bits=bits, block_size=block_size), activation_bits=8)

    def open_layers(k: int, n: int, copies: int) -> Layers:
        return OnnxLayers(blockwise_weights(random_kernel(k, n), bits, block_size), copies)

    return Candidate(onnx_layers.NAME, quantization, open_layers)


def candidates(k: int) -> Iterator[Candidate]:
    """Yields the candidates for layers with that K; blocks are whole."""
    block = 64 if k % 64 == 0 else 16
    for bits in (2, 3, 4, 8):
        yield ours(QuantSpec(bits=bits, activation_bits=8))
    for bits in (2, 3, 4):
        yield ours(QuantSpec(bits=bits, block_size=block, activation_bits=8))
    yield ours(QuantSpec(bits=2, block_size=block, symmetric=False, activation_bits=8))
    yield ours(QuantSpec(bits=2, block_size=block, scheme="half_integer", activation_bits=8))
    yield ours(QuantSpec(bits=1, block_size=block, scheme="binary", activation_bits=8))
    for sparsity in ("2:4", "1:4"):
        yield ours(QuantSpec(bits=4, block_size=block, activation_bits=8, sparsity=sparsity))
    in_float = Quantization(weight_bits=32, activation_bits=32)
    yield Candidate(
        litert_layers.NAME, in_float, lambda k, n, copies: LiteRtLayers(random_kernel(k, n), copies), "float"
    )
    for bits in (8, 4, 2):
        yield litert(QuantSpec(bits=bits))
    for block_size in (32, 64):
        if k % block_size == 0:
            yield litert(QuantSpec(bits=4, block_size=block_size))
    yield Candidate(
        onnx_layers.NAME,
        in_float,
        lambda k, n, copies: OnnxLayers(float_weights(random_kernel(k, n)), copies),
        "float",
    )
    yield Candidate(
        onnx_layers.NAME,
        Quantization.of_spec(QuantSpec(bits=8), activation_bits=8),
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
    """Checks the first and the last layer, but for the first channels, which tell the copies apart.

    Raises:
      InputError: they compute wrong numbers, so that their time means nothing.
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
        gemm = row.gemm
        assert gemm is not None
        click.echo(
            f"{gemm.k}x{gemm.n} M={gemm.m:<4}{row.implementation:<20}{scheme(row.quantization):<60}"
            f"{gemm.time_us:.1f} us {gemm.gops:.0f} GOPS {gemm.limit_fraction:.0%}"
        )


if __name__ == "__main__":
    main()
