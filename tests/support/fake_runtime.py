"""Stands in for `converters.runtime.model` in the child process of an `IsolatedRecognizer`."""

from __future__ import annotations

import os
import signal
import sys
import types
from pathlib import Path

import numpy as np

from tfconformer.errors import InputError

SAMPLES_PER_FRAME = 400
VOCABULARY = 30


class FakeModel:
    """Reads the ids to recognize out of the waveform: frame f says id `round(10 * waveform[400 f])`.

    Misbehaves as the name of its file demands.
    """

    runtime = "fake 1.0"
    metadata = types.SimpleNamespace(task=types.SimpleNamespace(name="recognition_ctc", search="ctc"))

    def __init__(self, path: str) -> None:
        self.behavior = Path(path).stem
        self.runs = 0

    def kernels(self) -> types.SimpleNamespace:
        assert self.runs, "the real one knows its kernel only after a run"
        return types.SimpleNamespace(name="fake kernel")

    def run(self, waveform: np.ndarray) -> np.ndarray:
        self.runs += 1
        if self.behavior == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.behavior == "raise":
            raise KeyError("a bug in the runtime")
        if self.behavior == "refuse":
            raise InputError("the interpreter cannot resize its input")
        if self.behavior == "modules":
            raise InputError(" ".join(sys.modules))
        if self.behavior == "chatter":
            os.write(1, b"a native library prints to standard output\n")
        if self.behavior == "hungry":
            np.ones(len(waveform) * 100, np.float32)
        if self.behavior == "runs":
            return np.eye(VOCABULARY + 1, dtype=np.float32)[[self.runs]]
        ids = np.rint(10 * waveform[::SAMPLES_PER_FRAME]).astype(int)
        logits = np.eye(VOCABULARY + 1, dtype=np.float32)[ids]
        return logits * np.nan if self.behavior == "nan" else logits


def open_model(path: str, runtime: str, threads: int) -> FakeModel:
    if runtime != "fake":
        raise InputError(f"unknown runtime {runtime}")
    if Path(path).stem == "dead":
        print("no such library", file=sys.stderr)
        sys.exit(3)
    return FakeModel(path)
