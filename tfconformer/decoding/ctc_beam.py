"""Prefix beam search over CTC outputs, optionally with an n-gram language model.

The search is that of flashlight-text (Kahn et al. 2022, 2201.12465), an optional dependency. A hypothesis scores

    ln P(labels | audio) + weight * ln P(labels)

where the first probability sums over the alignments in the beam, and the second comes from the language model, which is
over tokens, so that no word is out of vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from tfconformer.decoding.ctc import BLANK
from tfconformer.errors import InputError


class BeamDecoder:
    """Beam-search decoder of whole utterances.

    Args:
      tokens: texts of the tokenizer's tokens, in the order of their ids from 1.
      width: number of hypotheses kept, at least 1.
      language_model: ARPA or KenLM binary file over these tokens; None searches without one.
      weight: factor on the natural logarithm of the language model's probability.

    Raises:
      InputError: flashlight-text is not installed, or the language model cannot be read.
    """

    def __init__(
        self, tokens: Sequence[str], width: int = 16, language_model: str | Path | None = None, weight: float = 0.5
    ):
        library, dictionary = _flashlight()
        self._symbols = 1 + len(tokens)
        options = library.LexiconFreeDecoderOptions(
            beam_size=width,
            beam_size_token=self._symbols,
            beam_threshold=math.inf,
            lm_weight=weight * math.log(10),  # KenLM's logarithms are decimal
            sil_score=0.0,
            log_add=True,
            criterion_type=library.CriterionType.CTC,
        )
        if language_model is None:
            model = library.ZeroLM()
        else:
            # The search never scores the blank with the language model.
            model = _language_model(language_model, dictionary(["<blank>", *tokens]))
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
        logits = np.asarray(logits, np.float64)
        if logits.ndim != 2 or logits.shape[1] != self._symbols:
            raise ValueError(f"logits must have shape [frames, {self._symbols}], got {list(logits.shape)}")
        if np.isnan(logits).any():
            raise ValueError("logits hold a NaN")
        if not len(logits):
            return []
        logits = logits - logits.max(axis=1, keepdims=True)
        logs = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)
        best = self._decoder.decode(logs.ctypes.data, *logs.shape)[0]
        return [symbol for symbol, _ in groupby(best.tokens) if symbol != BLANK]


def _flashlight() -> tuple[Any, Any]:
    try:
        from flashlight.lib.text import decoder
        from flashlight.lib.text.dictionary import Dictionary
    except ImportError:
        raise InputError("beam search needs flashlight-text: pip install 'tfconformer[beam]'") from None
    return decoder, Dictionary


def _language_model(path: str | Path, dictionary: Any) -> Any:
    from flashlight.lib.text.decoder.kenlm import KenLM

    if not Path(path).is_file():
        raise InputError(f"there is no language model {path}")
    try:
        return KenLM(str(path), dictionary)
    except RuntimeError as error:
        raise InputError(f"cannot read the language model {path}: {' '.join(str(error).split())}") from None
    except UnicodeDecodeError:  # of the message of an error, which quotes the file
        raise InputError(f"cannot read the language model {path}: it is no ARPA file and none of KenLM") from None
