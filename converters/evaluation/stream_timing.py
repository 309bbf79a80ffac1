"""How fast a streaming file is: an utterance as it would arrive live, and steps of several files in turn."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.flatbuffer.stream_description import StreamDescription
from converters.runtime.search import new_search
from converters.runtime.stream_model import StreamModel

_ONSET_DB = 30.0
_ONSET_SECONDS = 0.01


@dataclass(frozen=True)
class LiveUtterance:
    """An utterance as a stream.

    Attributes:
      outputs: of the model, [frames, width].
      ids: labels, greedily decoded.
      step_seconds: computing of every step; finish_seconds: of what came out after the last sample.
      first_token_seconds: from the onset of speech until the first id was out; None without one.
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
    """Streams a waveform [samples, at least one] in [-1, 1], every step as soon as its samples are there."""
    description, search = model.description, new_search(model.decoder)
    size, rate = description.step_samples, description.sample_rate
    model.reset()
    outputs, seconds, first_token = [], [], None
    for start in range(0, len(waveform), size):
        piece = waveform[start : start + size]
        began = time.perf_counter()
        outputs.append(model.step(piece) if len(piece) == size else model.finish(piece))
        search.push(outputs[-1])
        seconds.append(time.perf_counter() - began)
        if first_token is None and search.ids:
            first_token = (start + len(piece)) / rate + seconds[-1]
    began = time.perf_counter()
    if len(waveform) % size == 0:
        outputs.append(model.finish(waveform[:0]))
        search.push(outputs[-1])
        seconds.append(time.perf_counter() - began)
    return LiveUtterance(
        outputs=np.concatenate(outputs),
        ids=search.ids,
        step_seconds=tuple(seconds[:-1]),
        finish_seconds=seconds[-1],
        first_token_seconds=None if first_token is None else first_token - speech_onset(waveform, rate),
        audio_seconds=len(waveform) / rate,
    )


def speech_onset(waveform: NDArray[np.float32], rate: int) -> float:
    """Seconds until the first 10 ms whose energy is within 30 dB of that of the loudest."""
    size = int(_ONSET_SECONDS * rate)
    pieces = np.pad(waveform, (0, -len(waveform) % size)).reshape(-1, size)
    energy = np.square(pieces, dtype=np.float64).mean(axis=1)
    return float(np.argmax(energy >= energy.max() * 10 ** (-_ONSET_DB / 10))) * size / rate


def interleaved_step_seconds(
    models: Mapping[str, StreamModel], waveforms: Sequence[NDArray[np.float32]]
) -> dict[str, list[float]]:
    """Computing of every whole step of the waveforms, the models taking turns in every step and in who goes first.

    Args:
      models: by name, all with steps of the same size.
      waveforms: at least one; the first step of each is not counted.
    """
    (size,) = {model.description.step_samples for model in models.values()}
    order = itertools.cycle(itertools.permutations(models))
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for waveform in waveforms:
        for model in models.values():
            model.reset()
        for start in range(0, len(waveform) - size + 1, size):
            for name in next(order):
                began = time.perf_counter()
                models[name].step(waveform[start : start + size])
                if start:
                    seconds[name].append(time.perf_counter() - began)
    return seconds


def lookahead_ms(description: StreamDescription) -> float:
    """How far the first frame of a step looks ahead: over the rest of its step, and over the delay."""
    frames = description.step_frames - 1 + description.delay_frames
    return 1e3 * frames * description.frame_samples / description.sample_rate
