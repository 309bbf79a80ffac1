"""Hours of audio in one stream: does memory grow, do the logits drift?

What a model with limited context computes for a frame depends on a limited past. So the file for whole utterances,
which could not hold the attention of an hour, is asked about windows of the audio that begin so much earlier.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from converters.runtime.model import Model
from converters.runtime.stream_model import StreamModel
from tfconformer.models.config import ModelConfig

_COMPARED_SECONDS = 4.0
_SUBSAMPLING_FRAMES = 2  # the two convolutions look back at 6 features, less than two frames of logits


@dataclass(frozen=True)
class LongStream:
    """A long stream compared with windows of it.

    Attributes:
      audio_seconds: its length.
      differences: of every window, root mean square and largest of the differences of logits.
      magnitude: root mean square of the logits of all windows.
      rss_growth_bytes: of the process, from the first window, with which the other file warms up, to the end.
      state_bytes: what the state takes, at the end.
    """

    audio_seconds: float
    differences: tuple[tuple[float, float], ...]
    magnitude: float
    rss_growth_bytes: int
    state_bytes: int


def run_long(
    stream: StreamModel, whole: Model, audio: Iterable[NDArray[np.float32]], config: ModelConfig, every: float
) -> LongStream:
    """Streams all of the audio, and compares the end of every `every` seconds with the whole file.

    Args:
      stream: a streaming file in a runtime.
      whole: the same model as a file for whole utterances.
      audio: pieces [samples] in [-1, 1], together of some windows.
      config: of the model; its context is limited.
      every: seconds.
    """
    description = stream.description
    rate, size = description.sample_rate, description.step_samples
    compared = int(_COMPARED_SECONDS * rate / size)
    window = -(-_past_frames(config) // description.step_frames) + compared
    pieces: deque[NDArray[np.float32]] = deque(maxlen=window)
    logits: deque[NDArray[np.float32]] = deque(maxlen=window)
    differences, magnitudes = [], []
    interval = int(every * rate / size)
    taken = first_bytes = 0
    stream.reset()
    for taken, piece in enumerate(_steps(audio, size), start=1):
        pieces.append(piece)
        logits.append(stream.step(piece))
        if taken % interval == 0 and len(pieces) == window:
            expected = whole.run(np.concatenate(pieces))
            ours = np.concatenate(logits)
            frames = slice((window - compared) * description.step_frames, (window - 1) * description.step_frames)
            difference = ours[frames] - expected[frames]
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
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _past_frames(config: ModelConfig) -> int:
    """Frames on which a frame depends, at most: attention and convolution of every block, one after the other."""
    assert config.left_context is not None
    return config.blocks * (config.left_context + config.conv_kernel - 1) + _SUBSAMPLING_FRAMES


def _steps(audio: Iterable[NDArray[np.float32]], size: int) -> Iterator[NDArray[np.float32]]:
    """The audio in steps; what does not fill the last is left out."""
    pending = np.zeros(0, np.float32)
    for piece in audio:
        pending = np.concatenate([pending, piece])
        whole = len(pending) // size * size
        yield from pending[:whole].reshape(-1, size)
        pending = pending[whole:]
