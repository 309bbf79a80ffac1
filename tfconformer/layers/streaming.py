"""Streams: the inputs of a layer in a step, and the state that it may request.

A stream is cut into steps. In every step a layer receives as many new frames as the step brings and returns as many
(a quarter of them after a stride of 4). A layer that reads a frame's future answers late: its *delay* counts the
frames by which its output lags behind its input. The first `delay` frames of a stream therefore have negative indices
and mean nothing, like the frames beyond the end of an utterance; masks distinguish them from valid frames, and
convolutions read zeros there just as they do at the ends of a whole utterance. So nothing but the delay distinguishes
the frames of a stream from those of the whole utterance.

All state is one primitive: the last frames of a layer's input (`StreamStep.window`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tf_keras as keras

from tfconformer.layers.context import AttentionContext


@dataclass(frozen=True)
class StateSpec:
    """One state tensor: [batch, *shape], float32 or int32, zero at the start of a stream."""

    name: str
    shape: tuple[int, ...]
    dtype: tf.DType


@dataclass(frozen=True)
class Frames:
    """The new frames of a step.

    Attributes:
      values: [B, n, ...].
      delay: the first of them is frame `steps so far * n - delay` of the utterance.
      stride: model inputs per frame.
    """

    values: tf.Tensor
    delay: int
    stride: int

    @property
    def count(self) -> int | tf.Tensor:
        """Number of frames, static where it is known."""
        return self.values.shape[1] if self.values.shape[1] is not None else tf.shape(self.values)[1]


@dataclass(frozen=True)
class Lengths:
    """The lengths of the utterances so far; also in place of a frame mask, which layers make where they need it.

    Attributes:
      values: [B] int32, frames.
      stride: model inputs per frame.
    """

    values: tf.Tensor
    stride: int


@dataclass(frozen=True)
class AttentionValidity:
    """The lengths and the context from which every attention layer makes a mask for the frames that it has."""

    lengths: Lengths
    context: AttentionContext


@dataclass(frozen=True)
class Constant:
    """A tensor that is the same in every step.

    Attributes:
      value: computes it, of no tensor of a step.
    """

    value: Callable[[], tf.Tensor]


class StreamStep:
    """One step of a stream through the layers of a model, which request states and constants from it.

    The names of states and constants are those of the layers. A layer that is called several times in a step has a
    state for each call: the second request of a name gets the name with the suffix `/call_2`, and so on.

    Attributes:
      position: [1] int32, model inputs before this step.
      lengths: frames of the utterances so far, [B] int32, by stride.
      new_states: the states after this step, by name.
      specs: the states that were requested, by name.
      constants: the constants that were requested, by name.
      multiple: a step must hold a multiple of so many model inputs.
    """

    def __init__(self, position: tf.Tensor, states: dict[str, tf.Tensor] | None, constants: dict[str, tf.Tensor]):
        """`states` None only collects the requests of the layers, in a batch of one."""
        self.position = position
        self.lengths: dict[int, tf.Tensor] = {}
        self.new_states: dict[str, tf.Tensor] = {}
        self.specs: dict[str, StateSpec] = {}
        self.constants: dict[str, Callable[[], tf.Tensor]] = {}
        self.multiple = 1
        self._requests: Counter[str] = Counter()
        self._states = states
        self._constants = constants

    def window(self, name: str, values: tf.Tensor, past: int, axis: int = 1) -> tf.Tensor:
        """Returns the last `past` frames before this step, zeros at first, and the new ones: [B, past + n, ...].

        Frames lie along `axis`, so that a layer can keep them in the order in which it reads them.
        """
        if not past:
            return values
        name = self._unique(name)
        before = self._state(name, (*values.shape[1:axis], past, *values.shape[axis + 1 :]), values.dtype)
        window = tf.concat([before, values], axis)
        self.new_states[name] = window[(slice(None),) * axis + (slice(-past, None),)]
        return window

    def kept(self, name: str, shape: Sequence[int], dtype: tf.DType) -> tf.Tensor:
        """Returns a state [batch, *shape], zeros at first, which only operations that change it in place change."""
        name = self._unique(name)
        self.new_states[name] = self._state(name, shape, dtype)
        return self.new_states[name]

    def _state(self, name: str, shape: Sequence[int], dtype: tf.DType) -> tf.Tensor:
        self.specs[name] = StateSpec(name, tuple(shape), dtype)
        return tf.zeros([1, *shape], dtype) if self._states is None else self._states[name]

    def _unique(self, name: str) -> str:
        """Returns the name of a request, which differs from those of other calls of the same layer."""
        self._requests[name] += 1
        return name if self._requests[name] == 1 else f"{name}/call_{self._requests[name]}"

    def delayed(self, name: str, frames: Frames, delay: int) -> Frames:
        """Returns the stream with a longer delay instead of its own."""
        lag = delay - frames.delay
        window = self.window(name, frames.values, lag)
        return Frames(window[:, :-lag] if lag else window, delay, frames.stride)

    def aligned(self, name: str, streams: Sequence[Frames]) -> list[Frames]:
        """Returns streams with the delay of the slowest of them."""
        delay = max(frames.delay for frames in streams)
        return [self.delayed(f"{name}/{index}", frames, delay) for index, frames in enumerate(streams)]

    def strided_window(self, name: str, frames: Frames, before: int, after: int, stride: int) -> tuple[tf.Tensor, int]:
        """Returns the frames that a convolution reads in this step, and the delay of its outputs.

        Args:
          name: name of the state.
          frames: the input, delayed by d.
          before: input frames before the middle of a window: output t reads [stride t - before, stride t + after].
          after: input frames after the middle.
          stride: input frames between two outputs.

        Returns:
          (window [B, frames, ...] whose first `before + 1 + after` frames make the first output, delay of the outputs).
        """
        # A step that ends after k output strides has inputs up to stride k - 1 - d, and its last output, k - 1 - delay,
        # reads up to stride (k - 1 - delay) + after, which must not be more. A step that begins after k output strides
        # has new inputs from stride k - d on, and its first output reads from stride (k - delay) - before on.
        self.require_multiple_of(frames.stride * stride)
        delay = max(0, -(-(after + frames.delay - stride + 1) // stride))
        left_context = stride * delay + before - frames.delay  # negative where the stride skips frames
        right_trim = stride - 1 - after - frames.delay + stride * delay
        window = self.window(name, frames.values, max(0, left_context))
        return window[:, max(0, -left_context) : -right_trim or None], delay

    def first_index(self, frames: Frames) -> tf.Tensor:
        """Returns the index [1] int32 in the utterance of the first of `frames`."""
        return self.position // frames.stride - frames.delay

    def mask(self, frames: Frames, lengths: Lengths) -> tf.Tensor:
        """Returns a mask [B, n, 1] float32, 1 on frames of the utterance and 0 before and after it."""
        return self.mask_between(self.first_index(frames), frames.count, lengths)

    def mask_between(self, first: tf.Tensor, count: int | tf.Tensor, lengths: Lengths) -> tf.Tensor:
        """Returns a mask [B, count, 1] float32 for frames from index `first` [1] on; see `mask`."""
        index = first + tf.range(count)
        valid = (index >= 0) & (index < tf.expand_dims(lengths.values, 1))
        return tf.expand_dims(tf.cast(valid, tf.float32), 2)

    def constant(self, name: str, constant: Constant) -> tf.Tensor:
        """Returns the constant's value in this stream."""
        name = self._unique(name)
        self.constants[name] = constant.value
        return self._constants[name] if self._states is not None else constant.value()

    def require_multiple_of(self, inputs: int) -> None:
        """Demands that a step holds a multiple of so many model inputs."""
        self.multiple = math.lcm(self.multiple, inputs)


