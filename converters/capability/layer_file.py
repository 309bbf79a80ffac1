"""Files of nothing but dense layers side by side, to probe and to measure them without a model around."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.exporter.operators import LayerOperators, LayerWeights, weights_shape
from converters.flatbuffer.editor import GraphFile


def layer_graph(layers: Sequence[LayerWeights], rows: int) -> bytes:
    """Builds a `.tflite` file of independent layers without bias.

    Args:
      layers: weights of each layer, packed, of LiteRT's own format, or float [K, N].
      rows: number of rows of every input.

    Returns:
      A file with one input [rows, K] and one output [rows, N] per layer, in their order, and no signature.
    """
    file = GraphFile.empty()
    (graph,) = file.graphs
    operators = LayerOperators(file)
    for index, layer in enumerate(layers):
        k, n = weights_shape(layer)
        x, y = graph.add_tensor(f"x{index}", (rows, k)), graph.add_tensor(f"y{index}", (rows, n))
        operator = schema.OperatorT()
        operator.outputs = np.array([y], np.int32)
        operators.set(graph, operator, f"layer{index}", layer, x)
        graph.subgraph.operators.append(operator)
        graph.subgraph.inputs.append(x)
        graph.subgraph.outputs.append(y)
    return file.to_bytes()
