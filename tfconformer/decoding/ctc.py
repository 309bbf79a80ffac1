"""Greedy decoding of CTC outputs: the most likely symbol of every frame, repeats merged, blanks dropped.

Graves et al. 2006, section 3.2 ("best path decoding"). NumPy only, so that the same function scores a Keras model
during training and a `.tflite` file in a process without TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tfconformer.decoding.probabilities import log_probabilities

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


class CTCPath:
    """The labels of a path through the frames: repeats merged, blanks dropped.

    Attributes:
      ids: token ids so far, each in [1, vocabulary].
      starts: for each id, the first frame of its run.
      ends: for each id, the frame after the last one of its run.
      confidences: for each id, its highest probability in a frame of its run, in [0, 1].
      frames: number of frames so far.
    """

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.confidences: list[float] = []
        self.frames = 0
        self._last = BLANK

    @property
    def trailing_blanks(self) -> int:
        """Number of blank frames after the last frame that was none; `frames` if all were blank."""
        return self.frames - self.ends[-1] if self.ends else self.frames

    def extend(self, symbols: Iterable[int], logits: np.ndarray) -> None:
        """Continues the path.

        Args:
          symbols: the symbol of each of the next frames, in [0, vocabulary].
          logits: [frames, vocabulary + 1], the logits or log-probabilities of these frames.
        """
        for symbol, frame in zip(symbols, log_probabilities(logits), strict=True):
            if symbol != BLANK:
                probability = float(np.exp(frame[symbol]))
                if symbol != self._last:
                    self.ids.append(symbol)
                    self.starts.append(self.frames)
                    self.ends.append(self.frames + 1)
                    self.confidences.append(probability)
                self.ends[-1] = self.frames + 1
                self.confidences[-1] = max(self.confidences[-1], probability)
            self.frames += 1
            self._last = symbol


class StreamingCTCDecoder(CTCPath):
    """Greedy decoder of one utterance whose logits arrive in chunks; the result is that of `greedy_decode`."""

    def push(self, logits: np.ndarray) -> None:
        """Decodes the next logits, [any number of frames, vocabulary + 1].

        Raises:
          ValueError: `logits` has another rank, no column, or holds a NaN; the decoder is unchanged then.
        """
        self.extend(best_path(logits), logits)
