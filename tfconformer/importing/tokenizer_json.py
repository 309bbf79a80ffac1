"""The file `tokenizer.json` of the Hugging Face library `tokenizers`, as a SentencePiece model with the same ids."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfconformer import strict_json
from tfconformer.errors import InputError
from tfconformer.importing.sentencepiece_model import Kind, Piece, sentencepiece_model

_UNKNOWN = "<unk>"
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
# Steps that SentencePiece does as well: it strips, joins runs of spaces, and marks words by U+2581.
_NORMALIZERS = {"Sequence", "Precompiled", "Strip", "Replace", "Prepend"}
_PRE_TOKENIZERS = {"Sequence", "Metaspace", "WhitespaceSplit"}


def read_tokenizer_json(path: Path, symbols: int, blank: int) -> bytes:
    """Returns the serialized SentencePiece model of the tokens of a CTC head, without its blank.

    Args:
      path: the file.
      symbols: number of the head's symbols; tokens from this id on belong to other uses of the tokenizer.
      blank: id of the blank.

    Raises:
      InputError: the file is missing or damaged, lacks a symbol, or splits texts as SentencePiece cannot.
    """
    try:
        return _convert(strict_json.loads(path.read_bytes()), symbols, blank)
    except OSError as error:
        raise InputError(f"cannot read the tokenizer {path}: {error.strerror}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise InputError(f"{path} is not a tokenizer of the library tokenizers: {error!r}") from None


def _convert(tree: dict[str, Any], symbols: int, blank: int) -> bytes:
    model = tree["model"]
    if model["type"] not in ("BPE", "Unigram"):
        raise InputError(
            f"a tokenizer of the type {model['type']!r} has no SentencePiece form, expected BPE or Unigram"
        )
    _check_steps(tree.get("normalizer"), _NORMALIZERS, "normalizer")
    _check_steps(tree.get("pre_tokenizer"), _PRE_TOKENIZERS, "pre-tokenizer")
    scores = _bpe_scores(model) if model["type"] == "BPE" else [(text, float(score)) for text, score in model["vocab"]]
    pieces = {index: Piece(text, score, _kind(text, model)) for index, (text, score) in enumerate(scores)}
    for added in tree.get("added_tokens") or []:
        kind = Kind.CONTROL if added["special"] else Kind.USER_DEFINED
        text = added["content"]
        pieces[added["id"]] = Piece(text, 0.0, Kind.UNKNOWN if text == _UNKNOWN else kind)
    ids = [index for index in range(symbols) if index != blank]
    missing = [index for index in ids if index not in pieces]
    if missing:
        raise InputError(f"it has no token for the symbol {missing[0]} of the model's {symbols}")
    if sum(pieces[index].kind is Kind.UNKNOWN for index in ids) != 1:
        raise InputError(f"it has no token {_UNKNOWN}, which a SentencePiece model needs")
    metaspaces = [step for step in _steps(tree.get("pre_tokenizer")) if step["type"] == "Metaspace"]
    return sentencepiece_model(
        [pieces[index] for index in ids],
        "bpe" if model["type"] == "BPE" else "unigram",
        dummy_prefix=any(step.get("prepend_scheme", "always") != "never" for step in metaspaces),
        character_map=_character_map(tree.get("normalizer")),
    )


def _bpe_scores(model: dict[str, Any]) -> list[tuple[str, float]]:
    """Returns the tokens by id with their scores: the earlier a merge, the higher the score of its result."""
    order: dict[str, int] = {}
    for merge in model["merges"]:
        order.setdefault("".join(merge.split(" ") if isinstance(merge, str) else merge), len(order))
    texts = sorted(model["vocab"], key=model["vocab"].__getitem__)
    if [model["vocab"][text] for text in texts] != list(range(len(texts))):
        raise InputError("the ids of its vocabulary are not consecutive")
    return [(text, -float(order.get(text, len(order)))) for text in texts]


def _kind(text: str, model: dict[str, Any]) -> Kind:
    if text == _UNKNOWN:
        return Kind.UNKNOWN
    return Kind.BYTE if model.get("byte_fallback") and _BYTE.fullmatch(text) else Kind.NORMAL


def _steps(step: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """Yields a step and those inside of it."""
    if step is not None:
        yield step
        for inner in step.get("normalizers", step.get("pretokenizers", [])):
            yield from _steps(inner)


def _check_steps(step: dict[str, Any] | None, known: set[str], what: str) -> None:
    for one in _steps(step):
        if one["type"] not in known:
            raise InputError(f"its {what} {one['type']!r} has no SentencePiece form")


def _character_map(normalizer: dict[str, Any] | None) -> bytes:
    maps = [step["precompiled_charsmap"] for step in _steps(normalizer) if step["type"] == "Precompiled"]
    return base64.b64decode(maps[0]) if maps else b""
