"""The delay of a model's labels behind the speech that they stand for, measured on the utterances of the verification.

A model that is given little of what follows learns to emit a label after its sound is over: streaming models are a
quarter of a second late. The delay is nearly the same for all words, so that the ends of an utterance stand for all:
there the level of the audio says where speech is.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from converters.exporter.verify import Reference
from converters.runtime.speech_bounds import speech_bounds


def label_delay(references: Iterable[Reference], frame_seconds: float, rate: int) -> dict[str, int]:
    """Measures the delay of a model, as a setting of its task in the metadata.

    Args:
      references: utterances with the model's labels.
      frame_seconds: length of a frame of the model's outputs.
      rate: sample rate in Hz.

    Returns:
      `label_delay_ms`, the median in milliseconds of how much later than speech labels begin and end, at least 0: a
      model of whole utterances may emit the first one before its sound. Nothing if no utterance has labels.
    """
    delays = [
        frame * frame_seconds - spoken
        for one in references
        if one.trace.labelled is not None
        for frame, spoken in zip(one.trace.labelled, speech_bounds(one.waveform, rate), strict=True)
    ]
    return {"label_delay_ms": max(0, round(1e3 * float(np.median(delays))))} if delays else {}
