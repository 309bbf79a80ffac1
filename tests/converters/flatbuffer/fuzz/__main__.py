"""Runs many cases of the mutation fuzzing of files.

python -m tests.converters.flatbuffer.fuzz --cases 5000 --seed 1 [--commands] [FILE.tflite...]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import click

from converters.runtime.model import RUNTIMES
from tests.converters.flatbuffer.fuzz.harness import cheap_commands, open_by_commands, open_in_process, run
from tests.support.small_files import write_recognizer, write_stream, write_test_set

_CHUNK = 250


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--cases", type=click.IntRange(min=1), default=5000, show_default=True)
@click.option("--first", type=click.IntRange(min=0), default=0, show_default=True, help="Number of the first case.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--runtime", type=click.Choice(RUNTIMES), default="ai-edge-litert", show_default=True)
@click.option("--commands", is_flag=True, help="Run the commands themselves, not their functions.")
def main(files: tuple[Path, ...], cases: int, first: int, seed: int, runtime: str, commands: bool) -> None:
    """Mutate FILES, by default two hand-made recognizers, and open them as the commands do."""
    start = time.monotonic()
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name, cheap_commands():
        folder = Path(name)
        own = [folder / "recognizer.tflite", folder / "stream.tflite"]
        write_recognizer(own[0])
        write_stream(own[1])
        write_test_set(folder, "test", count=1)
        opening = open_in_process(runtime)
        if commands:
            opening = open_by_commands(folder / "test-*.tfrecord", folder / "test-0.wav", runtime)
        bases = [path.read_bytes() for path in files or own]
        for at in range(first, first + cases, _CHUNK):
            counts, faults = run(folder, bases, seed, range(at, min(at + _CHUNK, first + cases)), opening)
            total += counts
            for number, fault in faults.items():
                print(f"--seed {seed} --first {number} --cases 1: {fault}")
    print(f"{total['ran']} ran and {total['refused']} were refused in one sentence in {time.monotonic() - start:.0f} s")
    sys.exit(total.total() < cases)


if __name__ == "__main__":
    main()
