"""Unpacking of Debian packages without installation and without root.

`apt-get download` fetches and authenticates the archive's current version, `dpkg-deb -x` unpacks it into a cache
folder. Nothing is written outside the cache.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tfconformer.errors import InputError


class ArchiveUnreachableError(InputError):
    """A Debian archive that cannot be reached, or a missing tool to read it."""

    exit_status = 3


@dataclass(frozen=True)
class DebianPackage:
    """An unpacked package.

    Attributes:
      name: name of the package.
      version: Debian version string.
      root: folder with the files of the package, in place of "/".
    """

    name: str
    version: str
    root: Path

    @property
    def documentation(self) -> Path:
        """Folder of readme and copyright files."""
        return self.root / "usr/share/doc" / self.name


def fetch(name: str, cache: Path, architecture: str | None = None, suite: str | None = None) -> DebianPackage:
    """Downloads and unpacks a package unless the cache has it.

    Args:
      name: name of the package.
      cache: cache folder, for packages of one architecture and suite.
      architecture: Debian architecture of the package, such as "arm64"; None is this machine's.
      suite: suite of this machine's Debian archive, such as "sid", whose section "main" has it; None are those that
        the machine is configured for.

    Raises:
      ArchiveUnreachableError: the download failed, or this is not a Debian system.
    """
    folder = cache / name
    if not (folder / "root").is_dir():
        _download(name, folder, architecture, suite)
    (archive,) = folder.glob("*.deb")
    version = _run(["dpkg-deb", "--field", archive.name, "Version"], folder).strip()
    return DebianPackage(name, version, folder / "root")


def _download(name: str, folder: Path, architecture: str | None, suite: str | None) -> None:
    partial = folder.with_name(f".{name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _run([*_apt_get(folder.parent.resolve(), architecture, suite), "download", name], partial)
    (archive,) = partial.glob("*.deb")
    _run(["dpkg-deb", "--extract", archive.name, "root"], partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _apt_get(cache: Path, architecture: str | None, suite: str | None) -> list[str]:
    """Returns an apt-get command with package lists in the cache: updating those of the system takes root."""
    lists, archives = cache / ".apt/lists", cache / ".apt/cache"
    for folder in (lists, archives / "archives"):
        (folder / "partial").mkdir(parents=True, exist_ok=True)
    command = ["apt-get", "-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={archives}"]
    if architecture is not None:
        command += ["-o", f"APT::Architecture={architecture}", "-o", f"APT::Architectures::={architecture}"]
    if suite is not None:
        sources = cache / ".apt/sources.list"
        sources.write_text(f"deb {_archive(command, cache)} {suite} main\n")
        command += ["-o", f"Dir::Etc::SourceList={sources}", "-o", "Dir::Etc::SourceParts=-"]
        command += ["-o", "Acquire::Languages=none"]
    if not any(lists.glob("*_Packages*")):
        _run([*command, "update"], cache)
    return command


def _archive(command: Sequence[str], folder: Path) -> str:
    """Returns the address of the Debian archive that this machine is configured for.

    Raises:
      ArchiveUnreachableError: it is configured for none.
    """
    addresses = re.findall(r"^'(\S+/debian)/+dists/", _run([*command, "--print-uris", "update"], folder), re.MULTILINE)
    if not addresses:
        raise ArchiveUnreachableError("apt-get is configured for no Debian archive")
    return addresses[0]


def _run(command: list[str], folder: Path) -> str:
    try:
        return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError:
        raise ArchiveUnreachableError(f"{command[0]} is not installed; Debian packages need a Debian system") from None
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise ArchiveUnreachableError(
            f"'{' '.join(command)}' failed ({reason}); is the Debian archive reachable?"
        ) from None
