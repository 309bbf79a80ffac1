"""Recognizers that are versions of one model, as the files of a comparison have to be."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from converters.flatbuffer.metadata import ModelMetadata
from tfconformer.errors import InputError


@dataclass(frozen=True)
class Recognizer:
    """An exported file of a comparison.

    Attributes:
      path: the file.
      sha256: hash of its content, hexadecimal.
      metadata: its metadata, which have a tokenizer.
    """

    path: Path
    sha256: str
    metadata: ModelMetadata

    @property
    def sample_rate(self) -> int:
        """The rate of its input, in Hz."""
        return self.metadata.features.sample_rate

    @property
    def streams(self) -> bool:
        """True for a file that takes audio in steps."""
        graphs = self.metadata.graphs
        return bool(graphs) and graphs[0].stream is not None

    def require_unchanged(self) -> None:
        """Raises InputError if the content of the file has changed."""
        if _sha256(self.path) != self.sha256:
            raise InputError(f"{self.path}: the file changed during the comparison")


def read_recognizers(models: Mapping[str, Path]) -> dict[str, Recognizer]:
    """Reads the files of a comparison.

    Raises:
      InputError: one cannot be read or has no tokenizer, or two differ in tokenizer or sample rate.
    """
    recognizers = {name: _read(path) for name, path in models.items()}
    first, *others = recognizers.values()
    tokenizer = first.metadata.tokenizer.to_bytes()
    for other in others:
        if (other.metadata.tokenizer.to_bytes(), other.sample_rate) != (tokenizer, first.sample_rate):
            raise InputError(
                f"{first.path} and {other.path} differ in tokenizer or sample rate: they are not versions of one "
                "model and cannot be compared"
            )
    return recognizers


def _read(path: Path) -> Recognizer:
    return Recognizer(path, _sha256(path), ModelMetadata.read(path))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
