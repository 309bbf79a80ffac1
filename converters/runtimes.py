"""Running an exported model in the TFLite runtimes: one small interface to all of them.

    model = open_model("model.tflite", "ai-edge-litert")
    logits = model.run(waveform)

Every runtime gets the operation of `custom_ops` as an external delegate.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
from collections import Counter
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.custom_ops import OPERATION_NAME, kernel_names, library_path
from converters.tflite_file import TfliteFile, read_tflite
from tfconformer.errors import InputError

_INTERPRETERS = {
    "tflite-runtime": "tflite_runtime.interpreter",
    "tensorflow": "tensorflow.lite.python.interpreter",
    "ai-edge-litert": "ai_edge_litert.interpreter",
}
RUNTIMES = tuple(_INTERPRETERS)
SIGNATURE = "transcribe"
METADATA = "TFCONFORMER"


@dataclass(frozen=True)
class KernelUse:
    """Who computes a model.

    Attributes:
      name: implementation of our operation ("reference"); in a model without it "xnnpack" or "builtin".
      custom_nodes: nodes that our library computes.
      delegate_nodes: parts of the graph that a delegate computes, ours or the runtime's own (XNNPACK).
      operations: how often each operation is in the graph as it stands in the file.
    """

    name: str
    custom_nodes: int
    delegate_nodes: int
    operations: dict[str, int]


class Model:
    """An exported recognizer in one runtime. Not for use from several threads at once.

    Attributes:
      path: the file.
      runtime: name and version, as in "ai-edge-litert 2.3.0".
    """

    def __init__(self, path: str, runtime: str, file: TfliteFile, interpreter: Any, kernel: str | None) -> None:
        """Wraps an interpreter; `kernel` is the implementation of our operation, None in a model without it."""
        self.path = path
        self.runtime = f"{runtime} {importlib.metadata.version(runtime)}"
        self._file = file
        self._interpreter = interpreter
        self._kernel = kernel
        self._transcribe = interpreter.get_signature_runner(SIGNATURE)

    def run(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Computes logits [frames, vocabulary + 1] of a waveform [samples] in [-1, 1].

        Raises:
          InputError: the waveform is not one-dimensional and real, or the runtime cannot compute the model on it, for
            example because it is too short.
        """
        samples = np.ascontiguousarray(waveform, np.float32)
        if samples.ndim != 1:
            raise InputError(f"{self.path}: a waveform has the shape [samples], got {list(samples.shape)}")
        try:
            logits = self._transcribe(waveform=samples[np.newaxis])["logits"]
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"{self.path}: {self.runtime} cannot compute it on {samples.size} samples ({_one_line(error)})"
            ) from error
        if logits.ndim != 3 or logits.shape[0] != 1:
            raise InputError(f"{self.path}: its logits should be [1, frames, vocabulary], got {list(logits.shape)}")
        return np.asarray(logits[0], np.float32)

    def metadata(self) -> dict[str, Any]:
        """What the exporter wrote into the file: format, tokenizer, config, layers.

        Raises:
          InputError: the file has no such metadata, or they are not what this version writes.
        """
        try:
            content = json.loads(self._file.metadata[METADATA])
        except KeyError as error:
            raise InputError(
                f"{self.path}: it has no {METADATA} metadata, so it was not written by `tfconformer export`"
            ) from error
        except ValueError as error:
            raise InputError(f"{self.path}: its {METADATA} metadata are not JSON ({error})") from error
        if not isinstance(content, dict):
            raise InputError(f"{self.path}: its {METADATA} metadata should be a JSON object")
        return content

    def kernels(self) -> KernelUse:
        """Who computes the model, complete after the first `run`: the runtime's own delegate comes with it."""
        # The only list of nodes that the runtimes give; the same private method in all of them.
        operations = Counter(node["op_name"] for node in self._interpreter._get_ops_details())
        delegate_nodes = operations.pop("DELEGATE", 0)
        name = self._kernel or ("xnnpack" if delegate_nodes else "builtin")
        return KernelUse(name, operations[OPERATION_NAME], delegate_nodes, dict(operations))


def open_model(path: str | os.PathLike[str], runtime: str = "ai-edge-litert", threads: int = 1) -> Model:
    """Opens an exported recognizer in a runtime.

    Args:
      path: a `.tflite` file whose signature "transcribe" goes from "waveform" [1, samples] to "logits" [1, frames,
        vocabulary + 1].
      runtime: one of `RUNTIMES`.
      threads: at most so many for an operation.

    Raises:
      InputError: the file is missing, damaged or no recognizer, the runtime is unknown, not installed or does not know
        an operation of the file, or the native library is missing though the file needs it.
    """
    name = os.fspath(path)
    if threads < 1:
        raise InputError(f"threads must be at least 1, got {threads}")
    module = _import_runtime(runtime)
    file = read_tflite(name)
    _check_recognizer(name, file)
    kernel, delegates = None, []
    if OPERATION_NAME in file.custom_operations:
        kernel = kernel_names()[0]
        delegates = [module.load_delegate(str(library_path()))]
    try:
        interpreter = module.Interpreter(model_path=name, experimental_delegates=delegates, num_threads=threads)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{name}: {runtime} cannot load it ({_one_line(error)})") from error
    return Model(name, runtime, file, interpreter, kernel)


def _import_runtime(runtime: str) -> ModuleType:
    if runtime not in _INTERPRETERS:
        raise InputError(f"unknown runtime {runtime!r}, expected one of {', '.join(RUNTIMES)}")
    try:
        return importlib.import_module(_INTERPRETERS[runtime])
    except ImportError as error:
        raise InputError(f"the runtime {runtime} is not installed ({_one_line(error)})") from error


def _check_recognizer(path: str, file: TfliteFile) -> None:
    unknown = sorted(file.custom_operations - {OPERATION_NAME})
    if unknown:
        raise InputError(f"{path}: it needs the custom operation {unknown[0]!r}, expected none but {OPERATION_NAME!r}")
    signature = file.signatures.get(SIGNATURE)
    if signature is None:
        raise InputError(f"{path}: it has no signature {SIGNATURE!r}, expected one from waveform to logits")
    if signature.inputs != {"waveform"} or signature.outputs != {"logits"}:
        ends = f"{sorted(signature.inputs)} to {sorted(signature.outputs)}"
        raise InputError(f"{path}: its signature {SIGNATURE!r} goes from {ends}, expected from waveform to logits")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
