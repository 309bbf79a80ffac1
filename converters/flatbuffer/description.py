"""Descriptions in the metadata of a file, checked: of its streams, of its decoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from converters.flatbuffer.reader import TfliteFile
from converters.runtime.interpreters import METADATA, parse_metadata
from tfconformer.errors import InputError

Tensor = tuple[tuple[int, ...], str]  # shape and type


class Record(BaseModel):
    """What stands in the metadata, and nothing else."""

    model_config = ConfigDict(extra="forbid", frozen=True)


_Description = TypeVar("_Description", bound=Record)


def parse_description(path: str, file: TfliteFile, key: str, kind: type[_Description]) -> _Description | None:
    """The description under a key of a file's metadata; None if there is none.

    Raises:
      InputError: the file has no metadata, or the description is wrong.
    """
    content = parse_metadata(path, file).get(key)
    if content is None:
        return None
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in (key, *first["loc"]))
        raise InputError(f"{path}: {where} in its {METADATA} metadata: {first['msg']}") from None


def check_signature(path: str, file: TfliteFile, key: str, inputs: set[str], outputs: set[str]) -> None:
    """Checks the names of a signature.

    Raises:
      InputError: the file has no such signature, or with other names.
    """
    signature = file.signatures.get(key)
    if signature is None:
        raise InputError(f"{path}: it has no signature {key!r}, which its metadata describe")
    if signature.inputs != inputs or signature.outputs != outputs:
        raise InputError(f"{path}: inputs and outputs of its signature {key!r} are not those of its metadata")


def check_tensors(path: str, details: Mapping[str, Any], expected: Mapping[str, Tensor]) -> None:
    """Checks tensors of a signature, as the runtimes describe them.

    Raises:
      InputError: one has another shape or type.
    """
    for name, described in expected.items():
        found = tuple(int(size) for size in details[name]["shape"]), np.dtype(details[name]["dtype"]).name
        if found != described:
            raise InputError(f"{path}: its tensor {name} should be {show(described)}, got {show(found)}")


def show(tensor: Tensor | None) -> str:
    """For people: "float32 [1, 640]"."""
    return "absent" if tensor is None else f"{tensor[1]} {list(tensor[0])}"
