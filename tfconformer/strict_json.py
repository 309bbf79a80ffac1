"""JSON of the standard (RFC 8259): without NaN, infinities, or an object that has a key twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from tfconformer.errors import InputError

MAX_DEPTH = 64  # objects and arrays in one another


def loads(text: str | bytes, surrogates: bool = False) -> Any:
    """Parses JSON.

    Args:
      text: the document.
      surrogates: True if texts may have half of a pair of surrogates, which cannot be encoded.

    Raises:
      ValueError: it is not JSON, has a number that is not finite or an object with a key twice, its objects and arrays
        are more than `MAX_DEPTH` deep, or a text is not Unicode.
    """
    try:
        tree = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    _check_depth(tree, MAX_DEPTH)
    if not surrogates:
        try:
            json.dumps(tree, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError("half of a pair of surrogates is no text") from None
    return tree


def read_object(path: Path, kind: str = "file") -> dict[str, Any]:
    """Reads a JSON file whose top level is an object.

    Args:
      path: the file.
      kind: noun for error messages, such as "tokenizer".

    Raises:
      InputError: the file cannot be read, is not JSON as `loads` has it, or is not an object.
    """
    try:
        tree = loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read the {kind} {path}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from None
    if not isinstance(tree, dict):
        raise InputError(f"{path} is no object of JSON")
    return tree


def dumps(tree: Any, **options: Any) -> str:
    """Writes JSON; the options are those of `json.dumps`.

    Raises:
      ValueError: a number is not finite.
    """
    return json.dumps(tree, allow_nan=False, **options)


_TOO_DEEP = f"objects and arrays are more than {MAX_DEPTH} deep"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), -float("inf")):
        raise ValueError(f"{digits} is too large")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in tree if keys.count(key) > 1)!r} is there twice")
    return tree


def _check_depth(tree: Any, left: int) -> None:
    children = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    if children and left == 0:
        raise ValueError(_TOO_DEEP)
    for child in children:
        _check_depth(child, left - 1)
