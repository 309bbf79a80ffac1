"""The settings of a beam search, whichever the task."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tfconformer.decoding.hotwords import HotwordTree
from tfconformer.errors import InputError

if TYPE_CHECKING:  # the processes that run files do without it
    from tfconformer.data.tokenizer import Tokenizer


@dataclass(frozen=True)
class BeamSearch:
    """The settings of a beam search.

    Attributes:
      width: maximum number of hypotheses, at least 1.
      language_model: for CTC, the file of an n-gram model over the tokenizer's tokens; None uses none.
      language_model_weight: weight of the language model's log-probabilities.
      hotwords: words or phrases that the search prefers.
      hotword_boost: what a token of a hotword adds to the score of a hypothesis, in nats.
    """

    width: int
    language_model: Path | None = None
    language_model_weight: float = 0.5
    hotwords: tuple[str, ...] = ()
    hotword_boost: float = 1.5

    def hotword_tree(self, tokenizer: Tokenizer) -> HotwordTree | None:
        """Returns the tree of the hotwords in the labels of a model; None if there are no hotwords.

        Raises:
          InputError: see `HotwordTree`.
        """
        return HotwordTree(self.hotwords, tokenizer, self.hotword_boost) if self.hotwords else None


def read_hotwords(path: Path) -> tuple[str, ...]:
    """Reads a file of one word or phrase per line, UTF-8; empty lines are left out.

    Raises:
      InputError: the file cannot be read, or has no hotword.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InputError(f"cannot read the hotwords {str(path)!r}: {reason}") from None
    phrases = tuple(phrase for line in lines if (phrase := " ".join(line.split())))
    if not phrases:
        raise InputError(f"{path} has no hotword")
    return phrases
