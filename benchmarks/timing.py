"""Timing of several functions in turn, so that a machine that gets busier or warmer touches all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping


def interleaved_seconds(
    runs: Mapping[str, Callable[[], None]], rounds: int, seconds_per_turn: float = 0.02
) -> dict[str, list[float]]:
    """Measures the CPU seconds of one call of every run, round by round.

    The CPU time of the whole process counts, so that work in other threads is not free. Whatever else runs on the
    machine costs no CPU time of ours, but it shares caches and memory: take the least or the median of the rounds.

    Args:
      runs: name -> function to time; each is called once before, not timed.
      rounds: number of turns of every run.
      seconds_per_turn: short runs are called so often in a turn that it lasts about as long.
    """
    repeats = {}
    for name, run in runs.items():
        run()
        repeats[name] = max(1, round(seconds_per_turn / max(_seconds(run, 1), 1e-9)))
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            seconds[name].append(_seconds(run, repeats[name]))
    return seconds


def _seconds(run: Callable[[], None], repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        run()
    return (time.process_time() - start) / repeats
