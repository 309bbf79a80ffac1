"""Hours of audio in one stream: the growth of memory and the drift of the logits.

The outputs of a model with limited context depend on a limited past. So the offline model, which could not hold the
attention of an hour, computes spans of the audio that begin that much earlier.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from converters.runtime.model import Model
from converters.runtime.stream_model import StreamModel
from tfconformer.models.config import ModelConfig
from tfconformer.steps import iter_steps

_COMPARED_SECONDS = 4.0
_SUBSAMPLING_FRAMES = 2  # the two convolutions reach back 6 features, less than two frames of logits


@dataclass(frozen=True)
class LongStream:
    """A long stream compared with the offline model on spans of its audio.

    Attributes:
      audio_seconds: its length.
      differences: root mean square and largest absolute value of the differences of logits, for every span.
      magnitude: root mean square of the logits of all spans.
      rss_growth_bytes: growth of the resident memory from the first span, which warms the offline model up, to the end.
      state_bytes: size of the state at the end.
    """

    audio_seconds: float
    differences: tuple[tuple[float, float], ...]
    magnitude: float
    rss_growth_bytes: int
    state_bytes: int


def run_long(
    stream: StreamModel, offline: Model, audio: Iterable[NDArray[np.float32]], config: ModelConfig, every: float
) -> LongStream:
    """Streams all of the audio, and compares the last 4 s of every `every` seconds with the offline model.

    Args:
      stream: a streaming file in a runtime.
      offline: the same model as an offline file.
      audio: chunks [samples] in [-1, 1] of any length; together they last for at least one comparison.
      config: configuration of the model; its context is limited.
      every: seconds from one comparison to the next.
    """
    description = stream.description
    rate, size = description.sample_rate, description.step_samples
    compared = int(_COMPARED_SECONDS * rate / size)
    span = -(-_past_frames(config) // description.step_frames) + compared
    samples: deque[NDArray[np.float32]] = deque(maxlen=span)
    logits: deque[NDArray[np.float32]] = deque(maxlen=span)
    differences, magnitudes = [], []
    interval = int(every * rate / size)
    taken = first_bytes = 0
    stream.reset()
    for taken, step in enumerate(iter_steps(audio, size), start=1):
        samples.append(step)
        logits.append(stream.step(step))
        if taken % interval == 0 and len(samples) == span:
            expected = offline.run(np.concatenate(samples))
            frames = slice((span - compared) * description.step_frames, (span - 1) * description.step_frames)
            difference = np.concatenate(logits)[frames] - expected[frames]
            differences.append((float(np.sqrt(np.mean(difference**2))), float(np.abs(difference).max())))
            magnitudes.append(float(np.sqrt(np.mean(expected[frames] ** 2))))
            first_bytes = first_bytes or resident_bytes()
    return LongStream(
        audio_seconds=taken * size / rate,
        differences=tuple(differences),
        magnitude=float(np.mean(magnitudes)),
        rss_growth_bytes=resident_bytes() - first_bytes,
        state_bytes=sum(value.nbytes for value in stream.state().values()),
    )


def resident_bytes() -> int:
    """Returns the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _past_frames(config: ModelConfig) -> int:
    """Returns how many earlier frames a frame depends on at most, by attention and convolution of all blocks."""
    assert config.left_context is not None
    return config.blocks * (config.left_context + config.conv_kernel - 1) + _SUBSAMPLING_FRAMES
