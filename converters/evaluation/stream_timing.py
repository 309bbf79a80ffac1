"""Timing of streaming files: an utterance as it would arrive live, and the steps of several files in turn."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.flatbuffer.metadata import StreamDescription
from converters.runtime.search import new_search
from converters.runtime.speech_bounds import speech_bounds
from converters.runtime.stream_model import StreamModel
from tfconformer.steps import split_steps


@dataclass(frozen=True)
class LiveUtterance:
    """Outputs and times of an utterance that was streamed.

    Attributes:
      outputs: the model's outputs, float32 [frames, width].
      ids: labels of the greedy search, in [1, vocabulary].
      step_seconds: compute time of every whole step.
      finish_seconds: compute time of the samples after the last whole step and of the frames that were missing.
      first_token_seconds: from the onset of speech until the first label was out; None without a label.
      audio_seconds: length of the utterance.
    """

    outputs: NDArray[np.float32]
    ids: list[int]
    step_seconds: tuple[float, ...]
    finish_seconds: float
    first_token_seconds: float | None
    audio_seconds: float

    @property
    def rtf(self) -> float:
        """Compute seconds per second of audio."""
        return (sum(self.step_seconds) + self.finish_seconds) / self.audio_seconds


def run_live(model: StreamModel, waveform: NDArray[np.float32]) -> LiveUtterance:
    """Streams a waveform [samples, at least one] in [-1, 1]; a step is computed as soon as its samples are there."""
    description, search = model.description, new_search(model)
    rate = description.sample_rate
    steps, rest = split_steps(waveform, description.step_samples)
    model.reset()
    outputs, seconds, received, first_token = [], [], 0, None
    for samples, compute in [*((step, model.step) for step in steps), (rest, model.finish)]:
        received += len(samples)
        began = time.perf_counter()
        outputs.append(compute(samples))
        search.push(outputs[-1])
        seconds.append(time.perf_counter() - began)
        if first_token is None and search.ids:
            first_token = received / rate + seconds[-1]
    return LiveUtterance(
        outputs=np.concatenate(outputs),
        ids=search.ids,
        step_seconds=tuple(seconds[:-1]),
        finish_seconds=seconds[-1],
        first_token_seconds=None if first_token is None else first_token - speech_bounds(waveform, rate)[0],
        audio_seconds=len(waveform) / rate,
    )


def interleaved_step_seconds(
    models: Mapping[str, StreamModel], waveforms: Sequence[NDArray[np.float32]]
) -> dict[str, list[float]]:
    """Times every whole step of the waveforms; the models take turns in every step and in which one is first.

    Args:
      models: by name, all with steps of the same size.
      waveforms: at least one [samples]; the first step of each warms up and is not counted.

    Returns:
      Compute seconds of the steps by name of the model.
    """
    (size,) = {model.description.step_samples for model in models.values()}
    order = itertools.cycle(itertools.permutations(models))
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for waveform in waveforms:
        for model in models.values():
            model.reset()
        for index, step in enumerate(split_steps(waveform, size)[0]):
            for name in next(order):
                began = time.perf_counter()
                models[name].step(step)
                if index:
                    seconds[name].append(time.perf_counter() - began)
    return seconds


def lookahead_ms(description: StreamDescription) -> float:
    """Returns the look-ahead of the first frame of a step: the rest of its step, and the delay of the outputs."""
    frames = description.step_frames - 1 + description.delay_frames
    return 1e3 * frames * description.frame_samples / description.sample_rate
