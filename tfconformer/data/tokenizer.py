"""The SentencePiece tokenizer with the ids of CTC: 0 is the blank, token i of the SentencePiece model is i + 1.

    tokenizer = Tokenizer.train(texts, TokenizerConfig())
    tokenizer.save("run/tokenizer.model")
    tokenizer.decode(tokenizer.encode("CALL HOME")) == "CALL HOME"

The text is not normalized; runs of spaces count as one.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import sentencepiece

from tfconformer import atomic
from tfconformer.data.config import TokenizerConfig
from tfconformer.errors import InputError, one_line

BLANK = 0
# The largest sentence in bytes that SentencePiece trains on by default; it leaves out longer ones.
_LONGEST_SENTENCE = 4192


class Tokenizer:
    """Converter between text and token ids.

    Attributes:
      vocabulary_size: number of tokens, without the blank; the logits of a CTC model have one column more.
      tokens: texts of the tokens; the id of the first is 1.
    """

    def __init__(self, model: bytes) -> None:
        """Takes a serialized SentencePiece model; `from_file`, `from_bytes` and `train` check it."""
        self._bytes = model
        self._model = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.vocabulary_size: int = self._model.vocab_size()
        self._unknown: int = self._model.unk_id()
        self.tokens: list[str] = self._model.id_to_piece(list(range(self.vocabulary_size)))

    @classmethod
    def train(cls, texts: Iterable[str], config: TokenizerConfig) -> Tokenizer:
        """Trains a tokenizer on transcripts; the same texts in the same order give the same bytes.

        Args:
          texts: transcripts; empty ones are ignored.
          config: kind of model and size of the vocabulary.

        Raises:
          InputError: there is no text, or `vocabulary_size` is below the number of distinct characters.
        """
        texts = [text for text in texts if text.strip()]
        if not texts:
            raise InputError("cannot train a tokenizer: there is no text")
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_writer=model,
                model_type=config.model_type,
                vocab_size=config.vocabulary_size,
                hard_vocab_limit=False,
                character_coverage=1.0,
                normalization_rule_name="identity",
                # A word's first token carries the space. Characters need no such mark at the start of a sentence,
                # where it would be a label without sound.
                add_dummy_prefix=config.model_type != "char",
                max_sentence_length=max(_LONGEST_SENTENCE, *(len(text.encode("utf-8")) for text in texts)),
                unk_id=0,
                bos_id=-1,
                eos_id=-1,
                pad_id=-1,
                num_threads=1,
                minloglevel=2,
            )
        except RuntimeError as error:
            raise InputError(f"cannot train a tokenizer: {one_line(error)}") from None
        tokenizer = cls(model.getvalue())
        missing = tokenizer.missing_characters("".join(texts))
        if missing:
            raise InputError(
                f"a tokenizer of {config.vocabulary_size} tokens has no room for the characters {missing!r} of the "
                f"transcripts; raise vocabulary_size"
            )
        return tokenizer

    @classmethod
    def from_bytes(cls, model: bytes) -> Tokenizer:
        """Reads a serialized SentencePiece model.

        Raises:
          InputError: the bytes are not a SentencePiece model.
        """
        try:
            if model:  # SentencePiece accepts empty bytes, for a model that is loaded later
                return cls(model)
        except RuntimeError:
            pass
        raise InputError(f"not a SentencePiece model ({len(model)} bytes)")

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Tokenizer:
        """Reads a file that `save` wrote.

        Raises:
          InputError: the file is missing or is not a SentencePiece model.
        """
        try:
            return cls.from_bytes(Path(path).read_bytes())
        except OSError as error:
            raise InputError(f"cannot read the tokenizer {path}: {error.strerror}") from None
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def to_bytes(self) -> bytes:
        """Returns the serialized SentencePiece model."""
        return self._bytes

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the SentencePiece model to `path`, atomically."""
        atomic.write_bytes(path, self._bytes)

    def encode(self, text: str) -> list[int]:
        """Returns the token ids of a text, each in [1, vocabulary_size].

        Raises:
          InputError: the text has characters that no token covers (the message names them).
        """
        tokens = self._model.encode(text)
        if self._unknown in tokens:
            raise InputError(f"the tokenizer lacks the characters {self.missing_characters(text)!r} of {text!r}")
        return [token + 1 for token in tokens]

    def encode_as_tokens(self, text: str) -> list[str]:
        """Returns the tokens of a text, as texts.

        Raises:
          InputError: the text has characters that no token covers.
        """
        return [self.tokens[i - 1] for i in self.encode(text)]

    def decode(self, ids: Sequence[int]) -> str:
        """Returns the text of token ids, none of which is the blank.

        Raises:
          ValueError: an id is outside [1, vocabulary_size].
        """
        return str(self._model.decode(self._tokens_of(ids)))

    def words(self, ids: Sequence[int]) -> list[tuple[str, range]]:
        """Splits token ids into words: the text of each, and the positions of its tokens in `ids`.

        Spaces belong to no word: a token of a space alone is in none.

        Raises:
          ValueError: see `decode`.
        """
        tokens = self._model.decode(self._tokens_of(ids), return_type="proto").pieces
        token_of_character = [index for index, token in enumerate(tokens) for _ in token.surface]
        found = re.finditer(r"\S+", "".join(token.surface for token in tokens))
        return [
            (word.group(), range(token_of_character[word.start()], token_of_character[word.end() - 1] + 1))
            for word in found
        ]

    def _tokens_of(self, ids: Sequence[int]) -> list[int]:
        outside = [i for i in ids if not 1 <= i <= self.vocabulary_size]
        if outside:
            raise ValueError(f"identifiers {outside} are not in [1, {self.vocabulary_size}]")
        return [int(i) - 1 for i in ids]

    def missing_characters(self, text: str) -> str:
        """Returns the distinct characters of `text` that no token covers, sorted."""
        return "".join(sorted(c for c in set(text) if self._unknown in self._model.encode(c)))
