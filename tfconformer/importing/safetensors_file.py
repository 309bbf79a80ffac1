"""Files in the format safetensors: 8 bytes with the length of a JSON header, the header, and the values.

The header has for every tensor its type, its shape and the first and last byte of its values, counted from the header's
end (https://huggingface.co/docs/safetensors, "Format"). Values are mapped, and read when they are asked for.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

from tfconformer import strict_json
from tfconformer.errors import InputError
from tfconformer.importing.tensors import Array, StoredTensor

_LONGEST_HEADER = 100_000_000
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "?"}


def read_safetensors(path: Path) -> dict[str, StoredTensor]:
    """Lists the tensors of a file.

    Raises:
      InputError: the file is missing, damaged, or has a tensor of a type that is none of weights.
    """
    try:
        header, start = _read_header(path)
        values = np.memmap(path, np.uint8, mode="r")[start:]
        return {name: _stored(name, entry, values) for name, entry in header.items() if name != "__metadata__"}
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} is not a file of safetensors, or is damaged: {error}") from None


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    """Returns the header, and the position of the first byte after it."""
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        if not 2 <= length <= min(_LONGEST_HEADER, path.stat().st_size - 8):
            raise ValueError("its header is cut off")
        header = strict_json.loads(file.read(length))
    return dict(header), 8 + length


def _stored(name: str, entry: dict[str, Any], values: np.ndarray) -> StoredTensor:
    kind, shape, (first, last) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if kind not in _TYPES:
        raise ValueError(f"the tensor {name} has the type {kind!r}, expected one of {', '.join(_TYPES)}")
    stored = np.dtype(_TYPES[kind])
    if not all(isinstance(size, int) and size >= 0 for size in shape):
        raise ValueError(f"the tensor {name} has no valid shape")
    if not 0 <= first <= last <= len(values) or last - first != stored.itemsize * math.prod(shape):
        raise ValueError(f"the values of the tensor {name} are not in the file")

    def read() -> Array:
        numbers = np.frombuffer(values[first:last], stored)
        if kind == "BF16":  # the upper half of a float32
            numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
        return numbers.astype(np.float32).reshape(shape)

    return StoredTensor(shape, read)
