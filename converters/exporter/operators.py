"""The operators that compute a layer: the custom ones of this project, and LiteRT's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers
from numpy.typing import NDArray

from converters.custom_ops import FULLY_CONNECTED, OPERATIONS
from converters.exporter.float_operations import FloatOperation
from converters.exporter.pack import PackedWeights
from converters.exporter.pack_builtin import BuiltinWeights
from converters.flatbuffer.editor import Graph, GraphFile

LayerWeights = PackedWeights | BuiltinWeights | NDArray[np.float32]
LayerConstants = LayerWeights | FloatOperation

_BUILTIN_TYPES = {8: schema.TensorType.INT8, 4: schema.TensorType.INT4, 2: schema.TensorType.INT2}
# The first version that has scales per output channel with float activations. Runtimes refuse versions above the
# highest one that they implement, so a later one would only exclude older runtimes.
_PER_CHANNEL_VERSION = 9


def input_width(weights: LayerConstants) -> int:
    """Returns the last dimension of a layer's input: K, or the number of input channels of a convolution."""
    if isinstance(weights, FloatOperation):
        return weights.channels
    pixels = weights.window**2 if isinstance(weights, PackedWeights) else 0
    return weights_shape(weights)[0] // (pixels or 1)


def output_width(weights: LayerConstants) -> int:
    """Returns the last dimension of a layer's output: N, or the channels of a float operation."""
    return weights.channels if isinstance(weights, FloatOperation) else weights_shape(weights)[1]


def weights_shape(weights: LayerWeights) -> tuple[int, int]:
    """Returns (K, N) of a layer."""
    return (weights.shape[0], weights.shape[1]) if isinstance(weights, np.ndarray) else (weights.k, weights.n)


class LayerOperators:
    """A writer of layers into the graphs of a file, which adds each operation code once."""

    def __init__(self, file: GraphFile) -> None:
        self._file = file
        self._codes: dict[str, int] = {}

    def set(self, graph: Graph, operator: Any, name: str, weights: LayerConstants, x: int, *others: int) -> None:
        """Makes an operator compute a layer; the operator's output tensor does not change.

        Args:
          graph: the graph that contains the operator.
          operator: an `OperatorT` of the schema.
          name: the name of the layer, which prefixes the names of its constants.
          weights: the constants of the layer; of a dense layer in float, its kernel [K, N].
          x: index of the layer's input tensor.
          others: indices of its further computed tensors: the bias of a dense layer, or the other inputs of a float
            operation.
        """
        bias = others[0] if others else None
        if isinstance(weights, PackedWeights):
            self._set_packed(graph, operator, name, weights, x, bias)
        elif isinstance(weights, FloatOperation):
            constants = [graph.add_constant(f"{name}/{role}", value) for role, value in weights.constants.items()]
            self._set_custom(operator, weights.operation, [x, *others, *constants], {"layer": name})
        else:
            self._set_builtin(graph, operator, name, weights, x, bias)

    def _set_packed(
        self, graph: Graph, operator: Any, name: str, packed: PackedWeights, x: int, bias: int | None
    ) -> None:
        attributes = packed.attributes(has_bias=bias is not None)
        constants: dict[str, NDArray[Any] | None] = {
            "codes": packed.codes,
            "params": np.array(list(attributes.values()), np.int32),
            "scales": packed.scales,
            "offsets": packed.offsets,
            "positions": packed.sparsity_indices,
        }
        added = [graph.add_constant(f"{name}/{role}", value) for role, value in constants.items() if value is not None]
        inputs = [x, *added, *([] if bias is None else [bias])]
        self._set_custom(operator, FULLY_CONNECTED, inputs, {"layer": name, **attributes})

    def _set_custom(self, operator: Any, operation: str, inputs: list[int], options: Mapping[str, Any]) -> None:
        operator.inputs = np.array(inputs, np.int32)
        operator.opcodeIndex = self._code(operation)
        operator.customOptions = np.frombuffer(flexbuffers.Dumps(options), np.uint8)
        operator.customOptionsFormat = schema.CustomOptionsFormat.FLEXBUFFERS

    def _set_builtin(
        self,
        graph: Graph,
        operator: Any,
        name: str,
        weights: BuiltinWeights | NDArray[np.float32],
        x: int,
        bias: int | None,
    ) -> None:
        if isinstance(weights, BuiltinWeights):
            matrix = graph.add_packed_constant(
                f"{name}/codes",
                weights.codes,
                (weights.n, weights.k),
                _BUILTIN_TYPES[weights.spec.bits],
                _quantization(graph, name, weights),
            )
        else:
            matrix = graph.add_constant(f"{name}/kernel", weights.T)
        operator.inputs = np.array([x, matrix, -1 if bias is None else bias], np.int32)
        operator.opcodeIndex = self._code("FULLY_CONNECTED")
        operator.customOptions = None
        operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
        operator.builtinOptions = schema.FullyConnectedOptionsT()
        operator.builtinOptions.keepNumDims = True

    def _code(self, operation: str) -> int:
        if operation not in self._codes:
            self._codes[operation] = (
                self._file.add_operation_code(schema.BuiltinOperator.CUSTOM, custom=operation)
                if operation in OPERATIONS
                else self._file.add_operation_code(schema.BuiltinOperator.FULLY_CONNECTED, _PER_CHANNEL_VERSION)
            )
        return self._codes[operation]


def _quantization(graph: Graph, name: str, weights: BuiltinWeights) -> Any:
    quantization = schema.QuantizationParametersT()
    quantization.quantizedDimension = 0
    if weights.spec.block_size is None:
        quantization.scale = weights.scales
        quantization.zeroPoint = np.zeros(weights.n, np.int64)
        return quantization
    details = schema.BlockwiseQuantizationT()
    details.scales = graph.add_constant(f"{name}/scales", weights.scales)
    details.zeroPoints = -1
    details.blockSize = weights.spec.block_size
    quantization.detailsType = schema.QuantizationDetails.BlockwiseQuantization
    quantization.details = details
    return quantization
