"""Instructions of dense layers on 64-bit Arm, this project's and those of LiteRT's wheel, counted in an emulator.

    python -m benchmarks.arm_instructions --output results/arm_instructions.json

This project's operations are compiled by clang, as for Android. Counts are exact and the same on every machine. They
are no times: these depend on caches, memory, and on how many instructions a processor begins at once.
"""

from __future__ import annotations

import itertools
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.arm_machine import CLANG, GCC, LITERT, OUTPUT, REPOSITORY, ArmMachine
from benchmarks.litert_layers import NAME
from benchmarks.random_weights import random_builtin, random_packed
from benchmarks.tables import layer_table, thousands_of_instructions
from converters.capability.layer_file import layer_graph
from converters.custom_ops import COMPILER_FLAGS
from converters.exporter.pack import PackedWeights
from converters.exporter.pack_builtin import BuiltinWeights
from tfconformer.errors import InputError
from tfconformer.programs import find_program, run_program
from tfconformer.quantization.spec import QuantSpec
from tfconformer.reports.provenance import results_of_this_process
from tfconformer.reports.results import write_results
from tfconformer.reports.rows import Execution, Gemm, InstructionCounts, Quantization, ResultRow
from tfconformer.reports.tables import scheme

SHAPES = ((512, 512), (512, 2048))
ROWS = (1, 4, 16, 64)
CPU = "cortex-a76"
RUNS = 4
# Largest root mean square error against float, relative: 8-bit activations cost about 1 %.
TOLERANCE = 0.05
QuantizedWeights: TypeAlias = PackedWeights | BuiltinWeights
Layer: TypeAlias = tuple[str, Quantization, QuantizedWeights]
_SOURCES = Path(__file__).parent


@dataclass(frozen=True)
class Counts:
    """Instructions of one run; `products` is the number of those that multiply and add signed bytes (sdot, smmla)."""

    instructions: int
    products: int


@dataclass(frozen=True)
class Counter:
    """The emulator with the plug-in that counts, and the program that runs a layer."""

    machine: ArmMachine
    plugin: Path
    program: Path
    library: Path
    runtime: Path

    @classmethod
    def prepare(cls, compiler: tuple[str, ...] = GCC) -> Counter:
        """Builds and fetches what is needed, this project's operations by that compiler.

        Raises:
          UnavailableError: a tool is not installed, or LiteRT's wheel cannot be had.
        """
        machine = ArmMachine.prepare(OUTPUT, compiler)
        plugin = machine.folder / "libcount_instructions.so"
        run_program(
            [find_program("gcc"), *COMPILER_FLAGS, "-shared", _SOURCES / "count_instructions.c", "-o", plugin],
            REPOSITORY,
        )
        program = machine.build_program(_SOURCES / "compiled_model.c")
        runtime = LITERT.fetch() / "ai_edge_litert/libLiteRt.so"
        return cls(machine, plugin, program, machine.build_library(), runtime)

    def count(
        self, weights: QuantizedWeights, x: NDArray[np.float32], cpu: str = CPU
    ) -> tuple[str, NDArray[np.float32]]:
        """Computes a layer; returns what `count_instructions.c` writes, and y [M, N].

        Raises:
          InputError: the program fails; the message is its last line.
        """
        n = weights.dequantize().shape[1]
        library = self.library if isinstance(weights, PackedWeights) else ""
        with tempfile.TemporaryDirectory() as folder:
            model, counts = Path(folder) / "model.tflite", Path(folder) / "counts"
            model.write_bytes(layer_graph([weights], len(x)))
            words = [self.program, self.runtime, library, model, *map(str, (*x.shape, n, RUNS))]
            options = ["-d", "plugin", "-D", str(counts), "-plugin", str(self.plugin)]
            command = self.machine.command(words, cpu, options)
            done = subprocess.run(command, input=x.tobytes(), capture_output=True, check=False)
            if done.returncode:
                raise InputError(f"the emulated program failed: {done.stderr.decode().strip().splitlines()[-1]}")
            return counts.read_text(), np.frombuffer(done.stdout, np.float32).reshape(len(x), n)


