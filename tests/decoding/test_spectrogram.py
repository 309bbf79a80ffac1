"""The decoder's loop around a step graph that is a few lines of NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tfconformer.decoding.spectrogram import MEMORY_FRAMES, SpectrogramDecoder, convert

FRAMES_PER_STEP = 1.5


class Reader:
    """A step graph that reads the frame at its position, which is its number, and ends after the last one."""

    def __init__(self, last: float = np.inf) -> None:
        self._last = last

    def zero_states(self, signature: str) -> dict[str, NDArray[Any]]:
        assert signature == "decode_step"
        return {
            "position": np.zeros([1, 2], np.float32),
            "context": np.zeros([1, 1], np.float32),
            "steps": np.zeros([1, 1], np.float32),
        }

    def call(self, signature: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        assert signature == "decode_step"
        assert inputs["memory"].shape == (1, MEMORY_FRAMES, 1)
        assert inputs["mask"].shape == (1, MEMORY_FRAMES, 1)
        # Components on both sides of the position.
        position = inputs["position"] + FRAMES_PER_STEP
        frame = int(position.mean())
        attention = np.zeros([1, MEMORY_FRAMES], np.float32)
        inside = frame < MEMORY_FRAMES and inputs["mask"][0, frame, 0]
        attention[0, frame if inside else 0] = 1.0 if inside else 0.0
        read = float(inputs["memory"][0, frame, 0]) if inside else -1.0
        return {
            "frames": np.array([[read]], np.float32),
            "stop": np.array([[1.0 if read >= self._last else -1.0]], np.float32),
            "attention": attention,
            "position": position,
            "context": inputs["context"],
            "steps": inputs["steps"] + 1,
        }


def numbered(count: int) -> np.ndarray:
    """Frames whose first column is their number; attention reads no other."""
    return np.stack([np.arange(count), np.full(count, np.nan)], axis=1).astype(np.float32)


@pytest.mark.parametrize("count", [10, 64, 65, 1000])
def test_the_window_follows_the_position_over_any_length(count: int) -> None:
    converted = convert(Reader(last=count - 2), numbered(count))
    assert converted.stopped
    expected = [int(FRAMES_PER_STEP * (step + 1)) for step in range(converted.steps)]
    np.testing.assert_array_equal(converted.spectrogram[:, 0], expected)
    np.testing.assert_array_equal(converted.attention.argmax(axis=1), expected)
    assert converted.attention.shape == (converted.steps, count)


def test_memory_is_constant() -> None:
    decoder = SpectrogramDecoder(Reader())
    for start in range(0, 3000, 30):
        decoder.extend(numbered(3000)[start : start + 30])
        for _ in range(20):
            decoder.step()
        assert len(decoder._frames) <= MEMORY_FRAMES + 30
    assert decoder.position == pytest.approx(FRAMES_PER_STEP * 2000)


def test_a_decoder_that_does_not_end_is_cut_off() -> None:
    converted = convert(Reader(), numbered(10))
    assert converted.steps == 21
    assert not converted.stopped


def test_a_number_of_steps_can_be_forced() -> None:
    assert convert(Reader(last=0), numbered(10), steps=7).steps == 7
