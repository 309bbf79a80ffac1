"""Runs many cases of the mutation fuzzing of files.

python -m tests.converters.flatbuffer.fuzz --cases 5000 --seed 1 [FILE.tflite...]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import click

from converters.runtime.model import RUNTIMES
from tests.converters.flatbuffer.fuzz.harness import run
from tests.support.small_files import write_recognizer

_CHUNK = 250


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--cases", type=click.IntRange(min=1), default=5000, show_default=True)
@click.option("--first", type=click.IntRange(min=0), default=0, show_default=True, help="Number of the first case.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--runtime", type=click.Choice(RUNTIMES), default="ai-edge-litert", show_default=True)
def main(files: tuple[Path, ...], cases: int, first: int, seed: int, runtime: str) -> None:
    """Mutate FILES, by default a hand-made recognizer, and open them as the commands do."""
    start = time.monotonic()
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_recognizer(folder / "recognizer.tflite")
        bases = [path.read_bytes() for path in files or (folder / "recognizer.tflite",)]
        for at in range(first, first + cases, _CHUNK):
            counts, faults = run(folder, bases, seed, range(at, min(at + _CHUNK, first + cases)), runtime)
            total += counts
            for number, fault in faults.items():
                print(f"--seed {seed} --first {number} --cases 1: {fault}")
    print(f"{total['ran']} ran and {total['refused']} were refused in one sentence in {time.monotonic() - start:.0f} s")
    sys.exit(total.total() < cases)


if __name__ == "__main__":
    main()
