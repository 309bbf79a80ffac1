"""Randomly edited files are refused in one sentence or run; `python -m tests.converters.flatbuffer.fuzz` runs more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.converters.flatbuffer.fuzz.harness import open_in_process, run
from tests.support.small_files import write_recognizer, write_stream

CASES = 200  # some five seconds
SEED = 31


@pytest.mark.usefixtures("native_library")
def test_edited_files_neither_crash_nor_end_in_a_traceback(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    files = [tmp_path / "recognizer.tflite", tmp_path / "stream.tflite"]
    write_recognizer(files[0])
    write_stream(files[1])
    bases = [file.read_bytes() for file in files]
    counts, faults = run(tmp_path, bases, SEED, range(1, CASES), open_in_process("ai-edge-litert"))
    assert not faults
    assert counts["refused"] > counts["ran"] > 0
