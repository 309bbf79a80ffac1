"""Speech from a spectrogram, step by step: the step graph `vocode_step`, in Keras or in a runtime.

    vocoder = NeuralVocoder(graphs)
    samples = vocoder.push(frames)          # as many as no later frame changes
    samples = vocoder.finish()              # the rest

NumPy only. What a step adds to its spectrogram, noise, is an input of the graph, so that two runs with the same noise
make the same samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tfconformer.decoding.noise import Noise
from tfconformer.decoding.spectrogram import StepGraphs
from tfconformer.features.scale import SCALED_SILENCE

# Frames of the spectrogram that a step takes, and that a vocoder reads ahead.
STEP_FRAMES = 4
LOOK_AHEAD = 1

Floats = NDArray[np.float32]


class Vocoder(Protocol):
    """A vocoder that generates speech from frames of a spectrogram as they arrive."""

    def push(self, frames: Floats) -> Floats:
        """Takes frames [any number, bins], scaled log-mel; returns the samples in [-1, 1] that no later one changes."""

    def finish(self) -> Floats:
        """Ends the utterance and returns its last samples; no frame may follow."""


class NeuralVocoder:
    """The vocoder of one utterance in the graph `vocode_step`, which keeps its states.

    Args:
      graphs: the graph, in Keras or in a runtime.
      seed: seed of the noise, at least 0.
    """

    def __init__(self, graphs: StepGraphs, seed: int = 0) -> None:
        self._graphs = graphs
        self._states = graphs.zero_states("vocode_step")
        self._noise = Noise(seed)
        _, later, self._hop = self._states["overlap"].shape
        # The first samples precede the utterance: frames end where their hop does, and are answered late.
        self._delay = later + LOOK_AHEAD
        self._early = self._delay * self._hop
        self._frames: Floats | None = None
        self._pushed = 0

    def push(self, frames: Floats) -> Floats:
        """Takes frames, see `Vocoder.push`."""
        self._pushed += len(frames)
        return self._advance(frames)

    def finish(self) -> Floats:
        """Ends the utterance, see `Vocoder.finish`."""
        if self._frames is None:
            return np.zeros([0], np.float32)
        missing = self._delay + -(self._pushed + self._delay) % STEP_FRAMES
        silence = np.full([missing, self._frames.shape[1]], SCALED_SILENCE, np.float32)
        samples = self._advance(silence)
        return samples[: len(samples) - (missing - self._delay) * self._hop]

    def _advance(self, frames: Floats) -> Floats:
        before = frames[:0] if self._frames is None else self._frames
        ready = np.concatenate([before, frames])
        usable = len(ready) - len(ready) % STEP_FRAMES
        self._frames = ready[usable:]
        samples = np.concatenate([np.zeros([0], np.float32), *self._steps(ready[:usable])])
        dropped = min(self._early, len(samples))
        self._early -= dropped
        return samples[dropped:]

    def _steps(self, frames: Floats) -> Iterator[Floats]:
        for step in frames.reshape(-1, 1, STEP_FRAMES, frames.shape[1]):
            noise = self._noise.take(STEP_FRAMES * self._hop).reshape(1, STEP_FRAMES, self._hop)
            outputs = self._graphs.call("vocode_step", {"spectrogram": step, "noise": noise, **self._states})
            self._states = {name: outputs[name] for name in self._states}
            yield outputs["samples"][0]


def vocode(vocoder: Vocoder, spectrogram: Floats) -> Floats:
    """Makes the samples of a whole spectrogram [frames, bins]."""
    return np.concatenate([vocoder.push(spectrogram), vocoder.finish()])
