"""Loading exported files into the TFLite runtimes, with the operations of `custom_ops` as an external delegate."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.metadata
import os
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.custom_ops import FULLY_CONNECTED, OPERATIONS, kernel_names, library_path
from converters.flatbuffer.metadata import GraphDescription, ModelMetadata, TensorDescription, show_tensor
from converters.flatbuffer.reader import TfliteFile
from converters.flatbuffer.signatures import check_tensors
from tfconformer.errors import InputError, one_line

_INTERPRETERS = {
    "tflite-runtime": "tflite_runtime.interpreter",
    "tensorflow": "tensorflow.lite.python.interpreter",
    "ai-edge-litert": "ai_edge_litert.interpreter",
}
RUNTIMES = tuple(_INTERPRETERS)
# The exceptions of the runtimes, whose C++ code throws some of them: std::out_of_range becomes an IndexError.
_REFUSALS = (RuntimeError, ValueError, IndexError, KeyError, MemoryError)


@dataclass(frozen=True)
class KernelUse:
    """The implementations that compute a model.

    Attributes:
      name: kernel of the custom operations; in a model without them "xnnpack" or "builtin".
      custom_nodes: number of packed layers in all graphs, which the custom operation computes: no runtime has another
        implementation of it.
      delegate_nodes: number of parts of the first graph that a delegate computes, this project's or XNNPACK.
      operations: number of nodes of each operation in the first graph of the file.
    """

    name: str
    custom_nodes: int
    delegate_nodes: int
    operations: dict[str, int]


class LoadedFile:
    """An exported file in one runtime. Not for use from several threads at once.

    A runtime's threads do not survive a fork, and it would wait for them for ever. A child process that uses the file
    gets an interpreter of its own, with the states of the parent's.

    Attributes:
      path: the path of the file.
      runtime: name and version of the runtime, for example "ai-edge-litert 2.3.0".
      graph: the first graph, which takes audio.
    """

    def __init__(
        self,
        path: str,
        runtime: str,
        file: TfliteFile,
        load: Callable[[], Any],
        kernel: str | None,
        graphs: Sequence[GraphDescription],
    ) -> None:
        """Loads an interpreter.

        Args:
          path: the path of the file.
          runtime: one of `RUNTIMES`.
          file: the structure of the file.
          load: function that returns a new interpreter of the file.
          kernel: name of the kernel of the custom operations; None in a model without them.
          graphs: the graphs of the file that will be run; the first one takes audio.

        Raises:
          InputError: the runtime cannot load the file, or a tensor of the file is not the one that its metadata
            describe.
        """
        self.path = path
        self.runtime = f"{runtime} {importlib.metadata.version(runtime)}"
        self.graph = graphs[0]
        self._load = load
        self._interpreter = load()
        self._audio_runner: Any = None
        self._is_of_parent = False
        self._file = file
        self._kernel = kernel
        self._graphs = {graph.signature: graph for graph in graphs}
        for graph in graphs[1:]:
            self.check_tensors(graph)
        _LOADED.add(self)

    @contextlib.contextmanager
    def one_sentence(self, action: str) -> Iterator[None]:
        """Turns what the runtime refuses into an error of one sentence.

        Args:
          action: the refused action in the sentence, such as "compute it".

        Raises:
          InputError: the runtime raised an exception in the context.
        """
        try:
            yield
        except _REFUSALS as error:
            raise InputError(f"{self.path}: {self.runtime} cannot {action} ({one_line(error)})") from error

    def check_tensors(self, graph: GraphDescription) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns the runtime's details of a graph's inputs and outputs, by name.

        Raises:
          InputError: a tensor is not the one that the metadata describe, or the runtime cannot prepare the graph.
        """
        with self.one_sentence(f"prepare {graph.signature}"):
            runner = self.interpreter.get_signature_runner(graph.signature)
            inputs, outputs = runner.get_input_details(), runner.get_output_details()
        check_tensors(self.path, inputs, graph.all_inputs)
        check_tensors(self.path, outputs, graph.all_outputs)
        return inputs, outputs

    @property
    def interpreter(self) -> Any:
        """The runtime's interpreter of the file, in this process."""
        if self._is_of_parent:
            inherited, self._interpreter, self._is_of_parent = self._interpreter, self._load(), False
            self._audio_runner = None
            self._copy_states(inherited)
        return self._interpreter

    @property
    def audio_runner(self) -> Any:
        """The runtime's function of the first graph, of a file that has no other graph's runner at the same time."""
        if self._audio_runner is None or self._is_of_parent:
            self._audio_runner = self.interpreter.get_signature_runner(self.graph.signature)
        return self._audio_runner

    def leave_to_parent(self) -> None:
        """Gives up the interpreter, in a child process of a fork."""
        # Its destruction would wait for threads that the child does not have.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._interpreter))
        self._is_of_parent = True

    def _copy_states(self, inherited: Any) -> None:
        if not self.graph.states:
            return
        self._interpreter.allocate_tensors()
        details = self._interpreter.get_signature_runner(self.graph.signature).get_input_details()
        for state in self.graph.states:
            index = details[state.name]["index"]
            self._interpreter.tensor(index)()[:] = inherited.get_tensor(index)

    @cached_property
    def metadata(self) -> ModelMetadata:
        """The metadata of the file.

        Raises:
          InputError: the metadata are missing or wrong.
        """
        return ModelMetadata.parse(self.path, self._file)

    def call(self, signature: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Calls a graph once; returns its outputs and states by name.

        Args:
          signature: the signature of the graph.
          inputs: its inputs and states by name.

        Raises:
          InputError: an input or output has another shape or type than the graph's, or the runtime cannot compute it.
        """
        for tensor in self._graphs[signature].all_inputs:
            value = np.asarray(inputs[tensor.name])
            if not tensor.accepts(value.shape, value.dtype.name):
                found = show_tensor(value.shape, value.dtype.name)
                raise InputError(
                    f"{self.path}: the {tensor.name} is not of this model: it should be {tensor}, got {found}"
                )
        with self.one_sentence(f"compute {signature}"):
            # Not cached: while a runner exists, the interpreter refuses to run another graph on its tensors.
            outputs = dict(self.interpreter.get_signature_runner(signature)(**inputs))
        for tensor in self._graphs[signature].all_outputs:
            self.check_computed(signature, tensor, outputs[tensor.name].shape, outputs[tensor.name].dtype)
        return outputs

    def check_computed(
        self, signature: str, tensor: TensorDescription, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        """Checks an output of a call, whose shape may depend on the values of the inputs.

        Args:
          signature: the signature of the graph.
          tensor: the output that the metadata describe.
          shape: the shape of the computed one.
          dtype: its type.

        Raises:
          InputError: the shape or the type is another.
        """
        if not tensor.accepts(shape, dtype.name):
            found = show_tensor(shape, dtype.name)
            raise InputError(f"{self.path}: {signature} computes {found} as {tensor.name}, which should be {tensor}")

    def zero_states(self, signature: str) -> dict[str, NDArray[Any]]:
        """Returns the states of a step graph at the start, all zero, by name."""
        return {state.name: np.zeros(state.shape, state.dtype) for state in self._graphs[signature].states}

    def kernels(self) -> KernelUse:
        """Returns the implementations that compute the model; the runtime creates its own delegate in the first run."""
        # A private method, but the only list of nodes, and the same in all runtimes.
        operations = Counter(node["op_name"] for node in self.interpreter._get_ops_details())
        delegate_nodes = operations.pop("DELEGATE", 0)
        name = self._kernel or ("xnnpack" if delegate_nodes else "builtin")
        custom_nodes = self._file.custom_operations.get(FULLY_CONNECTED, 0)
        return KernelUse(name, custom_nodes, delegate_nodes, dict(operations))


# Files that are open in this process.
_LOADED: weakref.WeakSet[LoadedFile] = weakref.WeakSet()


def _leave_all_to_parent() -> None:
    for file in _LOADED:
        file.leave_to_parent()


os.register_at_fork(after_in_child=_leave_all_to_parent)


def load_file(
    path: str, file: TfliteFile, graphs: Sequence[GraphDescription], runtime: str, threads: int
) -> LoadedFile:
    """Loads an exported file into a runtime.

    Args:
      path: a `.tflite` file.
      file: its structure, from `read_tflite`.
      graphs: the graphs of the file that will be run; the first one takes audio.
      runtime: one of `RUNTIMES`.
      threads: maximum number of threads of an operation.

    Raises:
      InputError: the runtime is unknown, not installed or lacks an operation of the file, or the native library is
        missing though the file needs it.
    """
    if threads < 1:
        raise InputError(f"threads must be at least 1, got {threads}")
    module = import_runtime(runtime)
    unknown = sorted(file.custom_operations.keys() - OPERATIONS.keys())
    if unknown:
        expected = ", ".join(map(repr, sorted(OPERATIONS)))
        raise InputError(f"{path}: it needs the custom operation {unknown[0]!r}, expected none but {expected}")
    kernel = kernel_names()[0] if file.custom_operations else None

    def load() -> Any:
        delegates = [module.load_delegate(str(library_path()))] if file.custom_operations else []
        try:
            return module.Interpreter(model_path=path, experimental_delegates=delegates, num_threads=threads)
        except _REFUSALS as error:
            raise InputError(f"{path}: {runtime} cannot load it ({one_line(error)})") from error

    return LoadedFile(path, runtime, file, load, kernel, graphs)


def import_runtime(runtime: str) -> ModuleType:
    """Imports the module of a runtime's interpreter.

    Raises:
      InputError: the runtime is unknown or not installed.
    """
    if runtime not in _INTERPRETERS:
        raise InputError(f"unknown runtime {runtime!r}, expected one of {', '.join(RUNTIMES)}")
    try:
        return importlib.import_module(_INTERPRETERS[runtime])
    except ImportError as error:
        raise InputError(f"the runtime {runtime} is not installed ({one_line(error)})") from error
