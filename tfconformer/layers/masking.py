"""Masks: the valid frames of a padded batch, and the frames that attention reads.

Padding never reaches a valid frame: convolutions read zeros beyond the end and attention masks it, so an utterance
gives the same output alone and in any batch.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import tensorflow as tf

from tfconformer.layers.base import Layer
from tfconformer.layers.context import ContextLayer
from tfconformer.layers.registry import register
from tfconformer.layers.streaming import AttentionValidity, Frames, Lengths, StreamStep

# Added to attention scores that are masked, and to the logits of impossible symbols. exp(-1e4) is 0 in float32.
NEVER = -1e4


def frame_mask(lengths: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
    """Makes a mask, 1 on valid frames and 0 on padding: lengths [B] int32 -> [B, frames, 1] float32."""
    return tf.expand_dims(tf.cast(tf.range(frames) < tf.expand_dims(lengths, 1), tf.float32), 2)


@register
class FrameMask(Layer):
    """The mask of the valid frames: (x [B, T, C], lengths [B]) -> [B, T, 1] float32."""

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        x, lengths = inputs
        return frame_mask(lengths, tf.shape(x)[1])

    def stream(self, inputs: tuple[Frames, Lengths], step: StreamStep) -> Lengths:
        return inputs[1]


@register
class AttentionMask(ContextLayer):
    """The additive attention mask [B, 1, T, T] (with unlimited context [B, 1, 1, T]) of a frame mask [B, T, 1].

    Queries read the keys that `AttentionContext` allows and that are valid frames. While training, the chunk is one of
    `training_chunks` if there are any, drawn for every batch; their generator is part of a checkpoint, as `Dropout`'s.
    """

    def __init__(self, *args: Any, training_chunks: Sequence[int] = (), **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.training_chunks = tuple(training_chunks)
        if self.training_chunks:
            self.generator = tf.random.Generator.from_seed(random.getrandbits(31))

    def call(self, mask: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        allowed = tf.expand_dims(tf.transpose(mask, [0, 2, 1]), 1)
        context = self.context
        if training and self.training_chunks:
            drawn = self.generator.uniform([], maxval=len(self.training_chunks), dtype=tf.int32)
            context = replace(context, chunk=tf.gather(self.training_chunks, drawn))
        if not context.unlimited:
            position = tf.range(tf.shape(mask)[1])
            allowed *= tf.cast(context.allowed(tf.expand_dims(position, 1), position), tf.float32)
        return (1.0 - allowed) * NEVER

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "training_chunks": self.training_chunks}

    def stream(self, inputs: Lengths, step: StreamStep) -> AttentionValidity:
        return AttentionValidity(inputs, self.context)


@register
class BlankBeyondEnd(Layer):
    """Logits [B, T, V] with a forced blank (symbol 0) on padded frames, given (logits [B, T, V], mask [B, T, 1]).

    A forced blank costs nothing in CTC, so losses and decoders downstream need no lengths.
    """

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        logits, mask = inputs
        forced_blank = NEVER * (1.0 - tf.one_hot(0, tf.shape(logits)[-1]))
        return mask * logits + (1.0 - mask) * forced_blank

    def stream(self, inputs: tuple[Frames, Lengths], step: StreamStep) -> Frames:
        logits, lengths = inputs
        return Frames(self([logits.values, step.mask(logits, lengths)]), logits.delay, logits.stride)


def valid_frames(logits: tf.Tensor) -> tf.Tensor:
    """The lengths [B] int32 that `BlankBeyondEnd` was applied with."""
    return tf.reduce_sum(tf.cast(tf.reduce_max(logits[:, :, 1:], axis=-1) > NEVER / 2, tf.int32), axis=-1)
