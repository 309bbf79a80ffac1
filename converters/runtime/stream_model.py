"""A streaming `.tflite` in a runtime, with the state of one stream.

    model = open_stream("small.tflite")
    for chunk in chunks:                   # [step_samples] each
        outputs = model.step(chunk)        # the frames that no later audio changes
    outputs = model.finish(rest)

The state stays inside the interpreter: after a step a state is copied once, from the output to the input of the same
name, unless both are one tensor, which the step changes in place. For several streams, open the file several times; its
constants are mapped from the file, so the streams share them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.flatbuffer.metadata import (
    AUDIO,
    COUNT,
    FRAMES,
    METADATA,
    POSITION,
    RECEIVED,
    ModelMetadata,
    StreamDescription,
    TensorDescription,
    show_tensor,
)
from converters.flatbuffer.reader import read_tflite
from converters.flatbuffer.signatures import check_signatures
from converters.runtime.interpreters import LoadedFile, load_file
from converters.runtime.speech_model import SpeechModel
from tfconformer.errors import InputError
from tfconformer.steps import split_steps

State = dict[str, NDArray[Any]]
_LONGEST = 2**31 - 1  # samples: they are counted in int32, which 16 kHz fill in 37 hours


class StreamModel(SpeechModel):
    """A model that takes audio in steps.

    Attributes:
      description: the protocol of its streams.
      states: the tensors that are passed from one step to the next.
    """

    def __init__(self, file: LoadedFile, description: StreamDescription) -> None:
        """Wraps a file whose first graph follows the protocol `description`.

        Raises:
          InputError: a tensor of the file is not the one that its metadata describe.
        """
        super().__init__(file)
        self.description = description
        self.states = file.graph.states
        with file.one_sentence("prepare it"):
            self._interpreter.allocate_tensors()
        inputs, outputs = file.check_tensors(file.graph)
        self._width = int(outputs[self.output]["shape"][-1])
        self._inputs = {name: details["index"] for name, details in inputs.items()}
        self._outputs = {name: details["index"] for name, details in outputs.items()}
        # The other states are updated in place: input and output are one tensor.
        self._copied = [name for name, index in self._inputs.items() if self._outputs.get(name, index) != index]
        self._computed = [
            TensorDescription(
                name=name, shape=tuple(map(int, outputs[name]["shape"])), dtype=outputs[name]["dtype"].__name__
            )
            for name in (self.output, FRAMES, *self._copied)
        ]
        self.reset()

    @property
    def _interpreter(self) -> Any:
        return self._file.interpreter

    def reset(self) -> None:
        """Begins a stream: sets all states to zero."""
        for state in self.states:
            self._interpreter.tensor(self._inputs[state.name])().fill(0)

    def step(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Computes a step on the next samples [step_samples] in [-1, 1].

        Returns:
          The outputs [frames, width] of the frames that the step completed; fewer at the start, by the delay.

        Raises:
          InputError: the number of samples is another, one is not finite, the utterance has ended, or the stream is
            longer than 2^31 samples, 37 hours at 16 kHz.
        """
        samples = self._waveform(samples)
        if len(samples) != self.description.step_samples:
            raise InputError(f"{self.path}: a step takes {self.description.step_samples} samples, got {len(samples)}")
        return self._invoke(samples, len(samples))

    def finish(self, rest: NDArray[np.float32]) -> NDArray[np.float32]:
        """Ends the utterance with its last samples, fewer than `step_samples`.

        Returns:
          The outputs [frames, width] of all remaining frames.

        Raises:
          InputError: there are more samples, one is not finite, the utterance has ended, or the stream is too long.
        """
        rest, size = self._waveform(rest), self.description.step_samples
        if len(rest) >= size:
            raise InputError(f"{self.path}: an utterance ends with fewer than {size} samples, got {len(rest)}")
        padded = np.pad(rest, (0, -len(rest) % size + self.description.flush_samples))
        outputs = [np.zeros([0, self._width], np.float32)]
        outputs += [
            self._invoke(padded[start : start + size], len(rest) if start == 0 else 0)
            for start in range(0, len(padded), size)
        ]
        return np.concatenate(outputs)

    def state(self) -> State:
        """Returns a copy of the stream's states, by name."""
        return {state.name: self._interpreter.get_tensor(self._inputs[state.name]) for state in self.states}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Replaces the stream's states by those that `state` returned, to continue that stream.

        Raises:
          InputError: the states are another model's; the stream does not change.
        """
        described = {tensor.name: str(tensor) for tensor in self.states}
        given = {name: show_tensor(value.shape, value.dtype.name) for name, value in state.items()}
        for name in sorted({*described, *given}):
            expected, found = described.get(name, "absent"), given.get(name, "absent")
            if expected != found:
                raise InputError(
                    f"{self.path}: the state is not of this model: {name} should be {expected}, got {found}"
                )
        for name, value in state.items():
            self._interpreter.tensor(self._inputs[name])()[:] = value

    def run(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Computes the outputs [frames, width] of a whole waveform [samples] in [-1, 1] as a stream of its own.

        Raises:
          InputError: the waveform is not one-dimensional, or a value is not finite.
        """
        steps, rest = split_steps(self._waveform(waveform), self.description.step_samples)
        self.reset()
        return np.concatenate([*map(self.step, steps), self.finish(rest)])

    def _waveform(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        samples = self._checked(samples)
        if not np.isfinite(samples).all():
            raise InputError(f"{self.path}: the audio holds a value that is not finite")
        return samples

    def _invoke(self, samples: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """Computes a step on samples [step_samples], of which the first `count` are valid and the others zero."""
        interpreter, description = self._interpreter, self.description
        position, received = (int(interpreter.get_tensor(self._inputs[name])[0]) for name in (POSITION, RECEIVED))
        if position > _LONGEST - description.step_samples:
            raise InputError(f"{self.path}: the stream is longer than {_LONGEST} samples: reset it earlier")
        if count and received < position:
            raise InputError(f"{self.path}: the utterance has ended: reset the stream before more audio")
        interpreter.tensor(self._inputs[AUDIO])()[0] = samples
        interpreter.tensor(self._inputs[COUNT])()[0] = count
        with self._file.one_sentence("compute it"):
            interpreter.invoke()
        for tensor in self._computed:
            shape, dtype = self._shape_and_type(self._outputs[tensor.name])
            self._file.check_computed(self._file.graph.signature, tensor, shape, dtype)
        for name in self._copied:
            np.copyto(interpreter.tensor(self._inputs[name])(), interpreter.tensor(self._outputs[name])())
        first = position // description.frame_samples - description.delay_frames
        frames = int(interpreter.get_tensor(self._outputs[FRAMES])[0])
        outputs = interpreter.get_tensor(self._outputs[self.output])[0]
        return np.asarray(outputs[max(0, -first) : max(0, frames - first)])

    def _shape_and_type(self, index: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
        # Not the view itself: the interpreter refuses to run while one exists, be it in the frames of an exception.
        view = self._interpreter.tensor(index)()
        return view.shape, view.dtype


def open_stream(path: str | os.PathLike[str], runtime: str = "ai-edge-litert", threads: int = 1) -> StreamModel:
    """Opens a streaming file in a runtime.

    Args:
      path: a `.tflite` file of `tfconformer export --streaming`.
      runtime: one of `interpreters.RUNTIMES`.
      threads: maximum number of threads of an operation.

    Raises:
      InputError: the file is missing, damaged or no streaming file, the runtime is unknown, not installed or lacks an
        operation of the file, or the native library is missing though the file needs it.
    """
    name = os.fspath(path)
    file = read_tflite(name)
    graphs = ModelMetadata.parse(name, file).graphs
    stream = graphs[0].stream
    if stream is None:
        raise InputError(f"{name}: not a streaming file: its {METADATA} metadata do not describe streams")
    check_signatures(name, file, graphs)
    return StreamModel(load_file(name, file, graphs, runtime, threads), stream)
