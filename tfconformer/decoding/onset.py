"""Beginning of speech among the frames of an encoder with a CTC head.

A decoder is trained on utterances that begin with the speech, and babbles over a long silence. So it is given the
frames from shortly before the first label on; where there is no label, nothing was said. NumPy only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tfconformer.decoding.ctc import CTCPath, StreamingCTCDecoder

# Frames before the first label. In the pairs for training the first label is in frame 11 in the median, 15 at most, and
# 5 frames after the onset of the sound.
LEAD_FRAMES = 12

Floats = NDArray[np.float32]


class SpokenFrames:
    """The frames of one utterance from `LEAD_FRAMES` before its first label on, of frames that arrive in chunks."""

    def __init__(self) -> None:
        self._held: Floats | None = None
        self._begun = False

    def push(self, frames: Floats, path: CTCPath) -> Floats:
        """Takes frames and returns those that are spoken, some of which may have been taken before.

        Args:
          frames: [any number, width].
          path: the labels of the utterance, of which these frames are the last ones.
        """
        if self._begun:
            return frames
        held = frames if self._held is None else np.concatenate([self._held, frames])
        if not path.starts:
            self._held = held[-LEAD_FRAMES:]
            return held[:0]
        self._begun = True
        self._held = None
        first = path.starts[0] - (path.frames - len(held))
        return held[max(first - LEAD_FRAMES, 0) :]


def spoken_frames(frames: Floats, logits: Floats) -> Floats:
    """Returns the frames [count, width] of a whole utterance that are spoken, by the CTC logits [count, symbols]."""
    path = StreamingCTCDecoder()
    path.push(logits)
    return SpokenFrames().push(frames, path)
