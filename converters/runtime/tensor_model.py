"""Exported Keras models of any inputs and outputs in the TFLite runtimes.

model = load("m.tflite")
model(features=x)["logits"]
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.flatbuffer.metadata import GraphDescription, ModelMetadata
from converters.flatbuffer.reader import read_tflite
from converters.flatbuffer.signatures import check_signatures
from converters.runtime.interpreters import KernelUse, LoadedFile, load_file
from tfconformer.errors import InputError


class TensorModel:
    """An exported model in one runtime. Not for use from several threads at once.

    Attributes:
      path: the path of the file.
      runtime: name and version of the runtime, for example "ai-edge-litert 2.3.0".
      graph: names, shapes and types of its inputs and outputs.
    """

    def __init__(self, file: LoadedFile) -> None:
        self.path = file.path
        self.runtime = file.runtime
        self.graph: GraphDescription = file.graph
        self._file = file

    def __call__(self, **inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Computes the outputs, by name, of inputs by name, both with the batch first.

        Raises:
          InputError: an input is missing, unknown, or of another shape or type than the model's, or the runtime cannot
            compute the model.
        """
        expected = {tensor.name for tensor in self.graph.inputs}
        if inputs.keys() != expected:
            raise InputError(f"{self.path}: its inputs are {', '.join(sorted(expected))}, got {', '.join(inputs)}")
        return self._file.call(self.graph.signature, {name: np.asarray(value) for name, value in inputs.items()})

    def kernels(self) -> KernelUse:
        """Returns the implementations that compute the model."""
        return self._file.kernels()


def load(path: str | os.PathLike[str], runtime: str = "ai-edge-litert", threads: int = 1) -> TensorModel:
    """Opens an exported Keras model in a runtime.

    Args:
      path: a `.tflite` file that `converters.export` made of a Keras model.
      runtime: "ai-edge-litert", "tflite-runtime" or "tensorflow".
      threads: maximum number of threads of an operation.

    Raises:
      InputError: the file is missing, damaged, a streaming one or does not fit its metadata, the runtime is unknown,
        not installed or lacks an operation of the file, or the native library is missing though the file needs it.
    """
    name = os.fspath(path)
    file = read_tflite(name)
    graphs = ModelMetadata.parse(name, file).graphs
    if graphs[0].states:
        raise InputError(f"{name}: a streaming file, which `converters.Recognizer` or `converters.Converter` runs")
    check_signatures(name, file, graphs)
    return TensorModel(load_file(name, file, graphs, runtime, threads))
