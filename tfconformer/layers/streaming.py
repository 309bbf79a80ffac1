"""Streams: what a layer is given in a step, and what it may ask for.

A stream is cut into steps. In every step a layer receives as many new frames as the step brings and returns as many
(a quarter of them behind a stride of 4). A layer that must see a frame's future answers late: its *delay* counts the
frames by which its output lags behind its input. The first `delay` frames of a stream therefore have negative indices
and mean nothing, like the frames beyond the end of an utterance; masks tell them from valid frames, and convolutions
read zeros there just as they do at the ends of a whole utterance. So nothing but the delay distinguishes the frames of
a stream from those of the whole utterance.

All state is one primitive: the last frames that a layer was given (`StreamStep.window`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

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
    """How many frames the utterances have so far: [B] int32. Stands for a frame mask too, made where it is needed."""

    values: tf.Tensor


@dataclass(frozen=True)
class AttentionValidity:
    """Stands for an attention mask, which every attention layer makes for the frames that it has."""

    lengths: Lengths
    context: AttentionContext


@dataclass(frozen=True)
class Constant:
    """What is the same in every step, computed when a stream begins."""

    value: Callable[[], tf.Tensor]


class StreamStep:
    """The state of one step, while the layers of a model take it one after the other.

    Attributes:
      position: [1] int32, model inputs that went through before this step.
      lengths: frames that the utterances have so far, [B] int32, by stride.
      new_states: what the next step begins with, by name.
      specs, constants, unit: what the layers asked for: states, constants, and the number of model inputs of which a
        step must hold a multiple.
    """

    def __init__(self, position: tf.Tensor, states: dict[str, tf.Tensor] | None, constants: dict[str, tf.Tensor]):
        """`states` None only collects what the layers ask for, in a batch of one."""
        self.position = position
        self.lengths: dict[int, tf.Tensor] = {}
        self.new_states: dict[str, tf.Tensor] = {}
        self.specs: dict[str, StateSpec] = {}
        self.constants: dict[str, Callable[[], tf.Tensor]] = {}
        self.unit = 1
        self._states = states
        self._constants = constants

    def window(self, name: str, values: tf.Tensor, past: int, axis: int = 1) -> tf.Tensor:
        """The last `past` frames before this step, zeros at first, and the new ones: [B, past + n, ...].

        Frames lie along `axis`; a layer that reads them in another order than they come in keeps them in that order.
        """
        if not past:
            return values
        before = self.kept(name, (*values.shape[1:axis], past, *values.shape[axis + 1 :]), values.dtype)
        window = tf.concat([before, values], axis)
        self.new_states[name] = window[(slice(None),) * axis + (slice(-past, None),)]
        return window

    def kept(self, name: str, shape: Sequence[int], dtype: tf.DType) -> tf.Tensor:
        """A state [batch, *shape], zeros at first, which stays as it is unless whoever reads it changes it in place."""
        self.specs[name] = StateSpec(name, tuple(shape), dtype)
        state = tf.zeros([1, *shape], dtype) if self._states is None else self._states[name]
        self.new_states[name] = state
        return state

    def delayed(self, name: str, frames: Frames, delay: int) -> Frames:
        """The same stream, later: with `delay` instead of its own."""
        wait = delay - frames.delay
        window = self.window(name, frames.values, wait)
        return Frames(window[:, :-wait] if wait else window, delay, frames.stride)

    def aligned(self, name: str, streams: Sequence[Frames]) -> list[Frames]:
        """Streams that wait for the slowest of them."""
        delay = max(frames.delay for frames in streams)
        return [self.delayed(f"{name}/{index}", frames, delay) for index, frames in enumerate(streams)]

    def strided_window(self, name: str, frames: Frames, before: int, after: int, stride: int) -> tuple[tf.Tensor, int]:
        """What a convolution of that stride reads, output t being made of inputs [stride t - before, stride t + after].

        Returns:
          (window [B, frames, ...] whose first `before + 1 + after` frames make the first output, delay of the outputs).
        """
        self.require_multiple_of(frames.stride * stride)
        delay = max(0, -(-(after + frames.delay - stride + 1) // stride))
        past = stride * delay + before - frames.delay  # negative where the stride jumps over frames
        spare = stride - 1 - after - frames.delay + stride * delay
        window = self.window(name, frames.values, max(0, past))
        return window[:, max(0, -past) : -spare or None], delay

    def first_index(self, frames: Frames) -> tf.Tensor:
        """[1] int32: which frame of the utterance the first of `frames` is."""
        return self.position // frames.stride - frames.delay

    def mask(self, frames: Frames, lengths: Lengths) -> tf.Tensor:
        """[B, n, 1] float32: 1 on frames of the utterance, 0 before and behind it."""
        return self.mask_between(self.first_index(frames), frames.count, lengths)

    def mask_between(self, first: tf.Tensor, count: int | tf.Tensor, lengths: Lengths) -> tf.Tensor:
        """As `mask`, for `count` frames from index `first` [1] on."""
        index = first + tf.range(count)
        real = (index >= 0) & (index < tf.expand_dims(lengths.values, 1))
        return tf.expand_dims(tf.cast(real, tf.float32), 2)

    def constant(self, name: str, constant: Constant) -> tf.Tensor:
        """The constant's value in this stream."""
        self.constants[name] = constant.value
        return self._constants[name] if self._states is not None else constant.value()

    def require_multiple_of(self, inputs: int) -> None:
        """A step must hold a multiple of so many model inputs."""
        self.unit = math.lcm(self.unit, inputs)


class Pointwise:
    """A layer each of whose frames depends on that frame alone; streams that meet in it wait for the slowest."""

    def stream(self, inputs: Any, step: StreamStep) -> Any:
        return stream_pointwise(self, inputs, step)


def stream_pointwise(layer: Any, inputs: Any, step: StreamStep) -> Frames | Constant:
    """One step of a pointwise layer, given as the layer itself or wrapped for quantization."""
    if isinstance(inputs, Constant):
        return Constant(lambda: layer(inputs.value()))
    several = isinstance(inputs, (list, tuple))
    streams = step.aligned(layer.name, inputs if several else [inputs])
    values = [frames.values for frames in streams]
    return Frames(layer(values if several else values[0]), streams[0].delay, streams[0].stride)
