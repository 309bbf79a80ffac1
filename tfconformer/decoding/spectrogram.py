"""Decoding of a spectrogram, step by step, from the frames that attention reads.

    converted = convert(graphs, encoded)              # an utterance after its end
    converted = convert(graphs, encoded, pace=pace)   # behind the speaker: no step reads what comes later

    decoder = SpectrogramDecoder(graphs, pace)        # frames as they arrive
    decoder.extend(encoded)
    for step in decoder.steps(): ...
    decoder.complete()

NumPy only: the step graph `decode_step` runs in Keras or in a runtime. Attention reads a window of the frames that
follows its position, so that memory is constant for any length of speech. With a pace, the frames that a step reads
depend on the number of the step alone, not on the time at which frames arrive: a stream gives the spectrogram of the
whole utterance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

# Frames of the window that attention reads, and those of it that lie behind the position when the window moves on: with
# components of a few frames' deviation, what lies farther away has no weight.
MEMORY_FRAMES = 64
_FRAMES_BEHIND = 24
# States that have a number for each frame of the window.
_FRAME_STATES = {"last_weights", "weight_sums"}

Floats = NDArray[np.float32]
Tensors = dict[str, NDArray[Any]]


class StepGraphs(Protocol):
    """The graph `decode_step`, in Keras or in a runtime."""

    def call(self, signature: str, inputs: Mapping[str, NDArray[Any]], /) -> Tensors:
        """Calls a graph once."""

    def zero_states(self, signature: str, /) -> Tensors:
        """Returns the states of a graph at the start, by name."""


class Pace(NamedTuple):
    """The pace of a decoder, in frames of the encoder.

    Attributes:
      lag: frames that the first step reads; infinite for conversion after the end of the utterance.
      clock: frames that the speaker takes for a step, by which each step reads more than the one before it.
    """

    lag: float
    clock: float


AFTER_THE_END = Pace(math.inf, 0.0)


@dataclass(frozen=True)
class Conversion:
    """A converted utterance.

    Attributes:
      spectrogram: [steps, frames_per_step * bins], scaled log-mel.
      attention: [steps, frames], the weights of the frames of the encoder.
      read: [steps] int, the numbers of frames that the steps may read, counted from the beginning: a step can be
        computed as soon as these are certain.
      stopped: false if the decoder did not end and was cut off.
    """

    spectrogram: Floats
    attention: Floats
    read: NDArray[np.int64]
    stopped: bool

    @property
    def steps(self) -> int:
        """The number of decoder steps."""
        return len(self.spectrogram)


class DecoderStep(NamedTuple):
    """The result of a decoder step.

    Attributes:
      frames: [frames_per_step * bins], scaled log-mel.
      stop: logit of the end.
      attention: [at most MEMORY_FRAMES], the weights of the frames of the window.
      first: number of the first of these frames in the utterance.
      read: number of frames that the step may read, from the beginning of the utterance.
    """

    frames: Floats
    stop: float
    attention: Floats
    first: int
    read: int


class SpectrogramDecoder:
    """The decoder of one utterance, which keeps its states and the frames that attention reads.

    It begins when `pace.lag` frames are there, at the latest at the end of the utterance, and takes a step for every
    `pace.clock` more.

    Args:
      graphs: the graph `decode_step`.
      pace: the pace.
    """

    def __init__(self, graphs: StepGraphs, pace: Pace = AFTER_THE_END) -> None:
        self._graphs = graphs
        self._states = graphs.zero_states("decode_step")
        self._frames = np.zeros([0, self._states["context"].shape[-1]], np.float32)
        self._first = 0
        self._due, self._clock = pace
        self._complete = False

    @property
    def position(self) -> float:
        """The mean position of the attention's components, in frames from the beginning of the utterance."""
        return self._first + float(np.mean(self._states["position"]))

    @property
    def received(self) -> int:
        """The number of frames so far."""
        return self._first + len(self._frames)

    def extend(self, encoded: Floats) -> None:
        """Adds outputs of the encoder [count, memory and more] at the end; attention reads the first columns."""
        self._frames = np.concatenate([self._frames, encoded[:, : self._frames.shape[1]]])

    def complete(self) -> None:
        """Marks the end of the utterance: no frame follows, so that no step waits."""
        self._complete = True

    def steps(self) -> Iterator[DecoderStep]:
        """Yields the steps that can be computed; after the end of the utterance they go on without limit."""
        while (step := self.step()) is not None:
            yield step

    def step(self) -> DecoderStep | None:
        """Computes a step; returns None if it waits for frames."""
        if not self._complete and self._due >= self.received + 1:
            return None
        read = int(min(self._due, self.received))
        self._due += self._clock
        self._move_window(read)
        count = min(read - self._first, MEMORY_FRAMES)
        window = np.zeros([1, MEMORY_FRAMES, self._frames.shape[1]], np.float32)
        mask = np.zeros([1, MEMORY_FRAMES, 1], np.float32)
        window[0, :count], mask[0, :count] = self._frames[:count], 1.0
        outputs = self._graphs.call("decode_step", {"memory": window, "mask": mask, **self._states})
        self._states = {name: outputs[name] for name in self._states}
        attention = outputs["attention"][0, :count]
        return DecoderStep(outputs["frames"][0], float(outputs["stop"][0, 0]), attention, self._first, read)

    def _move_window(self, read: int) -> None:
        """Drops frames that lie behind the position, as soon as a step reads more than the window holds."""
        passed = int(np.min(self._states["position"])) - _FRAMES_BEHIND
        dropped = min(passed, read - self._first - MEMORY_FRAMES)
        if dropped > 0:
            self._frames = self._frames[dropped:]
            self._first += dropped
            self._states["position"] = self._states["position"] - np.float32(dropped)
            for name in _FRAME_STATES & self._states.keys():
                kept = self._states[name][:, dropped:]
                self._states[name] = np.pad(kept, ((0, 0), (0, MEMORY_FRAMES - kept.shape[1])))


def convert(graphs: StepGraphs, encoded: Floats, steps: int | None = None, pace: Pace = AFTER_THE_END) -> Conversion:
    """Decodes an utterance.

    Args:
      graphs: the graph `decode_step`.
      encoded: [frames, memory and more], outputs of the encoder.
      steps: number of steps; None ends where the decoder says, once it reads all frames, at the latest after twice as
        many steps as frames.
      pace: the pace of the decoder.

    Returns:
      The spectrogram, of one step at least.
    """
    decoder = SpectrogramDecoder(graphs, pace)
    decoder.extend(encoded)
    decoder.complete()
    done: list[DecoderStep] = []
    stopped = False
    limit = steps if steps is not None else 2 * len(encoded) + 1
    for step in decoder.steps():
        done.append(step)
        stopped = steps is None and step.stop > 0 and step.read == len(encoded)
        if stopped or len(done) == limit:
            break
    attention = np.zeros([len(done), len(encoded)], np.float32)
    for row, step in zip(attention, done, strict=True):
        row[step.first : step.first + len(step.attention)] = step.attention
    read = np.array([step.read for step in done])
    return Conversion(np.stack([step.frames for step in done]), attention, read, stopped or steps is not None)
