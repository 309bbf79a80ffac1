"""Loading exported files into the TFLite runtimes, each with the operation of `custom_ops` as an external delegate."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.custom_ops import FULLY_CONNECTED, OPERATIONS, kernel_names, library_path
from converters.flatbuffer.metadata import GraphDescription, ModelMetadata, show_tensor
from converters.flatbuffer.reader import TfliteFile
from converters.flatbuffer.signatures import check_tensors
from tfconformer.errors import InputError

_INTERPRETERS = {
    "tflite-runtime": "tflite_runtime.interpreter",
    "tensorflow": "tensorflow.lite.python.interpreter",
    "ai-edge-litert": "ai_edge_litert.interpreter",
}
RUNTIMES = tuple(_INTERPRETERS)


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
      graph: the first graph, which takes audio.
    """

    def __init__(
        self,
        path: str,
        runtime: str,
        file: TfliteFile,
        interpreter: Any,
        kernel: str | None,
        graphs: Sequence[GraphDescription],
    ) -> None:
        """Wraps an interpreter; `kernel` is the implementation of our operations, None in a model without them.

        Raises:
          InputError: a tensor of the file is not the one that its metadata describe.
        """
        self.path = path
        self.runtime = f"{runtime} {importlib.metadata.version(runtime)}"
        self.interpreter = interpreter
        self.graph = graphs[0]
        self._file = file
        self._kernel = kernel
        self._steps = {graph.signature: graph for graph in graphs[1:]}
        for graph in self._steps.values():
            runner = interpreter.get_signature_runner(graph.signature)
            check_tensors(path, runner.get_input_details(), graph.all_inputs)
            check_tensors(path, runner.get_output_details(), graph.all_outputs)

    @cached_property
    def metadata(self) -> ModelMetadata:
        """The metadata.

        Raises:
          InputError: the file has none.
        """
        return ModelMetadata.parse(self.path, self._file)

    def call(self, signature: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Calls a step graph once; returns its outputs and states by name.

        Raises:
          InputError: an input is another model's, or the runtime cannot compute the graph.
        """
        for tensor in self._steps[signature].all_inputs:
            value = np.asarray(inputs[tensor.name])
            if not tensor.accepts(value.shape, value.dtype.name):
                found = show_tensor(value.shape, value.dtype.name)
                raise InputError(
                    f"{self.path}: the {tensor.name} is not of this model: it should be {tensor}, got {found}"
                )
        # Not kept: as long as there is one, the interpreter refuses to run another signature's graph on its tensors.
        runner = self.interpreter.get_signature_runner(signature)
        try:
            return dict(runner(**inputs))
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{self.path}: {self.runtime} cannot compute {signature} ({one_line(error)})") from error

    def zero_states(self, signature: str) -> dict[str, NDArray[Any]]:
        """Returns the states of a step graph at the start."""
        return {state.name: np.zeros(state.shape, state.dtype) for state in self._steps[signature].states}

    def kernels(self) -> KernelUse:
        """Returns who computes the model, complete after the first run: the runtime's own delegate comes with it."""
        # The only list of nodes that the runtimes give; the same private method in all of them.
        operations = Counter(node["op_name"] for node in self.interpreter._get_ops_details())
        delegate_nodes = operations.pop("DELEGATE", 0)
        name = self._kernel or ("xnnpack" if delegate_nodes else "builtin")
        custom_nodes = self._file.custom_operations.get(FULLY_CONNECTED, 0)
        return KernelUse(name, custom_nodes, delegate_nodes, dict(operations))


def load_file(
    path: str, file: TfliteFile, graphs: Sequence[GraphDescription], runtime: str, threads: int
) -> LoadedFile:
    """Loads an exported file into a runtime.

    Args:
      path: a `.tflite` file.
      file: its structure, from `read_tflite`.
      graphs: those of the file that will be run.
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
    return LoadedFile(path, runtime, file, interpreter, kernel, graphs)


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
