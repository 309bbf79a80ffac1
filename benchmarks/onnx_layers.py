"""Dense layers in onnxruntime: float, dynamic int8, and blockwise low-bit weights. Needs the extra `benchmarks`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from benchmarks.litert_layers import stamped

NAME = f"onnxruntime {onnxruntime.__version__}"
_CONTRIB = "com.microsoft"
# The lowest precision of activations that the operation may choose: 8 bits. Without it they stay float, and slow.
_INT8_ACTIVATIONS = 4


@dataclass(frozen=True)
class OnnxWeights:
    """One layer.

    Attributes:
      operation, domain, attributes: of the node.
      constants: its inputs after x, in order.
      kernel: float [K, N], what the constants stand for.
    """

    operation: str
    domain: str
    attributes: dict[str, int]
    constants: dict[str, NDArray[Any]]
    kernel: NDArray[np.float32]


def float_weights(kernel: NDArray[np.float32]) -> OnnxWeights:
    """MatMul with a float matrix [K, N]."""
    return OnnxWeights("MatMul", "", {}, {"kernel": kernel}, kernel)


def int8_weights(rng: np.random.Generator, k: int, n: int) -> OnnxWeights:
    """DynamicQuantizeMatMul: activations are quantized per tensor at run time, weights have a scale per channel."""
    # Codes of 7 bits: on processors without 8-bit dot products its sums of two products would saturate.
    codes = rng.integers(-63, 64, (k, n)).astype(np.int8)
    scales = rng.uniform(0.01, 0.02, n).astype(np.float32)
    return OnnxWeights("DynamicQuantizeMatMul", _CONTRIB, {}, {"codes": codes, "scales": scales}, codes * scales)


def blockwise_weights(rng: np.random.Generator, k: int, n: int, bits: int, block_size: int) -> OnnxWeights:
    """MatMulNBits with symmetric blocks along K, 8-bit activations; K must hold whole blocks.

    Codes stand in a byte low bits first, as numbers above zero from which 2^(bits - 1) is taken.
    """
    blocks = k // block_size
    codes = rng.integers(0, 2**bits, (n, blocks, block_size)).astype(np.uint8)
    scales = rng.uniform(0.01, 0.02, (n, blocks)).astype(np.float32)
    fields = codes.reshape(n, blocks, -1, 8 // bits) << np.arange(0, 8, bits, dtype=np.uint8)
    packed = np.bitwise_or.reduce(fields, axis=-1)
    kernel = ((codes.astype(np.float32) - 2 ** (bits - 1)) * scales[:, :, None]).reshape(n, k).T
    attributes = {"K": k, "N": n, "bits": bits, "block_size": block_size, "accuracy_level": _INT8_ACTIVATIONS}
    return OnnxWeights("MatMulNBits", _CONTRIB, attributes, {"codes": packed, "scales": scales.reshape(-1)}, kernel)


class OnnxLayers:
    """Equal layers with weights of their own, each with its own input; the same interface as `LiteRtLayers`."""

    def __init__(self, weights: OnnxWeights, copies: int) -> None:
        self.kernel = weights.kernel
        self.weight_bytes = sum(value.nbytes for value in weights.constants.values())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        model = _model(weights, copies).SerializeToString()
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._binding = self._session.io_binding()
        self._x: list[NDArray[np.float32]] = []
        self._y: list[NDArray[np.float32]] = []

    def feed(self, x: NDArray[np.float32]) -> None:
        """Gives every layer the same x [M, K]."""
        self._x = [x.copy() for _ in self._session.get_inputs()]
        self._y = [np.empty((len(x), self.kernel.shape[1]), np.float32) for _ in self._session.get_outputs()]
        for i, (one_x, one_y) in enumerate(zip(self._x, self._y, strict=True)):
            self._binding.bind_input(f"x{i}", "cpu", 0, np.float32, one_x.shape, one_x.ctypes.data)
            self._binding.bind_output(f"y{i}", "cpu", 0, np.float32, one_y.shape, one_y.ctypes.data)

    def run(self) -> None:
        """Computes all layers."""
        self._session.run_with_iobinding(self._binding)

    def outputs(self) -> Sequence[NDArray[np.float32]]:
        """What the last run computed, [M, N] for every layer."""
        return self._y


def _model(weights: OnnxWeights, copies: int) -> Any:
    k, n = weights.kernel.shape
    nodes, initializers = [], []
    for i in range(copies):
        names = [f"{name}{i}" for name in weights.constants]
        nodes.append(
            helper.make_node(
                weights.operation, [f"x{i}", *names], [f"y{i}"], domain=weights.domain, **weights.attributes
            )
        )
        matrix, *others = weights.constants.values()
        values = [stamped(matrix, i), *others]
        initializers += [numpy_helper.from_array(value, name) for name, value in zip(names, values, strict=True)]

    def ends(name: str, size: int) -> list[Any]:
        return [helper.make_tensor_value_info(f"{name}{i}", TensorProto.FLOAT, ["rows", size]) for i in range(copies)]

    graph = helper.make_graph(nodes, "layers", ends("x", k), ends("y", n), initializers)
    versions = [helper.make_opsetid("", 21), helper.make_opsetid(_CONTRIB, 1)]
    model = helper.make_model(graph, opset_imports=versions)
    model.ir_version = onnx.IR_VERSION
    return model
