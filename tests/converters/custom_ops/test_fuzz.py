"""Damaged nodes under AddressSanitizer and UBSan for some seconds; `python -m` with `.fuzz` does more."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from converters.custom_ops import kernel_names
from tests.converters.custom_ops.fuzz.harness import build, run, write_corpus

SECONDS = 10
CHUNK = 500


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("fuzz"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "corpus")


def test_mutated_nodes_are_refused_or_run(program: Path, corpus: Path) -> None:
    seed = time.time_ns() % 2**32
    print(f"seed {seed}")
    end, first, ran, refused = time.monotonic() + SECONDS, 0, 0, 0
    while time.monotonic() < end:
        counts = run(program, corpus, seed, first, CHUNK, kernel_names())
        first, ran, refused = first + CHUNK, ran + counts.run, refused + counts.refused
    # Both ends are exercised: what is refused early tests no kernel.
    assert ran > first / 10
    assert refused > first / 10
