"""A whole Conformer in onnxruntime, from waveform to logits, and a step of a stream. Needs the extra `benchmarks`.

Built node by node, so that onnxruntime gets the operations that it is fastest at: its layer normalization, two
dimensions instead of three, the bias inside the quantized products. Everything but dense layers is float.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from benchmarks.onnx_layers import OnnxWeights, float_weights, model_of, session
from tfconformer.config import Config
from tfconformer.features.config import FeatureConfig
from tfconformer.features.scale import ENERGY_FLOOR
from tfconformer.layers.convolution import STRIDE, WINDOW
from tfconformer.layers.masking import NEVER
from tfconformer.layers.normalization import LayerNormalization
from tfconformer.models.config import SUBSAMPLING, ModelConfig

_WAVEFORM, _STEPS = "waveform", "steps"
# (name of a variable of the Keras model, its shape) -> its value.
Variables = Callable[[str, tuple[int, ...]], NDArray[np.float32]]
# The kernel of a dense layer [K, N] -> its quantized form.
Quantize = Callable[[NDArray[np.float32]], OnnxWeights]


class OnnxConformer:
    """The offline model of a configuration, equal to that of `converters.exporter.freeze.inference_model`.

    Args:
      config: with convolutions that look both ways and attention without limits.
      vocabulary: number of tokens.
      variables: returns the weights of a variable.
      quantize: quantizes the kernels of all dense layers but the head.
    """

    def __init__(self, config: Config, vocabulary: int, variables: Variables, quantize: Quantize) -> None:
        graph = _Graph(variables, quantize)
        logits = _conformer(graph, config, vocabulary)
        model = graph.model({_WAVEFORM: ["samples"]}, {logits: ["frames", vocabulary + 1]})
        self.file_bytes = model.ByteSize()
        self._session = session(model)

    def run(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Computes logits [frames, vocabulary + 1] of a waveform [samples]."""
        (logits,) = self._session.run(None, {_WAVEFORM: waveform})
        return logits


