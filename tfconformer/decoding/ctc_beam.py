"""Prefix beam search over CTC outputs, optionally with an n-gram language model and hotwords.

The search is that of flashlight-text (Kahn et al. 2022, 2201.12465), an optional dependency. A hypothesis scores

    ln P(labels | audio) + weight * ln P(labels) + gain(labels)

where the first probability sums over the alignments in the beam, the second comes from the language model, which is
over tokens, so that no word is out of vocabulary, and the gain is that of hotwords (`tfconformer.decoding.hotwords`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from tfconformer.decoding.ctc import BLANK, CTCPath
from tfconformer.decoding.hotwords import HotwordTree
from tfconformer.decoding.probabilities import log_probabilities
from tfconformer.errors import InputError, one_line


class BeamDecoder:
    """Beam-search decoder of whole utterances.

    Args:
      tokens: texts of the tokenizer's tokens, in the order of their ids from 1.
      width: number of hypotheses kept, at least 1.
      language_model: ARPA or KenLM binary file over these tokens; None searches without one.
      weight: factor on the natural logarithm of the language model's probability.
      hotwords: the tree of phrases to prefer; None prefers none.

    Raises:
      InputError: flashlight-text is not installed, or the language model cannot be read.
    """

    def __init__(
        self,
        tokens: Sequence[str],
        width: int = 16,
        language_model: str | Path | None = None,
        weight: float = 0.5,
        hotwords: HotwordTree | None = None,
    ):
        library, dictionary = _flashlight()
        self._symbols = 1 + len(tokens)
        self._hotwords = hotwords
        weight *= math.log(10)  # KenLM's logarithms are decimal
        if language_model is None:
            model = library.ZeroLM()
        else:
            # The search never scores the blank with the language model.
            model = _language_model(language_model, dictionary(["<blank>", *tokens]))
        if hotwords is not None:
            model, weight = _with_hotwords(library, model, weight, hotwords), 1.0
        self._model = model  # the decoder does not keep the Python half of a model alive
        options = library.LexiconFreeDecoderOptions(
            beam_size=width,
            beam_size_token=self._symbols,
            beam_threshold=math.inf,
            lm_weight=weight,
            sil_score=0.0,
            log_add=True,
            criterion_type=library.CriterionType.CTC,
        )
        # The "silence" is where a path begins: at the blank, so that any label may be the first.
        self._decoder = library.LexiconFreeDecoder(options, model, BLANK, BLANK, [])

    def decode(self, logits: np.ndarray) -> list[int]:
        """Decodes one utterance.

        Args:
          logits: [frames, vocabulary + 1] float, logits or log-probabilities, the blank in column 0.

        Returns:
          Token ids in [1, vocabulary].

        Raises:
          ValueError: `logits` has another shape or holds a NaN.
        """
        logs = self._checked(logits)
        if not len(logs):
            return []
        best = self._decoder.decode(logs.ctypes.data, *logs.shape)[0]
        return list(_labels(best.tokens))

    def begin(self) -> None:
        """Begins an utterance whose logits arrive in chunks."""
        self._decoder.decode_begin()

    def push(self, logits: np.ndarray) -> np.ndarray:
        """Continues the utterance.

        Args:
          logits: see `decode`; any number of frames.

        Returns:
          The log-probabilities of the frames, of the same shape, float32.

        Raises:
          ValueError: see `decode`; the search is unchanged then.
        """
        logs = self._checked(logits)
        if len(logs):
            self._decoder.decode_step(logs.ctypes.data, *logs.shape)
        return logs

    def best_path(self) -> list[int]:
        """Returns the symbol of each frame since `begin`, as the best hypothesis was aligned.

        The hypothesis is that of `decode` without a language model. The beam holds two alignments of it, one that ends
        with a blank and one that ends with a label: the more likely one is taken.
        """
        paths: dict[tuple[int, ...], list[Any]] = {}
        for path in self._decoder.get_all_final_hypothesis():
            paths.setdefault(_labels(path.tokens), []).append(path)
        best = max(
            paths, key=lambda labels: np.logaddexp.reduce([path.score for path in paths[labels]]) + self._ending(labels)
        )
        return list(
            max(paths[best], key=lambda path: path.score).tokens[1:]
        )  # before the first frame stands the "silence"

    def _ending(self, labels: Sequence[int]) -> float:
        """Returns what is added to the score of a hypothesis if the utterance ends with it."""
        if self._hotwords is None:
            return 0.0
        match = self._hotwords.match(labels)
        return self._hotwords.final_gain(match) - self._hotwords.gain(match)

    def _checked(self, logits: np.ndarray) -> np.ndarray:
        """Returns log-probabilities, float32, of logits that have the right shape and no NaN."""
        logits = np.asarray(logits, np.float64)
        if logits.ndim != 2 or logits.shape[1] != self._symbols:
            raise ValueError(f"logits must have shape [frames, {self._symbols}], got {list(logits.shape)}")
        if np.isnan(logits).any():
            raise ValueError("logits hold a NaN")
        return log_probabilities(logits).astype(np.float32)


class StreamingCTCBeamDecoder:
    """Decoder with a beam of one utterance whose logits arrive in chunks, with the attributes of `CTCPath`.

    The places in time are those of the alignment with which the best hypothesis survived in the beam. The last labels
    may be replaced as more frames arrive.
    """

    def __init__(self, beam: BeamDecoder) -> None:
        """Begins an utterance with a decoder that has no other one."""
        self._beam = beam
        self._frames: list[np.ndarray] = []
        self._path: CTCPath | None = CTCPath()
        beam.begin()

    def push(self, logits: np.ndarray) -> None:
        """Decodes the next logits, [any number of frames, vocabulary + 1].

        Raises:
          ValueError: see `BeamDecoder.decode`; the decoder is unchanged then.
        """
        self._frames.extend(self._beam.push(logits))
        self._path = None

    @property
    def ids(self) -> list[int]:
        """Token ids of the best hypothesis, each in [1, vocabulary]."""
        return self._best.ids

    @property
    def starts(self) -> list[int]:
        """For each id, the first frame of its run."""
        return self._best.starts

    @property
    def ends(self) -> list[int]:
        """For each id, the frame after the last one of its run."""
        return self._best.ends

    @property
    def confidences(self) -> list[float]:
        """For each id, its highest probability in a frame of its run."""
        return self._best.confidences

    @property
    def frames(self) -> int:
        """Number of frames so far."""
        return len(self._frames)

    @property
    def trailing_blanks(self) -> int:
        """Number of blank frames after the last frame that was none; `frames` if all were blank."""
        return self._best.trailing_blanks

    @property
    def _best(self) -> CTCPath:
        if self._path is None:
            self._path = CTCPath()
            if self._frames:
                self._path.extend(self._beam.best_path(), np.stack(self._frames))
        return self._path


def _labels(path: Iterable[int]) -> tuple[int, ...]:
    return tuple(symbol for symbol, _ in groupby(path) if symbol != BLANK)


def _flashlight() -> tuple[Any, Any]:
    try:
        from flashlight.lib.text import decoder
        from flashlight.lib.text.dictionary import Dictionary
    except ImportError:
        raise InputError("beam search needs flashlight-text: pip install 'tfconformer[beam]'") from None
    return decoder, Dictionary


def _with_hotwords(library: Any, model: Any, weight: float, hotwords: HotwordTree) -> Any:
    """Returns a language model of flashlight-text that adds the gains of hotwords to `weight` times another one."""

    class Hotwords(library.LM):
        def start(self, start_with_nothing: bool) -> Any:
            state = library.LMState()
            # For each state that of the other model, the match, and the score of the step to it.
            self.entries = {state: (model.start(start_with_nothing), hotwords.start, 0.0)}
            return state

        def score(self, state: Any, label: int) -> tuple[Any, float]:
            following = state.child(label)
            if following not in self.entries:
                before, match, _ = self.entries[state]
                after, score = model.score(before, label)
                longer = hotwords.advance(match, label)
                gain = hotwords.gain(longer) - hotwords.gain(match)
                self.entries[following] = (after, longer, weight * score + gain)
            return following, self.entries[following][2]

        def finish(self, state: Any) -> tuple[Any, float]:
            before, match, _ = self.entries[state]
            _, score = model.finish(before)
            return state, weight * score + hotwords.final_gain(match) - hotwords.gain(match)

    return Hotwords()


def _language_model(path: str | Path, dictionary: Any) -> Any:
    from flashlight.lib.text.decoder.kenlm import KenLM

    if not Path(path).is_file():
        raise InputError(f"there is no language model {path}")
    try:
        return KenLM(str(path), dictionary)
    except RuntimeError as error:
        raise InputError(f"cannot read the language model {path}: {one_line(error)}") from None
    except UnicodeDecodeError:  # of the message of an error, which quotes the file
        raise InputError(f"cannot read the language model {path}: it is no ARPA file and none of KenLM") from None