class Pointwise:
    """A mixin for layers whose output frames depend on the input frame of the same time alone."""

    def stream(self, inputs: Any, step: StreamStep) -> Any:
        return stream_pointwise(self, inputs, step)


_OTHER_POINTWISE: set[type] = set()


def register_pointwise(*layer_classes: type) -> None:
    """Declares layers of other packages as pointwise, so that models with them stream."""
    _OTHER_POINTWISE.update(layer_classes)


def is_pointwise(layer: Any) -> bool:
    """Returns true for a `Pointwise` layer without a `stream` of its own, and for a layer of a registered class."""
    return getattr(type(layer), "stream", None) is Pointwise.stream or isinstance(layer, tuple(_OTHER_POINTWISE))


def stream_pointwise(layer: Any, inputs: Any, step: StreamStep) -> Frames | Constant:
    """Runs a step of a pointwise layer, or of its wrapper; several inputs are delayed to the slowest of them."""
    if isinstance(inputs, Constant):
        return Constant(lambda: layer(inputs.value()))
    several = isinstance(inputs, (list, tuple))
    streams = step.aligned(layer.name, inputs if several else [inputs])
    values = [frames.values for frames in streams]
    return Frames(layer(values if several else values[0]), streams[0].delay, streams[0].stride)


register_pointwise(keras.layers.Activation, keras.layers.Concatenate)
