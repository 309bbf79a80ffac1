"""A whole Conformer in onnxruntime, from waveform to logits. Needs the extra `benchmarks`.

Built node by node, so that onnxruntime gets the operations that it is fastest at: its layer normalization, two
dimensions instead of three, the bias inside the quantized products. Everything but dense layers is float.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from benchmarks.onnx_layers import OnnxWeights, float_weights, model_of, session
from tfconformer.config import Config, FeatureConfig, ModelConfig
from tfconformer.features.log_mel import ENERGY_FLOOR
from tfconformer.layers.convolution import STRIDE, WINDOW
from tfconformer.layers.normalization import LayerNormalization

# (name of a variable of the Keras model, its shape) -> its value.
Variables = Callable[[str, tuple[int, ...]], NDArray[np.float32]]
# The kernel of a dense layer [K, N] -> what onnxruntime is given in its place.
Quantize = Callable[[NDArray[np.float32]], OnnxWeights]


class OnnxConformer:
    """The model of `config` for whole utterances, as `converters.freeze.inference_model`.

    Args:
      config: with convolutions that look both ways and attention without limits.
      vocabulary: number of tokenizer pieces.
      variables: the weights.
      quantize: of all dense layers but the head.
    """

    def __init__(self, config: Config, vocabulary: int, variables: Variables, quantize: Quantize) -> None:
        graph = _Graph(variables, quantize)
        logits = _conformer(graph, config.model, config.features, vocabulary)
        model = graph.model("waveform", ["samples"], logits, ["frames", vocabulary + 1])
        self.file_bytes = model.ByteSize()
        self._session = session(model)

    def run(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """[samples] -> logits [frames, vocabulary + 1]."""
        (logits,) = self._session.run(None, {"waveform": waveform})
        return logits


class _Graph:
    """Nodes and constants so far. Values go by their names, numbers and arrays become constants."""

    def __init__(self, variables: Variables, quantize: Quantize) -> None:
        self.variables = variables
        self.quantize = quantize
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def node(self, operation: str, *inputs: Any, domain: str = "", **attributes: Any) -> str:
        """The name of the only output of a new node."""
        return self.nodes(operation, 1, *inputs, domain=domain, **attributes)[0]

    def nodes(self, operation: str, outputs: int, *inputs: Any, domain: str = "", **attributes: Any) -> list[str]:
        """The names of all outputs of a new node."""
        names = [value if isinstance(value, str) else self._constant(value) for value in inputs]
        results = [f"{operation}{len(self._nodes)}_{index}" for index in range(outputs)]
        self._nodes.append(helper.make_node(operation, names, results, domain=domain, **attributes))
        return results

    def _constant(self, value: Any) -> str:
        # Whole numbers are shapes, axes and bounds; others are meant in float32.
        array = np.asarray(value)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def model(self, source: str, source_shape: list[Any], result: str, result_shape: list[Any]) -> Any:
        """The model from one float tensor to another."""
        inputs, outputs = (
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
            for name, shape in ((source, source_shape), (result, result_shape))
        )
        return model_of(helper.make_graph(self._nodes, "conformer", inputs, outputs, self._constants))

    def dense(self, x: str, name: str, k: int, n: int, bias: bool = True, quantized: bool = True) -> str:
        """A dense layer on [T, K]."""
        kernel = self.variables(f"{name}/kernel", (k, n))
        weights = self.quantize(kernel) if quantized else float_weights(kernel)
        inputs = [x, *weights.constants.values()]
        options: dict[str, Any] = {"domain": weights.domain, **weights.attributes}
        if not bias:
            return self.node(weights.operation, *inputs, **options)
        vector = self.variables(f"{name}/bias", (n,))
        if weights.bias_input is None:
            return self.node("Add", self.node(weights.operation, *inputs, **options), vector)
        absent = [""] * (weights.bias_input - len(inputs))
        return self.node(weights.operation, *inputs, *absent, vector, **options)

    def normalized(self, x: str, name: str, channels: int) -> str:
        """Layer normalization."""
        gain, shift = (self.variables(f"{name}/{part}", (channels,)) for part in ("gamma", "beta"))
        return self.node("LayerNormalization", x, gain, shift, epsilon=LayerNormalization().epsilon)

    def swish(self, x: str) -> str:
        """The input times its sigmoid."""
        return self.node("Mul", x, self.node("Sigmoid", x))


def _conformer(graph: _Graph, config: ModelConfig, features: FeatureConfig, vocabulary: int) -> str:
    x = _subsampled(graph, _log_mel(graph, "waveform", features), config, features.mel_bins)
    positions = _positions(graph, x, config.dim)
    for index in range(config.blocks):
        x = _block(graph, x, positions, config, f"block_{index:02d}")
    return graph.dense(x, "ctc_head", config.dim, vocabulary + 1, quantized=False)


def _log_mel(graph: _Graph, waveform: str, features: FeatureConfig) -> str:
    """[samples] -> [frames, mel bins]; the Fourier transform of windows is a convolution."""
    bins = features.fft_length // 2 + 1
    window = tf.signal.hann_window(features.frame_length).numpy()
    angle = 2 * np.pi / features.fft_length * np.outer(np.arange(bins), np.arange(features.frame_length))
    filters = (np.concatenate([np.cos(angle), np.sin(angle)]) * window)[:, None]
    spectrum = graph.node("Conv", graph.node("Unsqueeze", waveform, [0, 1]), filters, strides=[features.frame_step])
    squares = graph.node("Transpose", graph.node("Squeeze", graph.node("Mul", spectrum, spectrum), [0]), perm=[1, 0])
    mel = tf.signal.linear_to_mel_weight_matrix(
        features.mel_bins, bins, features.sample_rate, features.lower_edge, features.upper_edge
    ).numpy()
    # Twice: the energy of a bin is the sum of two squares.
    return graph.node("Log", graph.node("Add", graph.node("MatMul", squares, np.tile(mel, (2, 1))), ENERGY_FLOOR))


def _subsampled(graph: _Graph, features: str, config: ModelConfig, bins: int) -> str:
    """[4 T, bins] -> [T, dim]."""
    mean, deviation = (graph.variables(f"feature_normalization/{part}", (bins,)) for part in ("mean", "deviation"))
    image = graph.node("Unsqueeze", graph.node("Div", graph.node("Sub", features, mean), deviation), [0, 1])
    channels, rows = config.subsampling_channels, WINDOW * WINDOW
    first = graph.variables("subsampling/convolution/kernel", (WINDOW, WINDOW, 1, channels))
    second = graph.variables("subsampling_convolution/kernel", (rows * channels, channels))
    kernels = (first, second.reshape(WINDOW, WINDOW, channels, channels))
    for name, kernel in zip(("subsampling/convolution", "subsampling_convolution"), kernels, strict=True):
        bias = graph.variables(f"{name}/bias", (channels,))
        filters = kernel.transpose(3, 2, 0, 1)
        image = graph.node("Conv", image, filters, bias, strides=[STRIDE, STRIDE], pads=[1, 1, 1, 1])
        image = graph.node("Relu", image)
        bins = -(-bins // STRIDE)
    joined = graph.node("Reshape", graph.node("Transpose", image, perm=[0, 2, 3, 1]), [-1, bins * channels])
    return graph.dense(joined, "subsampling_projection", bins * channels, config.dim)


def _positions(graph: _Graph, x: str, dim: int) -> str:
    """[T, dim] -> sinusoids [2 T - 1, dim] of the distances T - 1, ..., -(T - 1)."""
    frames = _frames(graph, x)
    distances = graph.node("Range", graph.node("Sub", frames, 1), graph.node("Neg", frames), -1)
    column = graph.node("Unsqueeze", graph.node("Cast", distances, to=TensorProto.FLOAT), [1])
    frequency = np.exp(np.arange(0, dim, 2) * (-math.log(10000) / dim))
    angle = graph.node("Mul", column, frequency)
    return graph.node("Concat", graph.node("Sin", angle), graph.node("Cos", angle), axis=1)


def _block(graph: _Graph, x: str, positions: str, config: ModelConfig, name: str) -> str:
    x = graph.node("Add", x, graph.node("Mul", _feed_forward(graph, x, config, f"{name}_ff1"), 0.5))
    x = graph.node("Add", x, _attention(graph, x, positions, config, f"{name}_attention"))
    x = graph.node("Add", x, _convolution(graph, x, config, f"{name}_conv"))
    x = graph.node("Add", x, graph.node("Mul", _feed_forward(graph, x, config, f"{name}_ff2"), 0.5))
    return graph.normalized(x, f"{name}_norm", config.dim)


def _feed_forward(graph: _Graph, x: str, config: ModelConfig, name: str) -> str:
    dim, inner = config.dim, config.dim * config.ff_expansion
    x = graph.dense(graph.normalized(x, f"{name}_norm", dim), f"{name}_expand", dim, inner)
    return graph.dense(graph.swish(x), f"{name}_contract", inner, dim)


def _attention(graph: _Graph, x: str, positions: str, config: ModelConfig, name: str) -> str:
    dim, heads = config.dim, config.heads
    width = dim // heads
    x = graph.normalized(x, f"{name}_norm", dim)

    def split(values: str, order: Sequence[int]) -> str:
        """[T, dim] -> [T, heads, width], transposed."""
        return graph.node("Transpose", graph.node("Reshape", values, [0, heads, width]), perm=list(order))

    query, key, value = (graph.dense(x, f"{name}_{role}", dim, dim) for role in ("query", "key", "value"))
    position = graph.dense(positions, f"{name}_position", dim, dim, bias=False)
    queries = split(query, (1, 0, 2))
    scores = []
    for role, keys in (("content", key), ("position", position)):
        bias = graph.variables(f"{name}/{role}_bias", (heads, width))
        biased = graph.node("Mul", graph.node("Add", queries, bias[:, None]), width**-0.5)
        scores.append(graph.node("MatMul", biased, split(keys, (1, 2, 0))))
    content, distance = scores
    frames = _frames(graph, x)
    weights = graph.node("Softmax", graph.node("Add", content, _shifted(graph, distance, frames, heads)), axis=-1)
    context = graph.node("Transpose", graph.node("MatMul", weights, split(value, (1, 0, 2))), perm=[1, 0, 2])
    return graph.dense(graph.node("Reshape", context, [0, dim]), f"{name}_output", dim, dim)


def _shifted(graph: _Graph, scores: str, frames: str, heads: int) -> str:
    """[heads, T, 2 T - 1] scores by distance -> [heads, T, T] by key, as `layers.attention.relative_shift`."""
    count = graph.node("Unsqueeze", frames, [0])
    padded = graph.node("Pad", scores, [0, 0, 1, 0, 0, 0], 0.0)
    flat = graph.node("Reshape", padded, graph.node("Concat", [heads], [-1], count, axis=0))
    rows = graph.node("Slice", flat, [1], [np.iinfo(np.int64).max], [1])
    shifted = graph.node("Reshape", rows, graph.node("Concat", [heads], count, [-1], axis=0))
    return graph.node("Slice", shifted, [0], count, [2])


def _convolution(graph: _Graph, x: str, config: ModelConfig, name: str) -> str:
    dim, taps = config.dim, config.conv_kernel
    x = graph.dense(graph.normalized(x, f"{name}_norm", dim), f"{name}_expand", dim, 2 * dim)
    content, gate = graph.nodes("Split", 2, x, [dim, dim], axis=1)
    gated = graph.node("Mul", content, graph.node("Sigmoid", gate))
    columns = graph.node("Unsqueeze", graph.node("Transpose", gated, perm=[1, 0]), [0])
    kernel = graph.variables(f"{name}_depthwise/kernel", (1, taps, dim, 1)).reshape(taps, 1, dim).transpose(2, 1, 0)
    bias = graph.variables(f"{name}_depthwise/bias", (dim,))
    columns = graph.node("Conv", columns, kernel, bias, group=dim, pads=[(taps - 1) // 2, taps // 2])
    x = graph.node("Transpose", graph.node("Squeeze", columns, [0]), perm=[1, 0])
    x = graph.swish(graph.normalized(x, f"{name}_depthwise_norm", dim))
    return graph.dense(x, f"{name}_contract", dim, dim)


def _frames(graph: _Graph, x: str) -> str:
    """T of [T, dim], a number."""
    return graph.node("Squeeze", graph.node("Shape", x, start=0, end=1), [0])
