"""Files that hold nothing but dense layers side by side, to probe and to measure them without a model around."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.graph import GraphFile
from converters.operators import LayerOperators, LayerWeights, input_width, weights_shape


def layer_graph(layers: Sequence[LayerWeights], *before: int) -> bytes:
    """A `.tflite` file of independent layers without bias.

    Args:
      layers: as in `LayerOperators.set`.
      before: the dimensions of every input before its last, as the number of its rows.

    Returns:
      A file with one input [*before, K] and one output [*before, N] per layer, in their order, and no signature; a
      convolution has an image [images, height, width, channels].
    """
    file = GraphFile.empty()
    (graph,) = file.graphs
    operators = LayerOperators(file)
    for index, layer in enumerate(layers):
        x = graph.add_tensor(f"x{index}", (*before, input_width(layer)))
        y = graph.add_tensor(f"y{index}", (*before, weights_shape(layer)[1]))
        operator = schema.OperatorT()
        operator.outputs = np.array([y], np.int32)
        operators.set(graph, operator, f"layer{index}", layer, x)
        graph.subgraph.operators.append(operator)
        graph.subgraph.inputs.append(x)
        graph.subgraph.outputs.append(y)
    return file.to_bytes()
