"""The check that a model can write what it is scored against."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from tfconformer.data.tokenizer import Tokenizer

logger = logging.getLogger(__name__)


def warn_of_unwritable(tokenizer: Tokenizer, references: Iterable[str]) -> None:
    """Logs which characters of the references no token writes, so that every word with one counts as an error."""
    texts = list(references)
    missing = tokenizer.missing_characters("".join(texts))
    if missing:
        count = sum(any(character in text for character in missing) for text in texts)
        logger.warning(
            "%d of %d references have characters that the model cannot write, %r: each of their words is an error; "
            "`tfconformer data shards --normalize` makes English words in upper case of the transcripts",
            *(count, len(texts), missing),
        )
