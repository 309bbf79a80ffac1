"""A `.tflite` recognizer, or model of conversion, in a process of its own.

    with IsolatedRecognizer("int4.tflite", runtime="ai-edge-litert") as recognizer:
        ids = recognizer.decode(waveform).ids

The process imports the runtime and NumPy, but neither TensorFlow nor Keras (unless TensorFlow is the chosen runtime).
So its peak memory is that of the model and the runtime, and a model that crashes ends only the child.

Protocol, on the child's standard input and output: the child first reads the settings of the search as one JSON line,
and writes the name of the runtime as another. Every utterance is sent as a count and float32 samples, little-endian,
and answered by one JSON line. The child takes one utterance at a time, so that the parent's work between two of them
does not disturb the timing.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NoReturn, TextIO

import numpy as np

from converters.runtime.child_process import child_command
from converters.runtime.conversion import CONVERSION, convert_utterance
from converters.runtime.search import new_search
from tfconformer.decoding.beam import BeamSearch
from tfconformer.errors import InputError

OPEN_MODEL = "converters.runtime.model:open_model"
_COUNT = np.dtype("<i8")
_SAMPLE = np.dtype("<f4")


@dataclass(frozen=True)
class Decoded:
    """The answer to one utterance.

    Attributes:
      ids: labels in [1, vocabulary].
      seconds: time from the waveform to the labels or the converted speech, which includes resizing the input, the
        front end and the search, but not the transfer of the waveform between the processes.
      peak_rss_bytes: peak resident memory of the process so far: Python, NumPy, runtime and model.
      kernel: the implementation that multiplies the quantized weights.
      components: compute time in seconds of each component of a model of conversion; none of a recognizer.
      stopped: False if the decoder of a conversion was cut off.
    """

    ids: list[int]
    seconds: float
    peak_rss_bytes: int
    kernel: str
    components: dict[str, float] = field(default_factory=dict)
    stopped: bool = True


class IsolatedRecognizer:
    """A recognizer in a child process; a context manager, which ends the process.

    Args:
      model_path: an exported `.tflite`.
      runtime: one of `converters.runtime.model.RUNTIMES`.
      threads: maximum number of threads of an operation.
      open_model: `module:function` that opens the model in the child.
      beam: settings of a beam search; None searches greedily.

    Attributes:
      runtime: name and version of the runtime.

    Raises:
      InputError: the runtime or the file is not usable, or a signal ended the process.
      RuntimeError: the process ended by itself, which is a fault of this program.
    """

    def __init__(
        self,
        model_path: str | os.PathLike[str],
        runtime: str,
        threads: int = 1,
        open_model: str = OPEN_MODEL,
        beam: BeamSearch | None = None,
    ) -> None:
        self._model_path = Path(model_path)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        arguments = [str(self._model_path), runtime, str(threads), open_model]
        self._process = subprocess.Popen(
            child_command(__name__, *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        try:
            self._write(json.dumps(beam and asdict(beam), default=str).encode() + b"\n")
            self.runtime: str = self._receive("the opening of the model")["runtime"]
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> IsolatedRecognizer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def decode(self, waveform: np.ndarray, name: str = "an utterance") -> Decoded:
        """Recognizes one utterance.

        Args:
          waveform: [samples] float in [-1, 1].
          name: name of the utterance in error messages.

        Raises:
          InputError: the model cannot run on the waveform, its output holds a NaN, or a signal ended the process.
          RuntimeError: the process ended by itself, which is a fault of this program.
        """
        samples = np.ascontiguousarray(waveform, _SAMPLE)
        if samples.ndim != 1:
            raise ValueError(f"waveform must have shape [samples], got {list(samples.shape)}")
        self._write(np.array(len(samples), _COUNT).tobytes() + samples.tobytes())
        try:
            return Decoded(**self._receive(name))
        except InputError as error:
            raise InputError(f"{name}: {error}") from None

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._log.close()

    def _write(self, request: bytes) -> None:
        assert self._process.stdin is not None
        # If the child died, `_receive` raises the error with the reason.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(request)
            self._process.stdin.flush()

    def _receive(self, what: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            self._raise_death(what)
        answer = json.loads(line)
        if "error" in answer:
            raise InputError(answer["error"])
        return answer

    def _raise_death(self, what: str) -> NoReturn:
        code = self._process.wait()
        if code < 0:
            raise InputError(
                f"{self._model_path}: the process that runs it was killed by {signal.Signals(-code).name}; the file is "
                "damaged, or the memory does not suffice"
            )
        self._log.seek(0)
        last_words = self._log.read().decode("utf-8", "replace").strip()[-2000:]
        raise RuntimeError(f"the process running {self._model_path} ended with status {code} ({last_words}) at {what}")


def main() -> None:
    """Runs the child process: opens the model of `sys.argv` and answers one utterance at a time."""
    model_path, runtime, threads, open_model = sys.argv[1:]
    settings = json.loads(sys.stdin.buffer.readline())
    beam = settings and BeamSearch(**{**settings, "hotwords": tuple(settings["hotwords"])})
    # Output of native libraries goes to standard error, so that it does not mix with the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    module, _, function = open_model.partition(":")
    try:
        model = getattr(importlib.import_module(module), function)(model_path, runtime, threads=int(threads))
        if model.metadata.task.name != CONVERSION:
            new_search(model, beam)  # raises the error before the first utterance, if the model has no such search
    except InputError as error:
        _send(answers, {"error": str(error)})
        return
    _send(answers, {"runtime": model.runtime})
    _serve(model, model_path, beam, sys.stdin.buffer, answers)


def _serve(model: Any, model_path: str, beam: BeamSearch | None, requests: BinaryIO, answers: TextIO) -> None:
    kernel = None
    while header := requests.read(_COUNT.itemsize):
        (count,) = np.frombuffer(header, _COUNT)
        waveform = np.frombuffer(requests.read(int(count) * _SAMPLE.itemsize), _SAMPLE)
        try:
            decoded = _decode(model, model_path, beam, waveform)
        except InputError as error:
            _send(answers, {"error": str(error)})
            continue
        # Available after the first run, constant from then on, and slow to query.
        kernel = kernel or model.kernels().name
        _send(answers, {**decoded, "peak_rss_bytes": _peak_rss_bytes(), "kernel": kernel})


def _decode(model: Any, model_path: str, beam: BeamSearch | None, waveform: np.ndarray) -> dict[str, Any]:
    """Returns what `Decoded` has of an utterance, but for the process."""
    try:
        if model.metadata.task.name == CONVERSION:
            converted = convert_utterance(model, waveform)
            seconds = converted.seconds
            found = {"ids": converted.ids, "stopped": converted.stopped, "components": seconds}
            return {**found, "seconds": sum(seconds.values())}
        start = time.perf_counter()
        outputs, search = model.run(waveform), new_search(model, beam)
        search.push(outputs)
        return {"ids": search.ids, "seconds": time.perf_counter() - start}
    except ValueError as error:
        raise InputError(f"the output of {model_path} cannot be decoded: {error}") from error


def _send(answers: TextIO, message: dict[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def _peak_rss_bytes() -> int:
    # Not getrusage: on Linux its high-water mark survives exec, so a child would start with its parent's.
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no VmHWM")
