"""Runs many cases of the mutation fuzzing, on all cores.

python -m tests.converters.custom_ops.fuzz --cases 1000000 --seed 1
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from converters.custom_ops import kernel_names
from tests.converters.custom_ops.fuzz.harness import Counts, build, run, write_corpus

CHUNK = 20_000


@click.command()
@click.option("--cases", type=click.IntRange(min=1), default=1_000_000, show_default=True)
@click.option("--first", type=click.IntRange(min=0), default=0, show_default=True, help="Number of the first case.")
@click.option("--seed", type=int, default=1, show_default=True)
def main(cases: int, first: int, seed: int) -> None:
    """Mutate valid nodes and run them through the delegate, under AddressSanitizer and UBSan."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(os.cpu_count()) as pool:
        folder = Path(name)
        program, corpus, kernels = build(folder), write_corpus(folder / "corpus"), kernel_names()
        chunks = [(at, min(CHUNK, first + cases - at)) for at in range(first, first + cases, CHUNK)]
        total = Counts(0, 0, 0)
        for counts in pool.map(lambda chunk: run(program, corpus, seed, *chunk, kernels), chunks):
            total = Counts(*(a + b for a, b in zip(total, counts, strict=True)))
    print(f"{cases} cases of seed {seed} from {first} on, kernels {', '.join(kernels)}: no sanitizer report")
    print(f"{total.run} ran, {total.refused} were refused with one sentence, {total.skipped} asked for too much memory")
    print(f"{time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    try:
        main()
    except AssertionError as error:
        sys.exit(str(error))
