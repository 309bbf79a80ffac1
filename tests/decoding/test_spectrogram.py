"""The decoder's loop around a step graph that is a few lines of NumPy."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tfconformer.decoding.spectrogram import AFTER_THE_END, MEMORY_FRAMES, Pace, SpectrogramDecoder, convert

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
    decoder = SpectrogramDecoder(Reader(), Pace(10, FRAMES_PER_STEP))
    steps = 0
    for start in range(0, 3000, 30):
        decoder.extend(numbered(3000)[start : start + 30])
        steps += len(list(decoder.steps()))
        assert len(decoder._frames) <= MEMORY_FRAMES + 30
    assert steps == int((3000 - 10) / FRAMES_PER_STEP) + 1
    assert decoder.position == pytest.approx(FRAMES_PER_STEP * steps)


# Slower than the attention moves, so that its frame may not be there; as fast; and faster.
@pytest.mark.parametrize("clock", [1.0, FRAMES_PER_STEP, 2.0])
@pytest.mark.parametrize("lag", [1, 6.5, 40])
def test_a_paced_decoder_reads_what_is_due(lag: float, clock: float) -> None:
    count = 300
    converted = convert(Reader(last=count - 2), numbered(count), pace=Pace(lag, clock), steps=count)
    expected = np.minimum(np.floor(lag + clock * np.arange(count)), count)
    np.testing.assert_array_equal(converted.read, expected)
    frames = np.floor(FRAMES_PER_STEP * np.arange(1, count + 1))
    np.testing.assert_array_equal(converted.spectrogram[:, 0], np.where(frames < expected, frames, -1))


@pytest.mark.parametrize("sizes", [(1,), (7,), (3, 0, 50)])
def test_steps_do_not_depend_on_the_time_at_which_frames_arrive(sizes: tuple[int, ...]) -> None:
    count, pace, last = 300, Pace(6.5, 1.25), 290
    expected = convert(Reader(last), numbered(count), pace=pace)
    decoder = SpectrogramDecoder(Reader(last), pace)
    done, start = [], 0
    for size in itertools.cycle(sizes):
        decoder.extend(numbered(count)[start : start + size])
        start += size
        if start >= count:
            break
        found = list(decoder.steps())
        assert all(step.read <= start for step in found)
        done += found
    decoder.complete()
    done += itertools.islice(decoder.steps(), expected.steps - len(done))
    assert [step.read for step in done] == expected.read.tolist()
    np.testing.assert_array_equal([step.frames for step in done], expected.spectrogram)


def test_a_lag_longer_than_the_utterance_converts_after_its_end() -> None:
    after, paced = (convert(Reader(last=60), numbered(80), pace=pace) for pace in (AFTER_THE_END, Pace(80, 1.0)))
    for name in ("spectrogram", "attention", "read"):
        np.testing.assert_array_equal(getattr(after, name), getattr(paced, name))
    decoder = SpectrogramDecoder(Reader(), Pace(80, 1.0))
    decoder.extend(numbered(79))
    assert decoder.step() is None


def test_the_window_takes_the_weights_of_its_frames_along() -> None:
    class Locator(Reader):
        """A reader whose states also hold its last weights, and the frames of their sums by number."""

        def zero_states(self, signature: str) -> dict[str, NDArray[Any]]:
            window = np.zeros([1, MEMORY_FRAMES], np.float32)
            return super().zero_states(signature) | {"last_weights": window, "weight_sums": window}

        def call(self, signature: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
            outputs = super().call(signature, inputs)
            last = inputs["last_weights"][0]
            if inputs["steps"][0, 0]:
                assert last.argmax() == int(inputs["position"].mean())
                assert inputs["weight_sums"].sum() > 0
            outputs["last_weights"] = outputs["attention"]
            return outputs | {"weight_sums": inputs["weight_sums"] + outputs["attention"]}

    assert convert(Locator(last=298), numbered(300)).stopped


def test_a_window_that_moves_beyond_itself_has_no_weights_left() -> None:
    class Jumper(Reader):
        """A reader that leaves the window within a step."""

        def zero_states(self, signature: str) -> dict[str, NDArray[Any]]:
            return super().zero_states(signature) | {"last_weights": np.ones([1, MEMORY_FRAMES], np.float32)}

        def call(self, signature: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
            assert inputs["last_weights"].shape == (1, MEMORY_FRAMES)
            outputs = super().call(signature, {**inputs, "position": inputs["position"] * 0})
            return outputs | {"position": inputs["position"] + 200, "last_weights": inputs["last_weights"]}

    assert convert(Jumper(), numbered(300), steps=2).steps == 2


def test_a_decoder_that_does_not_end_is_cut_off() -> None:
    converted = convert(Reader(), numbered(10))
    assert converted.steps == 21
    assert not converted.stopped


def test_a_number_of_steps_can_be_forced() -> None:
    assert convert(Reader(last=0), numbered(10), steps=7).steps == 7
