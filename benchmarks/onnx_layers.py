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
      operation, domain, attributes: those of the node.
      constants: its inputs after x, in order.
      kernel: the dequantized weights, float32 [K, N].
      bias_input: index of the input that may be a bias, x being 0; None if the node takes none.
    """

    operation: str
    domain: str
    attributes: dict[str, Any]
    constants: dict[str, NDArray[Any]]
    kernel: NDArray[np.float32]
    bias_input: int | None = None


def float_weights(kernel: NDArray[np.float32]) -> OnnxWeights:
    """Returns a MatMul with a float matrix [K, N]."""
    return OnnxWeights("MatMul", "", {}, {"kernel": kernel}, kernel)


def int8_weights(kernel: NDArray[np.float32]) -> OnnxWeights:
    """Returns a DynamicQuantizeMatMul: activations quantized per tensor at run time, weights [K, N] per channel.

    Codes have 7 bits: on processors without 8-bit dot products its sums of two products would saturate.
    """
    scales = _positive(np.abs(kernel).max(axis=0) / 63)
    codes = np.rint(kernel / scales).astype(np.int8)
    constants = {"codes": codes, "scales": scales}
    return OnnxWeights("DynamicQuantizeMatMul", _CONTRIB, {}, constants, codes * scales, bias_input=4)


def blockwise_weights(kernel: NDArray[np.float32], bits: int, block_size: int) -> OnnxWeights:
    """Returns a MatMulNBits with symmetric blocks along K of [K, N], 8-bit activations; K must hold whole blocks.

    Codes stand in a byte low bits first, as numbers above zero from which 2^(bits - 1) is taken.
    """
    k, n = kernel.shape
    zero = 2 ** (bits - 1)
    blocks = kernel.T.reshape(n, k // block_size, block_size)
    scales = _positive(np.abs(blocks).max(axis=-1) / zero)
    codes = np.clip(np.rint(blocks / scales[..., None]), -zero, zero - 1)
    above = (codes + zero).astype(np.uint8).reshape(n, -1, block_size // 8 * bits, 8 // bits)
    packed = np.bitwise_or.reduce(above << np.arange(0, 8, bits, dtype=np.uint8), axis=-1)
    attributes = {"K": k, "N": n, "bits": bits, "block_size": block_size, "accuracy_level": _INT8_ACTIVATIONS}
    dequantized = np.float32(codes * scales[..., None]).reshape(n, k).T
    constants = {"codes": packed, "scales": scales.reshape(-1)}
    return OnnxWeights("MatMulNBits", _CONTRIB, attributes, constants, dequantized, bias_input=5)


def _positive(scales: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(scales > 0, scales, 1).astype(np.float32)


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """Opens a model, single thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def model_of(graph: onnx.GraphProto) -> onnx.ModelProto:
    """Builds a model that may use the operations of onnxruntime's own domain."""
    versions = [helper.make_opsetid("", 21), helper.make_opsetid(_CONTRIB, 1)]
    model = helper.make_model(graph, opset_imports=versions)
    model.ir_version = onnx.IR_VERSION
    return model


class OnnxLayers:
    """Equal layers with weights of their own, each with its own input; the same interface as `LiteRtLayers`."""

    def __init__(self, weights: OnnxWeights, copies: int) -> None:
        self.kernel = weights.kernel
        self.weight_bytes = sum(value.nbytes for value in weights.constants.values())
        self._session = session(_layers(weights, copies))
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
        """Returns the outputs of the last run, [M, N] for every layer."""
        return self._y


def _layers(weights: OnnxWeights, copies: int) -> onnx.ModelProto:
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

    return model_of(helper.make_graph(nodes, "layers", ends("x", k), ends("y", n), initializers))
