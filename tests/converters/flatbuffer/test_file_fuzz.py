"""Randomly edited files are refused in one sentence or run; `python -m tests.converters.flatbuffer.fuzz` runs more."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.converters.flatbuffer.fuzz.harness import open_in_process, run
from tests.support.small_files import write_recognizer

SECONDS = 6.0
SEED = 31


@pytest.mark.usefixtures("native_library")
def test_edited_files_neither_crash_nor_end_in_a_traceback(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    write_recognizer(tmp_path / "recognizer.tflite")
    end = time.monotonic() + SECONDS
    base = (tmp_path / "recognizer.tflite").read_bytes()
    counts, faults = run(
        tmp_path, [base], SEED, range(1, 300), open_in_process("ai-edge-litert"), lambda: time.monotonic() > end
    )
    assert not faults
    assert counts["refused"] > counts["ran"] > 0
