"""Speech begins shortly before its first label, in whatever chunks its frames arrive."""

from __future__ import annotations

import numpy as np
import pytest

from tfconformer.decoding.ctc import StreamingCTCDecoder
from tfconformer.decoding.onset import LEAD_FRAMES, SpokenFrames, spoken_frames


def utterance(count: int, first: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Frames that are their numbers, and logits whose first label is in frame `first`."""
    logits = np.tile(np.array([1.0, 0.0], np.float32), (count, 1))
    if first is not None:
        logits[first::3] = [0.0, 1.0]
    return np.arange(count, dtype=np.float32)[:, np.newaxis], logits


@pytest.mark.parametrize("size", [1, 7, 9, 100])
@pytest.mark.parametrize("first", [0, 3, LEAD_FRAMES, LEAD_FRAMES + 1, 40, 59])
def test_speech_begins_before_the_first_label(first: int, size: int) -> None:
    frames, logits = utterance(60, first)
    expected = np.arange(max(first - LEAD_FRAMES, 0), 60)
    np.testing.assert_array_equal(spoken_frames(frames, logits)[:, 0], expected)
    path, spoken = StreamingCTCDecoder(), SpokenFrames()
    found = []
    for start in range(0, 60, size):
        path.push(logits[start : start + size])
        found.append(spoken.push(frames[start : start + size], path))
    np.testing.assert_array_equal(np.concatenate(found)[:, 0], expected)


def test_where_no_label_is_nothing_is_spoken() -> None:
    assert spoken_frames(*utterance(60, None)).shape == (0, 1)


def test_silence_is_not_kept() -> None:
    path, spoken = StreamingCTCDecoder(), SpokenFrames()
    for _ in range(50):
        frames, logits = utterance(9, None)
        path.push(logits)
        assert not len(spoken.push(frames, path))
    assert len(spoken._held) == LEAD_FRAMES
