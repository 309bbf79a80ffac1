"""The files of `Wav2Vec2CTCTokenizer` of transformers, tokens by name, as a SentencePiece model with the same ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfconformer.errors import InputError
from tfconformer.importing.sentencepiece_model import Kind, Piece, sentencepiece_model
from tfconformer.strict_json import read_object

_SPACE = "\u2581"  # in pieces
# The values of settings that a SentencePiece model cannot follow, the defaults of the class.
_SUPPORTED: dict[str, Any] = {
    "tokenizer_class": "Wav2Vec2CTCTokenizer",
    "do_lower_case": False,
    "replace_word_delimiter_char": " ",
    "target_lang": None,
}


def read_ctc_vocabulary(path: Path, symbols: int, blank: int) -> bytes:
    """Returns the serialized SentencePiece model of the tokens of a CTC head, without its blank.

    A text is split into characters; a token of several is one that only a model puts out.

    Args:
      path: the file `vocab.json`, beside which `tokenizer_config.json` and `added_tokens.json` may lie.
      symbols: number of the head's symbols; tokens from this id on belong to other uses of the tokenizer.
      blank: id of the blank.

    Raises:
      InputError: a file is missing or damaged, a symbol has no token, or the settings are of another tokenizer.
    """
    settings = _read_optional(path.with_name("tokenizer_config.json"))
    for key, value in _SUPPORTED.items():
        if settings.get(key, value) != value:
            raise InputError(
                f"{path.with_name('tokenizer_config.json')}: the tokenizer has {key} {settings[key]!r}, and one with "
                f"{value!r} can be imported"
            )
    vocabulary = _read(path) | _read_optional(path.with_name("added_tokens.json"))
    if not all(isinstance(index, int) for index in vocabulary.values()):
        raise InputError(f"{path} does not give every token its id")
    texts = {index: text for text, index in vocabulary.items()}
    ids = [index for index in range(symbols) if index != blank]
    missing = [index for index in ids if index not in texts]
    if missing:
        raise InputError(f"{path} has no token for the symbol {missing[0]} of the model's {symbols}")
    unknown = _content(settings, "unk_token", "<unk>")
    if unknown not in (texts[index] for index in ids):
        raise InputError(f"{path} has no token {unknown}, which a SentencePiece model needs")
    space = _content(settings, "word_delimiter_token", "|")
    control = {_content(settings, f"{kind}_token", f"<{text}>") for kind, text in (("bos", "s"), ("eos", "/s"))}
    kinds = {unknown: Kind.UNKNOWN, **dict.fromkeys(control, Kind.CONTROL)}
    pieces = [
        Piece(_SPACE if texts[index] == space else texts[index], 0.0, kinds.get(texts[index], Kind.NORMAL))
        for index in ids
    ]
    return sentencepiece_model(pieces, "char", dummy_prefix=False)


def _read_optional(path: Path) -> dict[str, Any]:
    return _read(path) if path.is_file() else {}


def _read(path: Path) -> dict[str, Any]:
    return read_object(path, "tokenizer")


def _content(settings: dict[str, Any], key: str, default: str) -> str:
    """Returns the text of a token in the settings, which may be an object that describes it."""
    token = settings.get(key, default)
    return str(token.get("content", default) if isinstance(token, dict) else token)
