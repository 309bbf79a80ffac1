"""The frame stacker, which makes the frames of an encoder fewer between two blocks (2210.13761)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import tensorflow as tf

from tfconformer.layers.base import Layer
from tfconformer.layers.masking import frame_mask
from tfconformer.layers.registry import register
from tfconformer.layers.streaming import Frames, Lengths, StreamStep


@register
class Stacker(Layer):
    """Neighbouring frames side by side, at every `stride`-th frame.

    Call: (x [B, T, C], lengths [B]) -> (windows [B, ceil(T / stride), size * C], ceil(lengths / stride)). Window k
    holds the frames stride * k, ..., stride * k + right; with `right` 0 it is causal and holds those from
    stride * (k - 1) + 1 to stride * k. Frames before the first and after the last are zeros.
    """

    def __init__(self, right: int, stride: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.right = right
        self.stride = stride
        self.frame_rate = 1 / stride

    @property
    def _before(self) -> int:
        """The number of past frames in a window."""
        return 0 if self.right else self.stride - 1

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        x, lengths = inputs
        frames = tf.shape(x)[1]
        padded = tf.pad(x * frame_mask(lengths, frames), [(0, 0), (self._before, 0), (0, 0)])
        return self._windows(padded, self._strided(frames)), self._strided(lengths)

    def stream(self, inputs: tuple[Frames, Lengths], step: StreamStep) -> tuple[Frames, Lengths]:
        x, lengths = inputs
        masked = replace(x, values=x.values * step.mask(x, lengths))
        window, delay = step.strided_window(self.name, masked, self._before, self.right, self.stride)
        stride = x.stride * self.stride
        count = self._strided(x.count)
        return Frames(self._windows(window, count), delay, stride), Lengths(self._strided(lengths.values), stride)

    def _strided(self, frames: int | tf.Tensor) -> int | tf.Tensor:
        return (frames + self.stride - 1) // self.stride

    def _windows(self, padded: tf.Tensor, count: int | tf.Tensor) -> tf.Tensor:
        """Cuts out `count` windows, of which the first begins with the first frame: [B, T, C] -> [B, count, size * C].

        Of rows of `stride` frames, a window is some neighbours and a part of the next one, so that no slice has a step:
        slices with one, and above all their gradients, are slow in TensorFlow on a CPU.
        """
        batch = tf.shape(padded)[0] if padded.shape[0] is None else padded.shape[0]
        channels, size = padded.shape[-1], self._before + 1 + self.right
        whole_rows, rest = divmod(size - 1, self.stride)
        rows = count + whole_rows
        # As many frames as the rows have: zeros if they lack some, and without the last ones if those are in no window.
        padded = tf.pad(padded, [(0, 0), (0, size + self.stride), (0, 0)])[:, : rows * self.stride]
        frames = tf.reshape(padded, [batch, rows, self.stride * channels])
        widths = [self.stride * channels] * whole_rows + [(rest + 1) * channels]
        parts = [tf.slice(frames, [0, start, 0], [batch, count, width]) for start, width in enumerate(widths)]
        return tf.ensure_shape(tf.concat(parts, axis=-1), [None, None, size * channels])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "right": self.right, "stride": self.stride}
