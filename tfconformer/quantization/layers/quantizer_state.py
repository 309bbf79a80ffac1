"""The state of a quantizer between training steps, as Keras weights: saved, restored and resumed with the layer.

Only values that a spec asks for have a variable; most specs need none. Between two steps `advance` brings the variables
up to date, so that the training graph only reads them. Its arguments are the step of its last call (-1: none) and the
step that is about to begin, and it does whatever lies between: resumed runs and several steps at once give the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfconformer.quantization.quantizers.clipping import LEAST_FACTOR, clip_factors, factor_shape, with_lsq_gradient
from tfconformer.quantization.quantizers.pruning import gradual_mask, nm_mask, scheduled_share
from tfconformer.quantization.quantizers.weights import StateValues, quantize_weights
from tfconformer.quantization.spec import ClipSearch, LearnedClip, QuantSpec


class QuantizerState:
    """The quantizer state of one kernel and spec: clip factors, mask, frozen scales and float zero points.

    Args:
      spec: the kernel's spec.
      kernel: returns the kernel's present value [K, N].
      shape: (K, N).
      add_weight: the method of the layer that owns the variables.
      prefix: prefix of the variables' names.
    """

    def __init__(
        self,
        spec: QuantSpec,
        kernel: Callable[[], tf.Tensor],
        shape: tuple[int, int],
        add_weight: Callable[..., tf.Variable],
        prefix: str,
    ):
        contraction, columns = shape
        self.spec = spec
        self._kernel = kernel
        self._size = contraction * columns

        def variable(name: str, shape: tuple[int, ...]) -> tf.Variable:
            return add_weight(f"{prefix}{name}", shape, initializer="ones", trainable=False)

        self._clip: Any = None
        self._mask: Any = None
        self._scales: Any = None
        self._offsets: Any = None
        if isinstance(spec.clip, LearnedClip):
            self._clip = add_weight(
                f"{prefix}clip", factor_shape(spec, contraction, columns), initializer="ones", constraint=_factor_range
            )
        elif isinstance(spec.clip, ClipSearch) and spec.clip.every > 1:
            self._clip = variable("clip", factor_shape(spec, contraction, columns))
        if spec.sparsity_schedule is not None:
            self._mask = variable("mask", (contraction, columns))
        if spec.schedule.freeze is not None:
            blocks = spec.blocks(contraction)
            self._scales = variable("scales", (blocks, columns))
            self._offsets = None if spec.zero_points == "none" else variable("offsets", (blocks, columns))

    def initialize(self) -> None:
        """Sets the clip factors, if there are variables for them, for the kernel's present value."""
        if self._clip is not None:
            self._clip.assign(_clip_factors(self._kernel(), self.spec))

    def advance(self, previous: int, step: int) -> None:
        """Updates the variables with everything that is due after step `previous` and before `step`."""
        clip, pruning, freeze = self.spec.clip, self.spec.sparsity_schedule, self.spec.schedule.freeze
        frozen = freeze is not None and previous >= freeze
        if isinstance(clip, ClipSearch) and not frozen and step // clip.every > previous // clip.every:
            self.initialize()
        if pruning is not None and pruning.begin <= step and previous < pruning.last:
            last_update, update = (max(-1, at - pruning.begin) // pruning.every for at in (previous, step))
            if update > last_update or step >= pruning.last:
                share = tf.constant(scheduled_share(step, pruning), tf.float32)
                self._mask.assign(_gradual_mask(self._kernel(), self.spec, share))
        if freeze is not None and previous < freeze <= step:
            quantized = quantize_weights(self._kernel(), self.spec, self.read(tf.constant(True), tf.constant(previous)))
            self._scales.assign(quantized.scales)
            if self._offsets is not None:
                self._offsets.assign(quantized.offsets)

    def read(self, training: tf.Tensor, step: tf.Tensor) -> StateValues:
        """Reads the values that replace computed ones in a step.

        Args:
          training: boolean scalar. Outside of training an unfinished schedule of the mask is skipped to its end.
          step: int32 scalar, the last one that `advance` was called with.
        """
        clip = self._clip
        if isinstance(self.spec.clip, LearnedClip):
            clip = with_lsq_gradient(tf.convert_to_tensor(clip), self._size, self.spec)
        mask, pruning, freeze = self._mask, self.spec.sparsity_schedule, self.spec.schedule.freeze
        if pruning is not None:
            chosen = tf.logical_or(training, step >= pruning.last)
            mask = tf.cond(chosen, lambda: tf.convert_to_tensor(self._mask), self._final_mask)
        frozen = None if freeze is None else step >= freeze
        return StateValues(mask, clip, frozen, self._scales, self._offsets)

    def _final_mask(self) -> tf.Tensor:
        assert self.spec.n_of_m is not None
        return nm_mask(self._kernel(), *self.spec.n_of_m)


def _factor_range(factors: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(factors, LEAST_FACTOR, 1.0)


# Graphs, because searches have many small operations; traced once for every spec and shape.
_clip_factors = tf.function(clip_factors, autograph=False)


@tf.function(autograph=False)
def _gradual_mask(weights: tf.Tensor, spec: QuantSpec, share: tf.Tensor) -> tf.Tensor:
    assert spec.n_of_m is not None
    return gradual_mask(weights, *spec.n_of_m, share)
