"""Loading exported files into the TFLite runtimes, each with the operation of `custom_ops` as an external delegate."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
from collections import Counter
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from converters.custom_ops import FULLY_CONNECTED, OPERATIONS, kernel_names, library_path
from converters.flatbuffer.reader import TfliteFile
from tfconformer.errors import InputError

_INTERPRETERS = {
    "tflite-runtime": "tflite_runtime.interpreter",
    "tensorflow": "tensorflow.lite.python.interpreter",
    "ai-edge-litert": "ai_edge_litert.interpreter",
}
RUNTIMES = tuple(_INTERPRETERS)
METADATA = "TFCONFORMER"


@dataclass(frozen=True)
class KernelUse:
    """Who computes a model.

    Attributes:
      name: kernel of our operation; in a model without it "xnnpack" or "builtin".
      custom_nodes: nodes of all graphs that our library computes, as no runtime has another implementation.
      delegate_nodes: parts of the graph that a delegate computes, ours or the runtime's own (XNNPACK).
      operations: how often each operation is in the first graph as it stands in the file.
    """

    name: str
    custom_nodes: int
    delegate_nodes: int
    operations: dict[str, int]


class LoadedFile:
    """An exported file in one runtime. Not for use from several threads at once.

    Attributes:
      path: the file.
      runtime: name and version, as in "ai-edge-litert 2.3.0".
      interpreter: of the runtime.
    """

    def __init__(self, path: str, runtime: str, file: TfliteFile, interpreter: Any, kernel: str | None) -> None:
        """Wraps an interpreter; `kernel` is the implementation of our operation, None in a model without it."""
        self.path = path
        self.runtime = f"{runtime} {importlib.metadata.version(runtime)}"
        self.interpreter = interpreter
        self._file = file
        self._kernel = kernel

    def metadata(self) -> dict[str, Any]:
        """As `parse_metadata`."""
        return parse_metadata(self.path, self._file)

    def kernels(self) -> KernelUse:
        """Who computes the model, complete after the first `run`: the runtime's own delegate comes with it."""
        # The only list of nodes that the runtimes give; the same private method in all of them.
        operations = Counter(node["op_name"] for node in self.interpreter._get_ops_details())
        delegate_nodes = operations.pop("DELEGATE", 0)
        name = self._kernel or ("xnnpack" if delegate_nodes else "builtin")
        custom_nodes = self._file.custom_operations.get(FULLY_CONNECTED, 0)
        return KernelUse(name, custom_nodes, delegate_nodes, dict(operations))


def parse_metadata(path: str, file: TfliteFile) -> dict[str, Any]:
    """What the exporter wrote into a file: format, tokenizer, config, layers.

    Raises:
      InputError: the file has no such metadata, or they are not what this version writes.
    """
    try:
        content = json.loads(file.metadata[METADATA])
    except KeyError as error:
        raise InputError(
            f"{path}: it has no {METADATA} metadata, so it was not written by `tfconformer export`"
        ) from error
    except ValueError as error:
        raise InputError(f"{path}: its {METADATA} metadata are not JSON ({error})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: its {METADATA} metadata should be a JSON object")
    return content


def load_file(path: str, file: TfliteFile, runtime: str, threads: int) -> LoadedFile:
    """Loads an exported file into a runtime.

    Args:
      path: a `.tflite` file.
      file: what `read_tflite` found in it.
      runtime: one of `RUNTIMES`.
      threads: at most so many for an operation.

    Raises:
      InputError: the runtime is unknown, not installed or does not know an operation of the file, or the native
        library is missing though the file needs it.
    """
    if threads < 1:
        raise InputError(f"threads must be at least 1, got {threads}")
    module = import_runtime(runtime)
    unknown = sorted(file.custom_operations.keys() - OPERATIONS.keys())
    if unknown:
        known = " and ".join(map(repr, sorted(OPERATIONS)))
        raise InputError(f"{path}: it needs the custom operation {unknown[0]!r}, expected none but {known}")
    kernel, delegates = None, []
    if file.custom_operations:
        kernel = kernel_names()[0]
        delegates = [module.load_delegate(str(library_path()))]
    try:
        interpreter = module.Interpreter(model_path=path, experimental_delegates=delegates, num_threads=threads)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{path}: {runtime} cannot load it ({one_line(error)})") from error
    return LoadedFile(path, runtime, file, interpreter, kernel)


def import_runtime(runtime: str) -> ModuleType:
    """The module of a runtime's interpreter.

    Raises:
      InputError: the runtime is unknown or not installed.
    """
    if runtime not in _INTERPRETERS:
        raise InputError(f"unknown runtime {runtime!r}, expected one of {', '.join(RUNTIMES)}")
    try:
        return importlib.import_module(_INTERPRETERS[runtime])
    except ImportError as error:
        raise InputError(f"the runtime {runtime} is not installed ({one_line(error)})") from error


def one_line(error: Exception) -> str:
    """An exception's message without its line breaks."""
    return " ".join(str(error).split())
