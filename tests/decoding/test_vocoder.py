"""The vocoder's loop around a step graph that is a few lines of NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tfconformer.decoding.vocoder import NeuralVocoder, vocode
from tfconformer.features.scale import SCALED_SILENCE

HOP, LATER = 3, 2
DELAY = LATER + 1


class Echo:
    """A step graph whose samples are the first value of the frame `DELAY` frames before, repeated."""

    def __init__(self) -> None:
        self.noises: list[NDArray[Any]] = []

    def zero_states(self, signature: str) -> dict[str, NDArray[Any]]:
        assert signature == "vocode_step"
        return {"overlap": np.zeros([1, LATER, HOP], np.float32), "past": np.full([1, DELAY, 2], np.nan, np.float32)}

    def call(self, signature: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        assert inputs["spectrogram"].shape == (1, 4, 2)
        self.noises.append(inputs["noise"])
        frames = np.concatenate([inputs["past"], inputs["spectrogram"]], axis=1)
        samples = np.repeat(frames[:, :4, 0], HOP, axis=1)
        return {"samples": samples, "overlap": inputs["overlap"], "past": frames[:, -DELAY:]}


def frames(count: int) -> NDArray[np.float32]:
    return np.arange(2 * count, dtype=np.float32).reshape(count, 2)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 11, 16])
@pytest.mark.parametrize("size", [1, 3, 4, 100])
def test_every_frame_comes_out_once_as_a_hop(count: int, size: int) -> None:
    graph = Echo()
    vocoder = NeuralVocoder(graph)
    made = [vocoder.push(frames(count)[start : start + size]) for start in range(0, count, size)]
    made.append(vocoder.finish())
    np.testing.assert_array_equal(np.concatenate(made), np.repeat(frames(count)[:, 0], HOP))


def test_samples_are_out_as_soon_as_a_step_is_full() -> None:
    vocoder = NeuralVocoder(Echo())
    assert len(vocoder.push(frames(7))) == HOP  # of the four frames of a step three are the delay
    assert len(vocoder.push(frames(1))) == 4 * HOP


def test_noise_depends_on_the_seed_alone() -> None:
    graphs = [Echo() for _ in range(3)]
    for graph, seed in zip(graphs, (0, 0, 1), strict=True):
        vocode(NeuralVocoder(graph, seed), frames(20))
    first, same, other = (np.concatenate(graph.noises) for graph in graphs)
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)
    assert abs(first.std() - 1) < 0.2


def test_the_end_is_silence() -> None:
    vocoder = NeuralVocoder(Echo())
    vocoder.push(frames(1))
    vocoder.finish()
    np.testing.assert_array_equal(vocoder._states["past"][0, -1], SCALED_SILENCE)