def parse_counts(text: str) -> Counts:
    """Reads the first line of `count_instructions.c`, and divides it by the number of regions, which are runs."""
    words = text.splitlines()[0].split()
    values = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    return Counts(round(values["instructions"] / values["regions"]), round(values["products"] / values["regions"]))


def layers(k: int, n: int) -> Iterator[Layer]:
    """Yields the layers to count: implementation, scheme, weights; all have 8-bit activations."""
    for bits in (2, 4, 8):
        for sparsity in (None, "2:4", "1:4"):
            yield _ours(QuantSpec(bits=bits, activation_bits=8, sparsity=sparsity), k, n)
    yield _ours(QuantSpec(bits=3, activation_bits=8), k, n)
    for bits, block_size in ((2, 64), (3, 64), (4, 32), (4, 64), (4, 128)):
        yield _ours(QuantSpec(bits=bits, block_size=block_size, activation_bits=8), k, n)
    yield _ours(QuantSpec(bits=2, block_size=64, symmetric=False, activation_bits=8), k, n)
    builtin = [QuantSpec(bits=bits) for bits in (2, 4, 8)] + [QuantSpec(bits=4, block_size=size) for size in (32, 128)]
    for spec in builtin:
        yield NAME, Quantization.of_spec(spec, activation_bits=8), random_builtin(spec, k, n)


def _ours(spec: QuantSpec, k: int, n: int) -> Layer:
    return "tfconformer", Quantization.of_spec(spec, activation_bits=8), random_packed(spec, k, n)


def checked_count(counter: Counter, layer: Layer, m: int, cpu: str = CPU) -> str:
    """Counts a layer of `layers` on m random rows, see `Counter.count`.

    Raises:
      InputError: it computes wrong numbers, so that its count means nothing.
    """
    implementation, quantization, weights = layer
    matrix = weights.dequantize()
    x = np.random.default_rng(m).standard_normal((m, len(matrix)), np.float32)
    text, y = counter.count(weights, x, cpu)
    expected = x @ matrix
    error = np.linalg.norm(y - expected) / np.linalg.norm(expected)
    if not error < TOLERANCE:
        raise InputError(f"{implementation}, {scheme(quantization)}, computes wrong numbers: error {error:.2g}")
    return text


def measure(counter: Counter, k: int, n: int, m: int) -> Iterator[ResultRow]:
    """Counts all layers of a shape.

    Raises:
      InputError: one computes wrong numbers, so that its count means nothing.
    """
    for implementation, quantization, weights in layers(k, n):
        counts = parse_counts(checked_count(counter, (implementation, quantization, weights), m))
        yield ResultRow(
            quantization=quantization,
            execution=Execution(threads=1),
            implementation=implementation,
            gemm=Gemm(k=k, n=n, m=m),
            instruction_counts=InstructionCounts(
                isa=CPU, instructions=counts.instructions, product_instructions=counts.products
            ),
        )


@click.command()
@click.option("--shape", "shapes", type=(int, int), multiple=True, default=SHAPES, metavar="K N")
@click.option("--rows", type=click.IntRange(min=1), multiple=True, default=ROWS, metavar="M")
@click.option("--output", type=click.Path(path_type=Path), help="Results file to write (JSON).")
def main(shapes: tuple[tuple[int, int], ...], rows: tuple[int, ...], output: Path | None) -> None:
    """Count the instructions of dense layers of every shape and number of rows, and print tables of them."""
    counter = Counter.prepare(CLANG)
    found: list[ResultRow] = []
    for (k, n), m in itertools.product(shapes, rows):
        found += measure(counter, k, n, m)
        if output is not None:
            write_results(output, results_of_this_process(rows=tuple(found)))
    for k, n in shapes:
        click.echo(layer_table(found, k, n, thousands_of_instructions))


if __name__ == "__main__":
    main()
