"""The tensors of a checkpoint, read one at a time, and the check that every one of them is used.

tensors = Tensors(path, read_safetensors(path))
kernel = tensors.take("encoder.layers.0.linear.weight").T
tensors.check_all_used()
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tfconformer.errors import InputError

Array = NDArray[np.float32]
_LISTED = 3  # names in a message


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file.

    Attributes:
      shape: its shape.
      read: reads its values as float32, without keeping them.
    """

    shape: tuple[int, ...]
    read: Callable[[], Array]


class Tensors:
    """The tensors of a checkpoint by name; each is read when it is taken.

    Args:
      path: file or folder of the checkpoint, for messages.
      stored: the tensors by their names in the checkpoint.
      stored_name: function from a name in transformers to that in the checkpoint.
    """

    def __init__(
        self, path: object, stored: Mapping[str, StoredTensor], stored_name: Callable[[str], str] = str
    ) -> None:
        self._path = path
        self._stored = stored
        self._stored_name = stored_name
        self._used: set[str] = set()

    def take(self, name: str, *shape: int) -> Array:
        """Reads the tensor `name` as float32 of a shape, without the dimensions of 1 that may follow it in the file.

        Raises:
          InputError: there is none of that name, or it has another shape or a value that is not finite.
        """
        name = self._stored_name(name)
        if name not in self._stored:
            raise InputError(f"{self._path} lacks the tensor {name}")
        self._used.add(name)
        tensor = self._stored[name]
        if tensor.shape != shape + (1,) * (len(tensor.shape) - len(shape)):
            raise InputError(f"{self._path}: the tensor {name} has shape {list(tensor.shape)}, expected {list(shape)}")
        values = tensor.read()
        if not np.isfinite(values).all():
            raise InputError(f"{self._path}: the tensor {name} has a value that is not finite")
        return values.reshape(shape)

    def ignore(self, pattern: str) -> None:
        """Marks the tensors whose names in the checkpoint have a match of a regular expression as used."""
        self._used.update(name for name in self._stored if re.search(pattern, name))

    def check_all_used(self) -> None:
        """Checks that nothing of the checkpoint was left out.

        Raises:
          InputError: a tensor was neither taken nor ignored.
        """
        unknown = sorted(self._stored.keys() - self._used)
        if unknown:
            more = f" and {len(unknown) - _LISTED} more" if len(unknown) > _LISTED else ""
            raise InputError(
                f"{self._path} has tensors that its configuration does not account for: "
                f"{', '.join(unknown[:_LISTED])}{more}"
            )
