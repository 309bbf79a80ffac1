"""Modelled cycles of the hot loops of dense layers on 64-bit Arm: this project's and those of LiteRT's wheel.

    python -m benchmarks.arm_cycles --output results/arm_cycles.json

An emulator runs a layer and finds the innermost loop that multiplies; llvm-mca computes the cycles that the loop takes
on several cores. It assumes that all data are in the first cache, and counts the loop alone: not the packing of x, and
what is done once for a block of weights only where the loop is executed once for each. Multiply-adds are those that the
layer needs: a kernel that computes rows or channels in vain takes more cycles for each. This project's operations are
compiled by clang, as for Android.
"""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.arm_instructions import Counter, checked_count, layers, parse_counts
from benchmarks.arm_machine import CLANG
from benchmarks.tables import cycles_table
from tfconformer.errors import InputError
from tfconformer.programs import find_program
from tfconformer.reports.provenance import results_of_this_process
from tfconformer.reports.results import write_results
from tfconformer.reports.rows import Execution, Gemm, ModelledCycles, ResultRow

# Emulated processor -> modelled cores that have its instructions, as llvm-mca names them. Its models of Cortex-A76 and
# X1 are those of older cores: Neoverse N1 and V1 are their siblings; N2 and V2 are those of Cortex-A710 and X3.
CORES = {
    "cortex-a76": ("cortex-a55", "neoverse-n1", "neoverse-v1"),
    "max,sve=off,sme=off": ("cortex-a510", "neoverse-n2", "neoverse-v2"),
}
SHAPE = (512, 512)
ROWS = (1, 4, 16, 64)
UNIT = 64  # multiply-adds that the cycles are given for
_ITERATIONS = 200
_FEATURES = "+dotprod,+i8mm,+fullfp16,+bf16"
_PRODUCTS = {"sdot": 16, "usdot": 16, "smmla": 32, "usmmla": 32}  # multiply-adds of an instruction


@dataclass(frozen=True)
class Block:
    """A straight sequence of instructions that was executed.

    Attributes:
      address: of the first.
      executions: number of times that it was executed.
      products: number of instructions that multiply.
      instructions: their codes.
    """

    address: int
    executions: int
    products: int
    instructions: tuple[int, ...]

    @property
    def end(self) -> int:
        """Address after the last instruction."""
        return self.address + 4 * len(self.instructions)

    @property
    def target(self) -> int | None:
        """Address that the last instruction may jump to, or None for another instruction."""
        code = self.instructions[-1]
        if code & 0xFF000010 == 0x54000000 or code & 0x7E000000 == 0x34000000:  # b.cond, cbz, cbnz
            words = _signed(code >> 5, 19)
        elif code & 0x7E000000 == 0x36000000:  # tbz, tbnz
            words = _signed(code >> 5, 14)
        elif code & 0xFC000000 == 0x14000000:  # b
            words = _signed(code, 26)
        else:
            return None
        return self.end - 4 + 4 * words


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def parse_blocks(text: str) -> list[Block]:
    """Parses the blocks that `count_instructions.c` writes."""
    blocks = []
    for line in text.splitlines():
        word, *numbers = line.split()
        if word == "block":
            address, executions, products, *codes = (int(number, 16) for number in numbers)
            blocks.append(Block(address, executions, products, tuple(codes)))
    return blocks


def hot_loop(blocks: Sequence[Block]) -> tuple[int, ...]:
    """Returns the instructions of the innermost loop that multiplies, in the order of their execution.

    A loop may be several blocks: those end at jumps, with pages of memory, and where QEMU has enough.

    Raises:
      InputError: no loop is among the blocks.
    """
    by_address = {block.address: block for block in sorted(blocks, key=lambda block: block.executions)}
    loops = []
    for first in by_address.values():
        chain = _cycle(first, by_address)
        if any(block.products for block in chain):
            codes = tuple(code for block in chain for code in block.instructions)
            loops.append((min(block.executions for block in chain), -first.address, codes))
    if not loops:
        raise InputError("the blocks that multiply are no loop")
    return max(loops)[-1]


