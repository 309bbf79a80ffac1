"""Decoding of a spectrogram, step by step, from the frames that attention reads.

    converted = convert(graphs, encoded)        # an utterance after its end

NumPy only: the step graph `decode_step` runs in Keras or in a runtime. Attention reads a window of the frames that
follows its position, so that memory is constant for any length of speech.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

# Frames of the window that attention reads, and those of it that lie behind the position when the window moves on: with
# components of a few frames' deviation, what lies farther away has no weight.
MEMORY_FRAMES = 64
_FRAMES_BEHIND = 24

Floats = NDArray[np.float32]
Tensors = dict[str, NDArray[Any]]


class StepGraphs(Protocol):
    """The graph `decode_step`, in Keras or in a runtime."""

    def call(self, signature: str, inputs: Mapping[str, NDArray[Any]], /) -> Tensors:
        """Calls a graph once."""

    def zero_states(self, signature: str, /) -> Tensors:
        """Returns the states of a graph at the start, by name."""


@dataclass(frozen=True)
class Conversion:
    """A converted utterance.

    Attributes:
      spectrogram: [steps, frames_per_step * bins], scaled log-mel.
      attention: [steps, frames], the weights of the frames of the encoder.
      stopped: false if the decoder did not end and was cut off.
    """

    spectrogram: Floats
    attention: Floats
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
    """

    frames: Floats
    stop: float
    attention: Floats
    first: int


class SpectrogramDecoder:
    """The decoder of one utterance, which keeps its states and the frames that attention reads.

    Args:
      graphs: the graph `decode_step`.
    """

    def __init__(self, graphs: StepGraphs) -> None:
        self._graphs = graphs
        self._states = graphs.zero_states("decode_step")
        self._frames = np.zeros([0, self._states["context"].shape[-1]], np.float32)
        self._first = 0

    @property
    def position(self) -> float:
        """The mean position of the attention's components, in frames from the beginning of the utterance."""
        return self._first + float(np.mean(self._states["position"]))

    def extend(self, encoded: Floats) -> None:
        """Adds outputs of the encoder [count, memory and more] at the end; attention reads the first columns."""
        self._frames = np.concatenate([self._frames, encoded[:, : self._frames.shape[1]]])

    def step(self) -> DecoderStep:
        """Computes a step."""
        self._move_window()
        count = min(len(self._frames), MEMORY_FRAMES)
        window = np.zeros([1, MEMORY_FRAMES, self._frames.shape[1]], np.float32)
        mask = np.zeros([1, MEMORY_FRAMES, 1], np.float32)
        window[0, :count], mask[0, :count] = self._frames[:count], 1.0
        outputs = self._graphs.call("decode_step", {"memory": window, "mask": mask, **self._states})
        self._states = {name: outputs[name] for name in self._states}
        return DecoderStep(
            outputs["frames"][0], float(outputs["stop"][0, 0]), outputs["attention"][0, :count], self._first
        )

    def _move_window(self) -> None:
        """Drops frames that lie behind the position, as soon as there are more than the window holds."""
        passed = int(np.min(self._states["position"])) - _FRAMES_BEHIND
        dropped = min(passed, len(self._frames) - MEMORY_FRAMES)
        if dropped > 0:
            self._frames = self._frames[dropped:]
            self._first += dropped
            self._states["position"] = self._states["position"] - np.float32(dropped)


def convert(graphs: StepGraphs, encoded: Floats, steps: int | None = None) -> Conversion:
    """Decodes an utterance after its end.

    Args:
      graphs: the graph `decode_step`.
      encoded: [frames, memory and more], outputs of the encoder.
      steps: number of steps; None ends where the decoder says, at the latest after twice as many steps as frames.

    Returns:
      The spectrogram, of one step at least.
    """
    decoder = SpectrogramDecoder(graphs)
    decoder.extend(encoded)
    done: list[DecoderStep] = []
    stopped = False
    limit = steps if steps is not None else 2 * len(encoded) + 1
    while len(done) < limit and not stopped:
        done.append(decoder.step())
        stopped = steps is None and done[-1].stop > 0
    attention = np.zeros([len(done), len(encoded)], np.float32)
    for row, step in zip(attention, done, strict=True):
        row[step.first : step.first + len(step.attention)] = step.attention
    return Conversion(np.stack([step.frames for step in done]), attention, stopped or steps is not None)
