"""Dense layers in LiteRT's interpreter: its own formats, and this project's through the delegate."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import tempfile
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, load_delegate
from numpy.typing import NDArray

from converters.capability.layer_file import layer_graph
from converters.custom_ops import library_path
from converters.exporter.operators import LayerWeights
from converters.exporter.pack import PackedWeights

NAME = f"LiteRT {importlib.metadata.version('ai-edge-litert')}"


class LiteRtLayers:
    """Equal layers with weights of their own, each with its own input; one `run` computes all of them.

    Args:
      weights: weights of one layer.
      copies: number of layers.

    Attributes:
      weight_bytes: size of one layer, scales included.
      kernel: the dequantized weights, float32 [K, N].
    """

    def __init__(self, weights: LayerWeights, copies: int) -> None:
        if isinstance(weights, np.ndarray):
            self.kernel, self.weight_bytes = weights, weights.nbytes
        else:
            self.kernel, self.weight_bytes = weights.dequantize(), weights.bytes
        delegates = [load_delegate(str(library_path()))] if isinstance(weights, PackedWeights) else []
        # The interpreter maps the file, so that it need not stay.
        with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
            file.write(layer_graph([_distinct(weights, i) for i in range(copies)], rows=1))
            file.flush()
            self._interpreter = Interpreter(model_path=file.name, num_threads=1, experimental_delegates=delegates)
        self._inputs = [detail["index"] for detail in self._interpreter.get_input_details()]
        self._outputs = [detail["index"] for detail in self._interpreter.get_output_details()]

    def feed(self, x: NDArray[np.float32]) -> None:
        """Gives every layer the same x [M, K]."""
        for index in self._inputs:
            self._interpreter.resize_tensor_input(index, x.shape)
        self._interpreter.allocate_tensors()
        for index in self._inputs:
            self._interpreter.set_tensor(index, x)

    def run(self) -> None:
        """Computes all layers."""
        self._interpreter.invoke()

    def outputs(self) -> list[NDArray[np.float32]]:
        """Returns the outputs of the last run, [M, N] for every layer."""
        return [self._interpreter.get_tensor(index) for index in self._outputs]


def _distinct(weights: LayerWeights, number: int) -> LayerWeights:
    if isinstance(weights, np.ndarray):
        return stamped(weights, number)
    return dataclasses.replace(weights, codes=stamped(weights.codes, number))


def stamped(values: NDArray[Any], number: int) -> NDArray[Any]:
    """Copies values and changes the first ones, since a runtime may store equal constants only once.

    `number` is below 2^14. Two other codes or one small float change no output that is checked.
    """
    copy = np.array(values, order="C")
    first = copy.reshape(-1)[:2]
    first[:] = number / 2**14 if first.dtype.kind == "f" else (number & 127, number >> 7)
    return copy