def _cycle(first: Block, by_address: Mapping[int, Block]) -> list[Block]:
    """Returns the blocks from `first` until it is executed again; none if it is not.

    What follows a block is executed next, unless it is executed less than half as often: then the block jumps.
    """
    chain = [first]
    while True:
        last = chain[-1]
        after = by_address.get(last.end)
        if (after is None or 2 * after.executions < last.executions) and last.target is not None:
            after = by_address.get(last.target)
        if after is first:
            return chain
        if after is None or after in chain:
            return []
        chain.append(after)


def assembly(codes: Sequence[int]) -> str:
    """Returns the loop as llvm-mca reads it: jumps go to a label at its beginning."""
    words = " ".join(f"0x{byte:02x}" for code in codes for byte in code.to_bytes(4, "little"))
    command = [find_program("llvm-mc-19"), "--disassemble", "--triple=aarch64", f"--mattr={_FEATURES}"]
    done = subprocess.run(command, input=words, capture_output=True, text=True, check=True)
    lines = [line.strip() for line in done.stdout.splitlines() if line.startswith("\t") and ".text" not in line]
    jump = re.compile(r"^((?:b(?:\.\w+)?|cbn?z|tbn?z)\s.*?)#-?\d+$")
    return "\n".join([".Lloop:", *(jump.sub(r"\1.Lloop", line) for line in lines), ""])


def multiply_adds(loop: str) -> int:
    """Returns those of one iteration."""
    return sum(_PRODUCTS.get(line.split()[0], 0) for line in loop.splitlines())


def modelled_cycles(loop: str, core: str) -> float:
    """Returns the cycles of one iteration.

    Raises:
      InputError: llvm-mca does not understand the loop.
    """
    options = ["-mtriple=aarch64", f"-mcpu={core}", f"-mattr={_FEATURES}", "-instruction-info=0"]
    command = [find_program("llvm-mca-19"), *options, f"-iterations={_ITERATIONS}"]
    done = subprocess.run(command, input=loop, capture_output=True, text=True, check=False)
    found = re.search(r"Total Cycles:\s+(\d+)", done.stdout)
    if found is None:
        raise InputError(f"llvm-mca cannot model the loop: {done.stderr.strip()[:200]}")
    return int(found[1]) / _ITERATIONS


def measure(counter: Counter, m: int) -> Iterator[ResultRow]:
    """Models all layers of SHAPE.

    Raises:
      InputError: one computes wrong numbers, so that its loop means nothing.
    """
    k, n = SHAPE
    for layer, cpu in itertools.product(list(layers(k, n)), CORES):
        implementation, quantization, _ = layer
        text = checked_count(counter, layer, m, cpu)
        loop = assembly(hot_loop(parse_blocks(text)))
        instructions = sum(line.split()[0] in _PRODUCTS for line in loop.splitlines())
        executed = parse_counts(text).products * multiply_adds(loop) / instructions
        kept, group = map(int, (quantization.sparsity or "1:1").split(":"))
        needed = m * k * n * kept / group
        for core in CORES[cpu]:
            yield ResultRow(
                quantization=quantization,
                execution=Execution(threads=1),
                implementation=implementation,
                gemm=Gemm(k=k, n=n, m=m),
                modelled_cycles=ModelledCycles(
                    core=core, cycles=UNIT * modelled_cycles(loop, core) / multiply_adds(loop) * executed / needed
                ),
            )


@click.command()
@click.option("--rows", type=click.IntRange(min=1), multiple=True, default=ROWS, metavar="M")
@click.option("--output", type=click.Path(path_type=Path), help="Results file to write (JSON).")
def main(rows: tuple[int, ...], output: Path | None) -> None:
    """Model the hot loops of dense layers of every number of rows, and print a table of them."""
    counter = Counter.prepare(CLANG)
    found: list[ResultRow] = []
    for m in rows:
        found += measure(counter, m)
        if output is not None:
            write_results(output, results_of_this_process(rows=tuple(found)))
    click.echo(cycles_table(found))


if __name__ == "__main__":
    main()