class OnnxStream:
    """One step of a stream of the model of `config`, a frame of four times the step of its features.

    Args:
      config: with causal convolutions, and attention to `left_context` frames and none ahead.
      vocabulary, variables, quantize: as of `OnnxConformer`.

    Attributes:
      step_samples: of a step.
    """

    def __init__(self, config: Config, vocabulary: int, variables: Variables, quantize: Quantize) -> None:
        graph = _Graph(variables, quantize, streams=True)
        self.step_samples = SUBSAMPLING * config.features.frame_step
        logits = _conformer(graph, config, vocabulary)
        states = {state: shape for state, (_, shape) in graph.states.items()}
        updated = dict(graph.states.values())
        model = graph.model({_WAVEFORM: [self.step_samples], **states}, {logits: [1, vocabulary + 1], **updated})
        self.file_bytes = model.ByteSize()
        self._session = session(model)
        self._steps = 0
        self._states = {state: np.zeros(shape, np.float32) for state, shape in states.items()}

    def step(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Computes logits [1, vocabulary + 1] of the next [step_samples] samples."""
        inputs = {_WAVEFORM: waveform, _STEPS: np.array([self._steps]), **self._states}
        logits, *states = self._session.run(None, inputs)
        self._steps += 1
        self._states = dict(zip(self._states, states, strict=True))
        return logits


class _Graph:
    """Nodes and constants so far. Values go by their names, numbers and arrays become constants.

    Attributes:
      streams: whether it is a step of a stream.
      states: of a stream: name -> name of the same after the step, and its shape.
    """

    def __init__(self, variables: Variables, quantize: Quantize, streams: bool = False) -> None:
        self.variables = variables
        self.quantize = quantize
        self.streams = streams
        self.states: dict[str, tuple[str, list[int]]] = {}
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def node(self, operation: str, *inputs: Any, domain: str = "", **attributes: Any) -> str:
        """Adds a node and returns the name of its only output."""
        return self.nodes(operation, 1, *inputs, domain=domain, **attributes)[0]

    def nodes(self, operation: str, outputs: int, *inputs: Any, domain: str = "", **attributes: Any) -> list[str]:
        """Adds a node and returns the names of its outputs."""
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

    def model(self, inputs: Mapping[str, list[Any]], outputs: Mapping[str, list[Any]]) -> Any:
        """Builds the model from float inputs to float outputs, given by their shapes."""
        ends = [
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in named.items()]
            for named in (inputs, outputs)
        ]
        if self.streams:
            ends[0].append(helper.make_tensor_value_info(_STEPS, TensorProto.INT64, [1]))
        return model_of(helper.make_graph(self._nodes, "conformer", ends[0], ends[1], self._constants))

    def window(self, x: str, name: str, shape: list[int], axis: int) -> str:
        """Concatenates a state of that shape and a step's x along `axis`; the end becomes the next state."""
        window = self.node("Concat", name, x, axis=axis)
        after = self.node("Slice", window, [-shape[axis]], [np.iinfo(np.int64).max], [axis])
        self.states[name] = after, shape
        return window

    def valid(self, first: int, count: int, per_step: int = 1) -> str:
        """Marks frames of the stream with 1 and those before its beginning with 0; frame 0 is the step's first."""
        index = self.node("Add", self.node("Mul", _STEPS, per_step), np.arange(first, first + count))
        return self.node("Cast", self.node("GreaterOrEqual", index, 0), to=TensorProto.FLOAT)

    def dense(self, x: str, name: str, k: int, n: int, bias: bool = True, quantized: bool = True) -> str:
        """Adds a dense layer on [T, K]."""
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
        """Adds a layer normalization."""
        gamma, beta = (self.variables(f"{name}/{part}", (channels,)) for part in ("gamma", "beta"))
        return self.node("LayerNormalization", x, gamma, beta, epsilon=LayerNormalization().epsilon)

    def swish(self, x: str) -> str:
        """Multiplies the input with its sigmoid."""
        return self.node("Mul", x, self.node("Sigmoid", x))


def _conformer(graph: _Graph, config: Config, vocabulary: int) -> str:
    model = config.model
    x = _subsampled(graph, _log_mel(graph, config.features), model, config.features)
    context = _before_the_stream(graph, _left_context(model)) if graph.streams else _positions(graph, x, model.dim)
    for index in range(model.blocks):
        x = _block(graph, x, context, model, f"block_{index:02d}")
    return graph.dense(x, "ctc_head", model.dim, vocabulary + 1, quantized=False)


def _log_mel(graph: _Graph, features: FeatureConfig) -> str:
    """Maps [samples] to [frames, mel bins]; the Fourier transform of windows is a convolution."""
    waveform = _WAVEFORM
    if graph.streams:
        waveform = graph.window(waveform, "samples", [_late_frames(features) * features.frame_step], axis=0)
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


def _late_frames(features: FeatureConfig) -> int:
    """Returns how many frames of the features end after the step in which they begin."""
    return -(-(features.frame_length - features.frame_step) // features.frame_step)


def _subsampled(graph: _Graph, log_mel: str, config: ModelConfig, features: FeatureConfig) -> str:
    """Maps features [4 T, bins] to [T, dim]."""
    bins = features.mel_bins
    mean, deviation = (graph.variables(f"feature_normalization/{part}", (bins,)) for part in ("mean", "deviation"))
    image = graph.node("Unsqueeze", graph.node("Div", graph.node("Sub", log_mel, mean), deviation), [0, 1])
    convolutions = config.subsampling == "convolution" and not config.stackers
    assert config.subsampling_channels and convolutions, "the frames of this model are those of convolutions"
    channels, rows = config.subsampling_channels, WINDOW * WINDOW
    first = graph.variables("subsampling/convolution/kernel", (WINDOW, WINDOW, 1, channels))
    second = graph.variables("subsampling_convolution/kernel", (rows * channels, channels))
    kernels = (first, second.reshape(WINDOW, WINDOW, channels, channels))
    delay, frames = _late_frames(features), SUBSAMPLING
    for name, kernel in zip(("subsampling/convolution", "subsampling_convolution"), kernels, strict=True):
        pads = [1, 1, 1, 1]
        if graph.streams:
            valid = graph.node("Unsqueeze", graph.valid(-delay, frames, per_step=frames), [1])
            later = max(0, -(-(delay - STRIDE + 1) // STRIDE))
            state = [1, kernel.shape[2], STRIDE * later + WINDOW - 1 - delay, bins]
            image = graph.window(graph.node("Mul", image, valid), f"{name}/input", state, axis=2)
            delay, frames, pads = later, frames // STRIDE, [0, 1, 0, 1]
        bias = graph.variables(f"{name}/bias", (channels,))
        image = graph.node("Conv", image, kernel.transpose(3, 2, 0, 1), bias, strides=[STRIDE, STRIDE], pads=pads)
        image = graph.node("Relu", image)
        bins = -(-bins // STRIDE)
    joined = graph.node("Reshape", graph.node("Transpose", image, perm=[0, 2, 3, 1]), [-1, bins * channels])
    return graph.dense(joined, "subsampling_projection", bins * channels, config.dim)


def _positions(graph: _Graph, x: str, dim: int) -> str:
    """Returns sinusoids [2 T - 1, dim] of the distances T - 1, ..., -(T - 1)."""
    frames = _frames(graph, x)
    distances = graph.node("Range", graph.node("Sub", frames, 1), graph.node("Neg", frames), -1)
    column = graph.node("Unsqueeze", graph.node("Cast", distances, to=TensorProto.FLOAT), [1])
    angle = graph.node("Mul", column, _frequencies(dim))
    return graph.node("Concat", graph.node("Sin", angle), graph.node("Cos", angle), axis=1)


def _frequencies(dim: int) -> NDArray[np.float64]:
    return np.exp(np.arange(0, dim, 2) * (-math.log(10000) / dim))


def _left_context(config: ModelConfig) -> int:
    """Returns how many earlier frames a step of a stream attends to."""
    assert config.left_context, "a stream attends to a limited number of frames"
    return config.left_context


def _before_the_stream(graph: _Graph, left: int) -> str:
    """Returns [left + 1] to add to a step's scores of `left` earlier frames and its own: NEVER before the stream."""
    return graph.node("Mul", graph.node("Sub", 1.0, graph.valid(-left, left + 1)), NEVER)


def _block(graph: _Graph, x: str, context: str, config: ModelConfig, name: str) -> str:
    x = graph.node("Add", x, graph.node("Mul", _feed_forward(graph, x, config, f"{name}_ff1"), 0.5))
    x = graph.node("Add", x, _attention(graph, x, context, config, f"{name}_attention"))
    x = graph.node("Add", x, _convolution(graph, x, config, f"{name}_conv"))
    x = graph.node("Add", x, graph.node("Mul", _feed_forward(graph, x, config, f"{name}_ff2"), 0.5))
    return graph.normalized(x, f"{name}_norm", config.dim)


def _feed_forward(graph: _Graph, x: str, config: ModelConfig, name: str) -> str:
    dim, inner = config.dim, config.dim * config.ff_expansion
    x = graph.dense(graph.normalized(x, f"{name}_norm", dim), f"{name}_expand", dim, inner)
    return graph.dense(graph.swish(x), f"{name}_contract", inner, dim)


def _attention(graph: _Graph, x: str, context: str, config: ModelConfig, name: str) -> str:
    """Adds the attention module; `context` is the output of `_positions`, or of `_before_the_stream` in a stream."""
    dim, heads = config.dim, config.heads
    width = dim // heads
    x = graph.normalized(x, f"{name}_norm", dim)

    def split(values: str, order: Sequence[int]) -> str:
        """Maps [T, dim] to [T, heads, width], transposed."""
        return graph.node("Transpose", graph.node("Reshape", values, [0, heads, width]), perm=list(order))

    query, key, value = (graph.dense(x, f"{name}_{role}", dim, dim) for role in ("query", "key", "value"))
    queries, keys, values = split(query, (1, 0, 2)), split(key, (1, 2, 0)), split(value, (1, 0, 2))
    distances: Any
    if graph.streams:
        left = _left_context(config)
        keys = graph.window(keys, f"{name}/key", [heads, width, left], axis=2)
        values = graph.window(values, f"{name}/value", [heads, left, width], axis=1)
        angle = np.outer(np.arange(left, -1, -1), _frequencies(dim))
        table = np.concatenate([np.sin(angle), np.cos(angle)], axis=1)
        table = table @ graph.variables(f"{name}_position/kernel", (dim, dim))
        distances = table.reshape(left + 1, heads, width).transpose(1, 2, 0)
    else:
        distances = split(graph.dense(context, f"{name}_position", dim, dim, bias=False), (1, 2, 0))

    def scores(role: str, others: Any) -> str:
        bias = graph.variables(f"{name}/{role}_bias", (heads, width))
        biased = graph.node("Mul", graph.node("Add", queries, bias[:, None]), width**-0.5)
        return graph.node("MatMul", biased, others)

    content, distance = scores("content", keys), scores("position", distances)
    if graph.streams:
        distance = graph.node("Add", distance, context)
    else:
        distance = _shifted(graph, distance, _frames(graph, x), heads)
    weights = graph.node("Softmax", graph.node("Add", content, distance), axis=-1)
    attended = graph.node("Transpose", graph.node("MatMul", weights, values), perm=[1, 0, 2])
    return graph.dense(graph.node("Reshape", attended, [0, dim]), f"{name}_output", dim, dim)


def _shifted(graph: _Graph, scores: str, frames: str, heads: int) -> str:
    """Maps scores by distance [heads, T, 2 T - 1] to scores by key [heads, T, T], as `relative_shift` does."""
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
    pads = [(taps - 1) // 2, taps // 2]
    if graph.streams:
        columns, pads = graph.window(columns, f"{name}/columns", [1, dim, taps - 1], axis=2), [0, 0]
    columns = graph.node("Conv", columns, kernel, bias, group=dim, pads=pads)
    x = graph.node("Transpose", graph.node("Squeeze", columns, [0]), perm=[1, 0])
    x = graph.swish(graph.normalized(x, f"{name}_depthwise_norm", dim))
    return graph.dense(x, f"{name}_contract", dim, dim)


def _frames(graph: _Graph, x: str) -> str:
    """Returns T of [T, dim], a number."""
    return graph.node("Squeeze", graph.node("Shape", x, start=0, end=1), [0])
