"""Random edits of valid inputs give a result or one sentence; `python -m tests.data.fuzz` runs more of them."""

from __future__ import annotations

import time
from pathlib import Path

from tests.data.fuzz.harness import KINDS, run

SECONDS = 5.0
SEED = 23


def test_edited_inputs_are_read_or_refused(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    end = time.process_time() + SECONDS
    outcomes = run(tmp_path, SEED, 0, 3000, should_stop=lambda: time.process_time() > end)
    assert {name.partition(" ")[0] for name in outcomes} == set(KINDS)
    assert {name.partition(" ")[2] for name in outcomes} == {"read", "refused"}
