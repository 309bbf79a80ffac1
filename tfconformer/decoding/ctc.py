"""Best-path decoding of CTC outputs: the most likely symbol of every frame, repeats merged, blanks dropped.

Graves et al. 2006, section 3.2. NumPy only, so that the same function scores a Keras model while it trains and a
`.tflite` file in a process that has no TensorFlow.
"""

from __future__ import annotations

import numpy as np

BLANK = 0


def greedy_decode(logits: np.ndarray) -> list[int]:
    """Decodes one utterance.

    Args:
      logits: float `[frames, vocabulary + 1]`; logits, log-probabilities and probabilities decode alike. Column 0 is
        the blank. Where several columns of a frame are equal the lowest wins.

    Returns:
      CTC ids in `[1, vocabulary]`, at most one per frame.

    Raises:
      ValueError: `logits` has another rank, no column, or holds a NaN.
    """
    path = np.array(best_path(logits), np.int64)
    keep = path != BLANK
    keep[1:] &= path[1:] != path[:-1]
    return path[keep].tolist()


def best_path(logits: np.ndarray) -> list[int]:
    """The most likely symbol of every frame of `[frames, vocabulary + 1]`.

    Raises:
      ValueError: as `greedy_decode`.
    """
    logits = np.asarray(logits)
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ValueError(f"logits must have shape [frames, vocabulary + 1], got {list(logits.shape)}")
    if np.isnan(logits).any():
        raise ValueError("logits hold a NaN")
    return np.argmax(logits, axis=-1).tolist()


def greedy_decode_batch(logits: np.ndarray, lengths: np.ndarray) -> list[list[int]]:
    """Decodes a padded batch, as a Keras model returns it.

    Args:
      logits: float `[batch, frames, vocabulary + 1]`.
      lengths: int `[batch]`, valid frames of each utterance; what lies behind them is not looked at.

    Returns:
      One list of CTC ids per utterance.

    Raises:
      ValueError: the shapes do not fit each other, a length exceeds `frames`, or a valid frame holds a NaN.
    """
    logits, lengths = np.asarray(logits), np.asarray(lengths)
    if logits.ndim != 3 or lengths.shape != logits.shape[:1]:
        raise ValueError(
            "expected logits [batch, frames, vocabulary + 1] and lengths [batch], "
            f"got {list(logits.shape)} and {list(lengths.shape)}"
        )
    if ((lengths < 0) | (lengths > logits.shape[1])).any():
        raise ValueError(f"lengths must lie in [0, {logits.shape[1]}], got {lengths.tolist()}")
    return [greedy_decode(utterance[:length]) for utterance, length in zip(logits, lengths, strict=True)]


class GreedyStream:
    """`greedy_decode` of an utterance whose logits arrive in pieces.

    Attributes:
      ids: CTC ids so far.
      starts: of every id, the frame in which it began.
      frames: that went through.
      trailing_blanks: blank frames since the last one that was none; all frames as long as there is none.
    """

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.starts: list[int] = []
        self.frames = 0
        self.trailing_blanks = 0
        self._last = BLANK

    def push(self, logits: np.ndarray) -> None:
        """Takes the next logits `[any number of frames, vocabulary + 1]`.

        Raises:
          ValueError: as `greedy_decode`; nothing is taken then.
        """
        for symbol in best_path(logits):
            if symbol not in (BLANK, self._last):
                self.ids.append(symbol)
                self.starts.append(self.frames)
            self.trailing_blanks = self.trailing_blanks + 1 if symbol == BLANK else 0
            self.frames += 1
            self._last = symbol
