"""The delay of labels, on a tone in silence and frames made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from converters.exporter.label_delay import label_delay
from converters.exporter.verify import Reference
from tfconformer.tasks.task import Trace

RATE, FRAME_SECONDS = 16000, 0.04


def reference(onset: float, end: float, labelled: tuple[int, int] | None) -> Reference:
    waveform = np.zeros(2 * RATE, np.float32)
    waveform[round(onset * RATE) : round(end * RATE)] = 0.5
    return Reference(waveform, Trace(np.zeros([50, 3], np.float32), labelled=labelled))


@pytest.mark.parametrize(
    ("frames", "delay_ms"),
    [
        ([(15, 40)], 150),  # 0.6 s and 1.6 s for speech from 0.5 to 1.4 s: 100 and 200 ms late
        ([(15, 40), None, (14, 38), (20, 37)], 110),  # 100, 200, 60, 120, 300 and 80 ms
        ([(0, 30)], 0),  # before the sound
    ],
)
def test_the_delay_is_the_median_over_both_ends_of_all_utterances(frames, delay_ms):
    references = [reference(0.5, 1.4, labelled) for labelled in frames]
    assert label_delay(references, FRAME_SECONDS, RATE) == {"label_delay_ms": delay_ms}


def test_without_labels_there_is_no_delay():
    assert label_delay([reference(0.5, 1.4, None)], FRAME_SECONDS, RATE) == {}
