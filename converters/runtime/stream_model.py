"""A streaming `.tflite` in a runtime, with the state of one stream.

    model = open_stream("small.tflite")
    for piece in pieces:                   # [step_samples] each
        outputs = model.step(piece)        # the frames that have become certain
    outputs = model.finish(rest)

The state stays inside of the interpreter: after a step a state is copied once, from the output to the input of the same
name, unless both are one tensor, which the step changes in place. Several streams open the file several times; its
constants are mapped from the file, so they share them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.flatbuffer.description import check_signature, check_tensors, parse_description, show
from converters.flatbuffer.reader import read_tflite
from converters.flatbuffer.stream_description import (
    AUDIO,
    COUNT,
    FLUSH,
    FRAMES,
    KEY,
    LOGITS,
    POSITION,
    RECEIVED,
    STEP,
    StreamDescription,
)
from converters.runtime.interpreters import METADATA, KernelUse, LoadedFile, load_file, one_line
from converters.runtime.transducer_model import TransducerModel, open_decoder
from tfconformer.errors import InputError
from tfconformer.steps import split_steps

State = dict[str, NDArray[Any]]
_LONGEST = 2**31 - 1  # samples: they are counted in int32, which 16 kHz fill in 37 hours


class StreamModel:
    """A streaming recognizer in one runtime. Not for use from several threads at once.

    Its outputs are logits [frames, vocabulary + 1], or encodings [frames, joint] for the decoder of a transducer.

    Attributes:
      path: the file.
      runtime: name and version, as in "ai-edge-litert 2.3.0".
      description: of its streams.
      decoder: of a transducer; None if it is a model of CTC.
    """

    def __init__(
        self, file: LoadedFile, description: StreamDescription, decoder: TransducerModel | None = None
    ) -> None:
        """Wraps a file that fits its description.

        Raises:
          InputError: a tensor of the file is not what the description says.
        """
        self.path = file.path
        self.runtime = file.runtime
        self.description = description
        self.decoder = decoder
        self._file = file
        self._interpreter = file.interpreter
        self._interpreter.allocate_tensors()
        runner = self._interpreter.get_signature_runner(STEP)
        inputs, outputs = runner.get_input_details(), runner.get_output_details()
        self._inputs = {name: details["index"] for name, details in inputs.items()}
        self._outputs = {name: details["index"] for name, details in outputs.items()}
        # The others are updated where they are: one tensor comes in and goes out.
        self._copied = [name for name, index in self._inputs.items() if self._outputs.get(name, index) != index]
        expected = {state.name: (state.shape, state.dtype) for state in description.states}
        audio = {AUDIO: ((1, description.step_samples), "float32"), COUNT: ((1,), "int32")}
        self._width = int(outputs[description.output]["shape"][-1]) if decoder is None else decoder.description.joint
        values = {description.output: ((1, description.step_frames, self._width), "float32")}
        check_tensors(self.path, inputs, expected | audio)
        check_tensors(self.path, outputs, expected | values | {FRAMES: ((1,), "int32")})
        self.reset()

    def reset(self) -> None:
        """Begins a stream."""
        for state in self.description.states:
            self._interpreter.tensor(self._inputs[state.name])().fill(0)

    def step(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Takes the next samples [step_samples] in [-1, 1]; returns the outputs [frames, width] now certain.

        Raises:
          InputError: their number is another, one is not finite, the utterance has ended, or the stream is longer than
            37 hours at 16 kHz.
        """
        samples = self._waveform(samples)
        if len(samples) != self.description.step_samples:
            raise InputError(f"{self.path}: a step takes {self.description.step_samples} samples, got {len(samples)}")
        return self._invoke(samples, len(samples))

    def finish(self, rest: NDArray[np.float32]) -> NDArray[np.float32]:
        """Ends the utterance with its last samples [fewer than step_samples]; returns all outputs that are missing.

        Raises:
          InputError: as `step`.
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
        """A copy of the stream's state, by name."""
        return {state.name: self._interpreter.get_tensor(self._inputs[state.name]) for state in self.description.states}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Continues the stream whose state was taken.

        Raises:
          InputError: the state is another model's; the stream stays as it was.
        """
        ours = {one.name: (one.shape, one.dtype) for one in self.description.states}
        theirs = {name: (value.shape, value.dtype.name) for name, value in state.items()}
        for name in sorted({*ours, *theirs}):
            if ours.get(name) != theirs.get(name):
                raise InputError(
                    f"{self.path}: the state is not of this model: {name} should be {show(ours.get(name))}, "
                    f"got {show(theirs.get(name))}"
                )
        for name, value in state.items():
            self._interpreter.tensor(self._inputs[name])()[:] = value

    def run(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Computes the outputs [frames, width] of a whole waveform [samples] in [-1, 1], as a new stream.

        Raises:
          InputError: the waveform is not one-dimensional, or a value is not finite.
        """
        steps, rest = split_steps(self._waveform(waveform), self.description.step_samples)
        self.reset()
        return np.concatenate([*map(self.step, steps), self.finish(rest)])

    def metadata(self) -> dict[str, Any]:
        """As `LoadedFile.metadata`."""
        return self._file.metadata()

    def kernels(self) -> KernelUse:
        """As `LoadedFile.kernels`."""
        return self._file.kernels()

    def _waveform(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        samples = np.ascontiguousarray(samples, np.float32)
        if samples.ndim != 1:
            raise InputError(f"{self.path}: a waveform has the shape [samples], got {list(samples.shape)}")
        if not np.isfinite(samples).all():
            raise InputError(f"{self.path}: the audio holds a value that is not finite")
        return samples

    def _invoke(self, samples: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """One step, of whose samples [step_samples] `count` are real."""
        interpreter, description = self._interpreter, self.description
        position, received = (int(interpreter.get_tensor(self._inputs[name])[0]) for name in (POSITION, RECEIVED))
        if position > _LONGEST - description.step_samples:
            raise InputError(f"{self.path}: the stream is longer than {_LONGEST} samples: reset it earlier")
        if count and received < position:
            raise InputError(f"{self.path}: the utterance has ended: reset the stream before more audio")
        interpreter.tensor(self._inputs[AUDIO])()[0] = samples
        interpreter.tensor(self._inputs[COUNT])()[0] = count
        try:
            interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{self.path}: {self.runtime} cannot compute it ({one_line(error)})") from error
        for name in self._copied:
            np.copyto(interpreter.tensor(self._inputs[name])(), interpreter.tensor(self._outputs[name])())
        first = position // description.frame_samples - description.delay_frames
        frames = int(interpreter.get_tensor(self._outputs[FRAMES])[0])
        outputs = interpreter.get_tensor(self._outputs[description.output])[0]
        return np.asarray(outputs[max(0, -first) : max(0, frames - first)])


def open_stream(path: str | os.PathLike[str], runtime: str = "ai-edge-litert", threads: int = 1) -> StreamModel:
    """Opens a streaming file in a runtime.

    Args:
      path: a `.tflite` file of `tfconformer export --streaming`.
      runtime: one of `interpreters.RUNTIMES`.
      threads: at most so many for an operation.

    Raises:
      InputError: the file is missing, damaged or no streaming recognizer, the runtime is unknown, not installed or does
        not know an operation of the file, or the native library is missing though the file needs it.
    """
    name = os.fspath(path)
    file = read_tflite(name)
    description = parse_description(name, file, KEY, StreamDescription)
    if description is None:
        raise InputError(f"{name}: not a streaming file: its {METADATA} metadata do not describe streams")
    states = {state.name for state in description.states}
    for key in (STEP, FLUSH):
        check_signature(name, file, key, {AUDIO, COUNT, *states}, {description.output, FRAMES, *states})
    if file.signatures[STEP].graph != 0:
        raise InputError(f"{name}: its signature {STEP!r} should be the first graph")
    loaded = load_file(name, file, runtime, threads)
    decoder = open_decoder(loaded, file)
    if (decoder is None) != (description.output == LOGITS):
        raise InputError(f"{name}: its streams give {description.output}, which does not fit its decoder")
    return StreamModel(loaded, description, decoder)
