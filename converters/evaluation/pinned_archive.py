"""Archives of packages, fetched once by the clients that the user has set up and pinned by hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tfconformer.errors import InputError
from tfconformer.programs import find_program, run_program

ARCHIVE_FOLDER = Path("build/speech_scores")


@dataclass(frozen=True)
class PinnedArchive:
    """An archive of a package. None is in the repository.

    Attributes:
      name: name of the file.
      sha256: its hash, hexadecimal.
      command: the command, after the name of its program, that writes it into the working directory.
    """

    name: str
    sha256: str
    command: tuple[str, ...]

    def fetch(self, folder: Path) -> Path:
        """Returns the archive in `folder`, fetched if it is not there.

        Raises:
          UnavailableError: the program is missing.
          InputError: the command fails, or the archive is another than what was pinned.
        """
        path = folder / self.name
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            program, *words = self.command
            run_program([find_program(program), *words], folder)
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != self.sha256:
            raise InputError(f"{path} is not the archive that `{' '.join(self.command)}` fetched: remove it")
        return path
