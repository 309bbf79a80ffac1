"""Files of PyTorch's `torch.save`: a ZIP archive of a pickle, and of the values of every storage as a file of its own.

The pickle is read by an unpickler that makes tensors and dictionaries and calls nothing else, so that a file cannot run
code. Values are read from the archive when they are asked for.
"""

from __future__ import annotations

import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from tfconformer.errors import InputError
from tfconformer.importing.tensors import Array, StoredTensor

_TYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "BoolStorage": "?",
}


def read_pytorch(file: IO[bytes], path: object) -> dict[str, StoredTensor]:
    """Lists the tensors of a dictionary of tensors, as `torch.save(model.state_dict(), path)` writes it.

    Args:
      file: the open file, which must stay open as long as the tensors are read.
      path: its path, for messages.

    Raises:
      InputError: the file is damaged, or holds anything but tensors by name.
    """
    try:
        archive = zipfile.ZipFile(file)
        (listing,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        tree = _Unpickler(archive.open(listing), archive, listing.removesuffix("data.pkl") + "data/").load()
    except (ValueError, TypeError, KeyError, IndexError, EOFError, AttributeError) as error:
        raise InputError(f"{path} holds no weights that torch.save wrote: {error}") from None
    except (zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise InputError(f"{path} holds no weights that torch.save wrote: {error}") from None
    if not isinstance(tree, dict) or not all(isinstance(value, StoredTensor) for value in tree.values()):
        raise InputError(f"{path} holds more than tensors by name")
    return dict(tree)


@dataclass(frozen=True)
class _Storage:
    """The values of one or more tensors: their type in PyTorch, their number, and the function that reads them."""

    kind: str
    count: int
    read: Callable[[], bytes]


class _StorageType:
    """The type of a storage, which only its name describes."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Unpickler(pickle.Unpickler):
    """An unpickler of tensors and dictionaries."""

    def __init__(self, file: IO[bytes], archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(file)
        self._archive = archive
        self._folder = folder

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in _TYPES:
            return _StorageType(name)
        raise pickle.UnpicklingError(f"it refers to {module}.{name}, which is no tensor")

    def persistent_load(self, identifier: Any) -> _Storage:
        _, kind, key, _, count = identifier
        member = self._archive.getinfo(self._folder + str(key))
        return _Storage(kind.name, int(count), lambda: self._archive.read(member))


def _tensor(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> StoredTensor:
    """Makes a tensor of a storage; the other arguments are about gradients."""
    numbers = (offset, *shape, *strides)
    if len(shape) != len(strides) or not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise ValueError("a tensor has no valid shape")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if math.prod(shape) and last >= storage.count:
        raise ValueError("a tensor is larger than its values")

    def read() -> Array:
        values = np.frombuffer(storage.read(), _TYPES[storage.kind])[: storage.count]
        if len(values) < storage.count:
            raise InputError("the values of a tensor are not in the file")
        if storage.kind == "BFloat16Storage":  # the upper half of a float32
            values = (values.astype(np.uint32) << 16).view(np.float32)
        steps = [stride * values.itemsize for stride in strides]
        return np.lib.stride_tricks.as_strided(values[offset:], shape, steps).astype(np.float32)

    return StoredTensor(tuple(shape), read)
