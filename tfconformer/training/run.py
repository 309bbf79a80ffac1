"""The run directory: the output of a training, and the input of an export.

config.yaml           whole configuration, with paths relative to the directory
tokenizer.model       SentencePiece model
best.h5               weights of the epoch with the lowest dev word error rate
history.jsonl         one line per epoch: losses, learning rate, dev word error rates, seconds
backup/               state from which an interrupted training continues
tensorboard/          training curves
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfconformer import atomic, strict_json
from tfconformer.config import Config, dump_config, load_config
from tfconformer.errors import InputError


@dataclass(frozen=True)
class RunDirectory:
    """The paths of a run, with readers and writers of its small files. The directory need not exist."""

    path: Path

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def tokenizer_file(self) -> Path:
        return self.path / "tokenizer.model"

    @property
    def weights_file(self) -> Path:
        return self.path / "best.h5"

    @property
    def history_file(self) -> Path:
        return self.path / "history.jsonl"

    @property
    def backup(self) -> Path:
        return self.path / "backup"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    def config(self, overrides: Sequence[str] = ()) -> Config:
        """Reads the run's configuration.

        Args:
          overrides: `section.key=value` strings that replace values of it; paths in them are relative to the working
            directory.

        Raises:
          InputError: there is no configuration, or it is not valid.
        """
        if not self.config_file.is_file():
            raise InputError(f"{self.path} is not a run directory: it has no config.yaml")
        return load_config(self.config_file, list(overrides), stored=True)

    def require(self, config: Config) -> None:
        """Checks that the directory holds no run, or a run of `config`.

        Raises:
          InputError: it holds a run of another configuration.
        """
        if self.config_file.is_file() and self.config() != config:
            raise InputError(f"{self.path} holds a run of another configuration; choose another directory")

    def claim(self, config: Config) -> None:
        """Stores `config` in the directory, unless it is stored there.

        Raises:
          InputError: the directory holds a run of another configuration.
        """
        self.require(config)
        if not self.config_file.is_file():
            atomic.write_text(self.config_file, dump_config(config, self.path))

    def history(self) -> list[dict[str, Any]]:
        """Reads the records of the completed epochs.

        Raises:
          InputError: the file is damaged.
        """
        if not self.history_file.is_file():
            return []
        try:
            lines = self.history_file.read_bytes().decode("utf-8").split("\n")
            return [strict_json.loads(line) for line in lines if line]
        except (OSError, ValueError) as error:
            raise InputError(f"{self.history_file} is not the history of a training: {error}") from None

    def write_history(self, epochs: list[dict[str, Any]]) -> None:
        """Writes the records of the completed epochs, atomically."""
        atomic.write_text(self.history_file, "".join(strict_json.dumps(epoch) + "\n" for epoch in epochs))
