"""The errors of pitch in speech that should be a reference frame by frame, as in copy synthesis."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tfconformer.features.config import FeatureConfig
from tfconformer.features.pitch import track_pitch

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class PitchError:
    """Errors over the frames of all utterances.

    Attributes:
      cents: root mean square difference of the fundamental frequency, in hundredths of a semitone, over the frames
        in which both have a voice; None if there is none.
      voicing: share of frames of which only one has a voice.
    """

    cents: float | None
    voicing: float


def pitch_error(pairs: Iterable[tuple[Samples, Samples]], features: FeatureConfig) -> PitchError:
    """Compares the pitch of speech with that of its reference.

    Args:
      pairs: waveforms [samples] and their references [samples], which begin at the same time; what is longer than the
        other does not count.
      features: sample rate and frames, see `track_pitch`.
    """
    squares, voiced, wrong, frames = 0.0, 0, 0, 0
    for speech, reference in pairs:
        size = min(len(speech), len(reference))
        ours, theirs = track_pitch(np.stack([speech[:size], reference[:size]]), features)
        both = (ours > 0) & (theirs > 0)
        squares += float(np.sum(np.square(1200 * np.log2(ours[both] / theirs[both]))))
        voiced += int(both.sum())
        wrong += int(((ours > 0) != (theirs > 0)).sum())
        frames += len(ours)
    return PitchError((squares / voiced) ** 0.5 if voiced else None, wrong / max(frames, 1))
