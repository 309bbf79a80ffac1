"""A kernel in training: its quantizers with their states, and the matmul with the quantized values of the step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from tfconformer.compat import integer, is_compiled_by_xla
from tfconformer.errors import InputError
from tfconformer.layers.dense import BoundMatmul, Matmul, float_matmul
from tfconformer.quantization.layers.matmul import bind_quantized
from tfconformer.quantization.layers.quantizer_state import QuantizerState
from tfconformer.quantization.quantizers.weights import QuantizedWeights, quantize_weights, sparse_weights
from tfconformer.quantization.spec import QuantSpec, Schedule


class TrainedKernel:
    """The quantizers of one kernel.

    With several specs training takes them in turn, step by step, the same one in all layers; outside of training
    `precision` chooses.

    Attributes:
      specs: the specs that the kernel is trained for.
      precision: index of the spec outside of training; None with one spec.
      has_schedule: true if training depends on the step, so that `advance` must be called before each.

    Args:
      specs: see above, at least one.
      kernel: returns the kernel's present value [K, N].
      shape: (K, N).
      add_weight: the method of the Keras layer that owns the variables.
      step: the last step that `advance` was called for, -1 before; what schedules go by.
      prefix: prefix of the variables' names.
    """

    def __init__(
        self,
        specs: Sequence[QuantSpec],
        kernel: Callable[[], tf.Tensor],
        shape: tuple[int, int],
        add_weight: Callable[..., tf.Variable],
        step: tf.Variable,
        prefix: str = "",
    ):
        self.specs = tuple(specs)
        self._kernel = kernel
        self._step = step
        several = len(self.specs) > 1
        self._states = [
            QuantizerState(spec, kernel, shape, add_weight, f"{prefix}bits{spec.bits}_" if several else prefix)
            for spec in self.specs
        ]
        self.precision = None
        if several:
            self.precision = add_weight(f"{prefix}precision", [], tf.int32, initializer="zeros", trainable=False)
        self.has_schedule = several or self.specs[0].has_schedule

    def matmul(self, training: bool | tf.Tensor | None) -> Matmul:
        """Returns the function that multiplies with the quantized values of a step.

        Raises:
          InputError: XLA compiles the training step.
        """
        in_training = tf.constant(False) if training is None else tf.cast(training, tf.bool)
        if is_compiled_by_xla():
            raise InputError(
                "quantized layers cannot be compiled by XLA, which fuses multiplications and additions, so that other "
                "weights would be trained than those that are stored: set jit_compile to False"
            )
        step = tf.convert_to_tensor(self._step)
        if self.has_schedule:
            message = (
                "training quantized layers with a schedule needs the callback tfconformer.QuantizationSteps, or "
                "tfconformer.quantization_step(model, step) before every step of another loop"
            )
            advanced = tf.debugging.Assert(tf.logical_or(step >= 0, tf.logical_not(in_training)), [message])
            with tf.control_dependencies([advanced]):
                step = tf.identity(step)
        return _TrainedMatmul(self._states, self.precision, step, in_training)

    @property
    def spec(self) -> QuantSpec:
        """The spec that counts outside of training."""
        return self._active_state.spec

    def quantized(self) -> QuantizedWeights:
        """Quantizes the kernel as outside of training."""
        values = self._active_state.read(tf.constant(False), tf.convert_to_tensor(self._step))
        return quantize_weights(self._kernel(), self.spec, values)

    def initialize(self) -> None:
        """Sets what training starts from, for the kernel's present value."""
        for state in self._states:
            state.initialize()

    def advance(self, previous: int, step: int) -> None:
        """Prepares for a training step, with everything that is due after step `previous`."""
        for state in self._states:
            state.advance(previous, step)

    @property
    def _active_state(self) -> QuantizerState:
        return self._states[0 if self.precision is None else integer(self.precision)]


class _TrainedMatmul(Matmul):
    """The matmul with the quantized values of a kernel, those of the step's precision if there are several.

    Args:
      states: the state of every precision.
      precision: index of the precision outside of training; None with one.
      step: the step that training is at, -1 before the first.
      training: true in a training step, a scalar tensor.
    """

    def __init__(
        self, states: Sequence[QuantizerState], precision: tf.Tensor | None, step: tf.Tensor, training: tf.Tensor
    ):
        self._states = states
        self._precision = precision
        self._step = step
        self._training = training

    def __call__(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        if self._precision is None:
            return self._bind(self._states[0], kernel).multiply(x)
        # Only the weights of the step's precision are computed.
        branches = [lambda state=state: self._bind(state, kernel).multiply(x) for state in self._states]
        return tf.switch_case(self._index(), branches)

    def bind(self, kernel: tf.Tensor) -> BoundMatmul:
        bounds = [self._bind(state, kernel) for state in self._states]
        if self._precision is None:
            return bounds[0]
        index = self._index()

        def chosen(function: Callable[[BoundMatmul], tf.Tensor]) -> tf.Tensor:
            return tf.switch_case(index, [lambda bound=bound: function(bound) for bound in bounds])

        return BoundMatmul(
            kernel=chosen(lambda bound: bound.kernel),
            multiply=lambda x: chosen(lambda bound: bound.multiply(x)),
            rows=lambda x: chosen(lambda bound: bound.rows(x)),
        )

    def _index(self) -> tf.Tensor:
        return tf.where(self._training, self._step % len(self._states), self._precision)

    def _bind(self, state: QuantizerState, kernel: tf.Tensor) -> BoundMatmul:
        """Quantizes the kernel; while training outside of the spec's schedule the bound matmul is in float."""
        spec, schedule = state.spec, state.spec.schedule
        values = state.read(self._training, self._step)
        weights = quantize_weights(kernel, spec, values)
        quantized = bind_quantized(weights)
        if schedule == Schedule(freeze=schedule.freeze):
            return quantized
        outside = self._step < schedule.begin
        if schedule.end is not None:
            outside = tf.logical_or(outside, self._step >= schedule.end)
        in_float = tf.logical_and(self._training, outside)
        # Chosen, not branched: TensorFlow 2.17 loses custom gradients of a branch.
        float_weights = sparse_weights(kernel, spec, values)[0]
        chosen = float_matmul.bind(tf.where(in_float, float_weights, quantized.kernel))
        if not spec.activation_bits:
            return chosen
        return BoundMatmul(
            kernel=chosen.kernel,
            multiply=lambda x: tf.where(in_float, float_matmul(x, float_weights), quantized.multiply(x)),
            rows=lambda x: tf.where(in_float, x, quantized.rows(x)),
        )
