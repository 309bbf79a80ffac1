"""Models on streams: the outputs for whole utterances, computed step by step as the inputs arrive.

    streaming = StreamingModel(model)
    stream = streaming.open()
    for chunk in chunks:                       # [B, any number of inputs, ...]
        outputs = stream.push(chunk)           # outputs that no later input changes, often none
    outputs = stream.finish()                  # the rest

All outputs joined are the output of the model on the whole utterance. `StreamingModel.step` is the pure function
underneath, with explicit state, which is what export freezes.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import NDArray

from tfconformer.compat import layer_calls, shape_graph
from tfconformer.errors import InputError
from tfconformer.layers.dense import float_layer
from tfconformer.layers.streaming import Frames, Lengths, StateSpec, StreamStep, is_pointwise, stream_pointwise

# States that count the inputs so far, and the valid ones of them.
POSITION, RECEIVED = "position", "received"

State = dict[str, tf.Tensor]


class StreamingModel:
    """A functional model of (inputs [B, T, ...], lengths [B] int32) -> outputs [B, T / stride, ...] on streams.

    Attributes:
      model: the functional model; its weights are used, not copied.
      states: the state tensors, `position` and `received` [B] among them.
      step_multiple: a step takes a multiple of so many inputs.
      stride: inputs per output.
      output_shape: shape of one output frame.
      delay: output frames by which the outputs lag: after n inputs, floor(n / m) * m / stride - delay outputs are out,
        m being `step_multiple`.

    Raises:
      InputError: a layer cannot run on a stream.
    """

    def __init__(self, model: keras.Model, smallest_steps: bool = False):
        """Collects the states of the layers; with `smallest_steps` for steps of just `step_multiple` inputs."""
        self.model = model
        step, outputs = self._trace(None)
        if smallest_steps:
            step, outputs = self._trace(step.multiple)
        counters = tuple(StateSpec(name, (), tf.int32) for name in (POSITION, RECEIVED))
        self.states: tuple[StateSpec, ...] = (*step.specs.values(), *counters)
        self._constants = step.constants
        self.step_multiple = step.multiple
        self.stride = outputs.stride
        self.delay = outputs.delay
        self._shapes = {spec.name: spec.shape for spec in self.states}
        self.output_shape = tuple(outputs.values.shape[2:])

    @functools.cached_property
    def compiled_step(self) -> Any:
        """`step` as one graph for any batch and any number of inputs."""
        inputs = tf.TensorSpec([None, None, *self.model.inputs[0].shape[2:]], tf.float32)
        state = {spec.name: tf.TensorSpec([None, *spec.shape], spec.dtype) for spec in self.states}
        constants = tf.nest.map_structure(tf.TensorSpec.from_tensor, self.prepare())
        signature = (inputs, tf.TensorSpec([None], tf.int32), state, constants)
        return tf.function(self.step, input_signature=signature, autograph=False)

    @property
    def lookahead(self) -> int:
        """The algorithmic delay in inputs, without the time in which the inputs of a step arrive."""
        return self.delay * self.stride

    @property
    def flush_length(self) -> int:
        """Inputs that must follow the last one, a multiple of `step_multiple`, until all outputs are out."""
        return -(-self.lookahead // self.step_multiple) * self.step_multiple

    def zero_state(self, batch: int = 1) -> State:
        """Returns the state at the start of a stream."""
        return {spec.name: tf.zeros([batch, *spec.shape], spec.dtype) for spec in self.states}

    def prepare(self) -> dict[str, tf.Tensor]:
        """Computes the constants of every step of every stream: projected positions, which depend on weights alone."""
        return {name: value() for name, value in self._constants.items()}

    def step(
        self, inputs: tf.Tensor, count: tf.Tensor, state: Mapping[str, tf.Tensor], constants: Mapping[str, tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, State]:
        """Runs the model on the next inputs of a stream.

        Args:
          inputs: [B, n, ...] with n a multiple of `step_multiple`.
          count: [B] int32, number of valid inputs among them: n until the utterance ends, then the rest of it.
          state: the state of this model from `zero_state` or an earlier step.
          constants: the constants from `prepare`.

        Returns:
          (outputs [B, n / stride, ...], output frames [B] that the utterance has so far, new state). The first `delay`
          outputs of a stream and those after its end mean nothing, unless the model itself marks them (as forced
          blanks of a CTC head).

        Raises:
          InputError: the state is another model's.
        """
        self.check_state(state)
        position, received = state[POSITION], state[RECEIVED] + count
        step, outputs = self._run(inputs, position, received, dict(state), dict(constants))
        frames = inputs.shape[1] if inputs.shape[1] is not None else tf.shape(inputs)[1]
        lengths = step.lengths[outputs.stride]
        return outputs.values, lengths, {**step.new_states, POSITION: position + frames, RECEIVED: received}

    def check_state(self, state: Mapping[str, tf.Tensor]) -> None:
        """Checks that a state is one of this model.

        Raises:
          InputError: a tensor is missing, superfluous or of another shape.
        """
        shapes = {name: tuple(value.shape[1:]) for name, value in state.items()}
        for name in sorted({*shapes, *self._shapes}):
            ours, theirs = self._shapes.get(name), shapes.get(name)
            if ours != theirs:
                raise InputError(f"the state is not of this model: {name} should be {ours}, got {theirs}")

    def open(self, batch: int = 1) -> Stream:
        """Opens a stream of so many utterances of equal length."""
        return Stream(self, batch)

    def _trace(self, count: int | None) -> tuple[StreamStep, Frames]:
        """Traces a step of so many inputs, for its shapes and the requests of layers; nothing is computed."""
        with shape_graph().as_default():
            values = tf.compat.v1.placeholder(tf.float32, [1, count, *self.model.inputs[0].shape[2:]])
            return self._run(values, tf.zeros([1], tf.int32), tf.zeros([1], tf.int32), None, {})

    def _run(
        self,
        inputs: tf.Tensor,
        position: tf.Tensor,
        received: tf.Tensor,
        states: State | None,
        constants: Mapping[str, tf.Tensor],
    ) -> tuple[StreamStep, Frames]:
        # All utterances of a batch have the same position.
        step = StreamStep(position[:1], states, dict(constants))
        step.lengths[1] = received
        outputs = tf.nest.flatten(_stream_model(self.model, [Frames(inputs, 0, 1), Lengths(received, 1)], step))
        frames = [one for one in outputs if isinstance(one, Frames)]
        if len(frames) != 1:
            raise InputError(f"a model with {len(frames)} outputs cannot run on a stream: choose one")
        return step, frames[0]


class Stream:
    """A stream through a `StreamingModel` in chunks of any size, for use in Python."""

    def __init__(self, streaming: StreamingModel, batch: int):
        self._streaming = streaming
        self.state = streaming.zero_state(batch)
        self._constants = streaming.prepare()
        self._pending: NDArray[Any] = np.zeros([batch, 0, *streaming.model.inputs[0].shape[2:]], np.float32)
        self._emitted = -streaming.delay

    def push(self, chunk: NDArray[Any]) -> NDArray[Any]:
        """Takes [B, any number of inputs, ...]; returns the outputs [B, frames, ...] that no later input changes.

        Raises:
          InputError: the chunk has another shape or a value that is not finite.
        """
        chunk = np.asarray(chunk, np.float32)
        expected = (self._pending.shape[0], *self._pending.shape[2:])
        if chunk.ndim < 2 or (chunk.shape[0], *chunk.shape[2:]) != expected:
            raise InputError(f"a chunk should have shape [{expected[0]}, frames, ...], got {list(chunk.shape)}")
        if not np.isfinite(chunk).all():
            raise InputError("a chunk holds a value that is not finite")
        self._pending = np.concatenate([self._pending, chunk], axis=1)
        usable = self._pending.shape[1] // self._streaming.step_multiple * self._streaming.step_multiple
        inputs, self._pending = self._pending[:, :usable], self._pending[:, usable:]
        return self._step(inputs, usable)

    def finish(self) -> NDArray[Any]:
        """Ends the utterance and returns its last outputs; no chunk may follow."""
        rest = self._pending.shape[1]
        missing = -rest % self._streaming.step_multiple + self._streaming.flush_length
        zeros = np.zeros([self._pending.shape[0], missing, *self._pending.shape[2:]], np.float32)
        return self._step(np.concatenate([self._pending, zeros], axis=1), rest)

    def _step(self, inputs: NDArray[Any], count: int) -> NDArray[Any]:
        if not inputs.shape[1]:
            return np.zeros([inputs.shape[0], 0, *self._streaming.output_shape], np.float32)
        counts = tf.fill([inputs.shape[0]], count)
        outputs, lengths, self.state = self._streaming.compiled_step(inputs, counts, self.state, self._constants)
        first, self._emitted = self._emitted, self._emitted + outputs.shape[1]
        return outputs.numpy()[:, max(0, -first) : max(0, int(lengths[0]) - first)]


def _stream_model(model: keras.Model, inputs: list[Any], step: StreamStep) -> Any:
    """Runs the layers of a functional model on streams, in the order of its graph."""
    values = dict(zip(map(id, model.inputs), inputs, strict=True))
    for call in layer_calls(model):
        if call.is_input:
            continue
        given = tf.nest.map_structure(lambda tensor: values[id(tensor)], call.input_tensors)
        results = tf.nest.flatten(_stream_layer(call.layer, given, step))
        values.update(zip(map(id, tf.nest.flatten(call.outputs)), results, strict=True))
        step.lengths.update({one.stride: one.values for one in results if isinstance(one, Lengths)})
    return tf.nest.map_structure(lambda tensor: values[id(tensor)], model.outputs)


def _stream_layer(layer: keras.layers.Layer, inputs: Any, step: StreamStep) -> Any:
    if isinstance(layer, keras.Model):
        return _stream_model(layer, tf.nest.flatten(inputs), step)
    inner = float_layer(layer)
    if is_pointwise(inner):
        return stream_pointwise(layer, inputs, step)
    if not hasattr(inner, "stream"):
        raise InputError(f"the layer {layer.name} ({type(inner).__name__}) cannot run on a stream")
    return inner.stream(inputs, step)
