"""Runs many cases of the mutation fuzzing of inputs.

python -m tests.data.fuzz --cases 100000 --seed 1
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import click

from tests.data.fuzz.harness import run


@click.command()
@click.option("--cases", type=click.IntRange(min=1), default=100_000, show_default=True)
@click.option("--first", type=click.IntRange(min=0), default=0, show_default=True, help="Number of the first case.")
@click.option("--seed", type=int, default=1, show_default=True)
def main(cases: int, first: int, seed: int) -> None:
    """Mutate manifests, transcripts, configurations and audio files, and read them."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = run(Path(folder), seed, first, cases)
    for outcome, count in sorted(outcomes.items()):
        print(f"{outcome:24}{count:9,}")
    print(f"{cases:,} cases of seed {seed} from {first} on in {time.monotonic() - start:.0f} s: no other outcome")


if __name__ == "__main__":
    main()
