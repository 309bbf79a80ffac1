"""SentencePiece models, written piece by piece.

A model is a message of Protocol Buffers (sentencepiece_model.proto), whose few fields are written here: the module of
the package sentencepiece needs another version of protobuf than TensorFlow does.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


class Kind(enum.IntEnum):
    """The kind of a piece, by its number in the format."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    BYTE = 6


@dataclass(frozen=True)
class Piece:
    """A piece of a model: its text, its score (higher is preferred), and its kind."""

    text: str
    score: float
    kind: Kind = Kind.NORMAL


_ALGORITHMS = {"unigram": 1, "bpe": 2, "char": 4}


def sentencepiece_model(
    pieces: Sequence[Piece],
    algorithm: Literal["unigram", "bpe", "char"],
    dummy_prefix: bool,
    character_map: bytes = b"",
) -> bytes:
    """Returns a serialized model.

    Args:
      pieces: the pieces by their ids; exactly one is unknown.
      algorithm: the rule by which a text is split.
      dummy_prefix: True if a space is put in front of every text.
      character_map: a compiled map of characters by which texts are normalized; empty leaves them as they are.
    """
    message = b"".join(_message(1, _piece(piece)) for piece in pieces)
    unknown = next(index for index, piece in enumerate(pieces) if piece.kind is Kind.UNKNOWN)
    trainer = _number(3, _ALGORITHMS[algorithm]) + _number(4, len(pieces)) + _number(40, unknown)
    trainer += _number(35, int(any(piece.kind is Kind.BYTE for piece in pieces)))
    for absent in (41, 42, 43):  # begin and end of a sentence, padding
        trainer += _number(absent, -1)
    normalizer = _message(1, b"imported") + _message(2, character_map) + _number(3, int(dummy_prefix))
    return message + _message(2, trainer) + _message(3, normalizer)


def _piece(piece: Piece) -> bytes:
    return _message(1, piece.text.encode("utf-8")) + b"\x15" + struct.pack("<f", piece.score) + _number(3, piece.kind)


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value % 2**64)


def _varint(value: int) -> bytes:
    groups = []
    while True:
        groups.append(value & 0x7F | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(groups)
