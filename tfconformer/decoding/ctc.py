"""Greedy decoding of CTC outputs: the most likely symbol of every frame, repeats merged, blanks dropped.

Graves et al. 2006, section 3.2 ("best path decoding"). NumPy only, so that the same function scores a Keras model
during training and a `.tflite` file in a process without TensorFlow.
"""

from __future__ import annotations

import numpy as np

BLANK = 0


def greedy_decode(logits: np.ndarray) -> list[int]:
    """Decodes one utterance.

    Args:
      logits: [frames, vocabulary + 1] float; logits, log-probabilities and probabilities decode alike. Column 0 is the
        blank. Where several columns of a frame are equal the lowest wins.

    Returns:
      Token ids in [1, vocabulary], at most one per frame.

    Raises:
      ValueError: `logits` has another rank, no column, or holds a NaN.
    """
    path = np.array(best_path(logits), np.int64)
    keep = path != BLANK
    keep[1:] &= path[1:] != path[:-1]
    return path[keep].tolist()


def best_path(logits: np.ndarray) -> list[int]:
    """Returns the most likely symbol of every frame of [frames, vocabulary + 1].

    Raises:
      ValueError: `logits` has another rank, no column, or holds a NaN.
    """
    logits = np.asarray(logits)
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ValueError(f"logits must have shape [frames, vocabulary + 1], got {list(logits.shape)}")
    if np.isnan(logits).any():
        raise ValueError("logits hold a NaN")
    return np.argmax(logits, axis=-1).tolist()


class StreamingCTCDecoder:
    """Greedy decoder of one utterance whose logits arrive in chunks; the result is that of `greedy_decode`.

    Attributes:
      ids: token ids so far, each in [1, vocabulary].
      starts: for each id, the frame in which it began.
      frames: number of frames decoded so far.
      trailing_blanks: number of blank frames after the last frame that was none; `frames` if all were blank.
    """

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.starts: list[int] = []
        self.frames = 0
        self.trailing_blanks = 0
        self._last = BLANK

    def push(self, logits: np.ndarray) -> None:
        """Decodes the next logits, [any number of frames, vocabulary + 1].

        Raises:
          ValueError: `logits` has another rank, no column, or holds a NaN; the decoder is unchanged then.
        """
        for symbol in best_path(logits):
            if symbol not in (BLANK, self._last):
                self.ids.append(symbol)
                self.starts.append(self.frames)
            self.trailing_blanks = self.trailing_blanks + 1 if symbol == BLANK else 0
            self.frames += 1
            self._last = symbol
