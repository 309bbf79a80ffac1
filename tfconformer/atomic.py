"""Atomic writing of files: neither a kill nor a full disk leaves a half-written file under the final name.

A file is written under a temporary name beside the final one, and locked as long as its writer lives. So the temporary
file of a killed writer is told from that of a living one, and is removed when the same file is written again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import os
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tfconformer.errors import InputError

_SUFFIX = ".partial"
# Errors of a file system that takes no file, as opposed to those of a program.
_REFUSALS = frozenset(
    {
        errno.EACCES, errno.EDQUOT, errno.EEXIST, errno.EFBIG, errno.EINVAL, errno.EIO, errno.EISDIR, errno.ELOOP,
        errno.ENAMETOOLONG, errno.ENOENT, errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS,
    }
)  # fmt: skip


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside `path`, which is flushed to disk and renamed to `path` at the end.

    On any exception the temporary file is removed and a file at `path` is unchanged. Folders are created as needed, and
    temporary files of writers of `path` that were killed are removed.

    Raises:
      InputError: the file cannot be created, or the disk is full.
    """
    final = Path(path)
    with _one_sentence(final):
        if final.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        final.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(final.parent, f"{glob.escape(final.name)}.*")
        handle, temporary = _create_locked(final)
    try:
        with _one_sentence(final, _FULL):
            yield temporary
        with _one_sentence(final):
            _flush(temporary)
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            temporary.replace(final)
    finally:
        os.close(handle)
        temporary.unlink(missing_ok=True)


def require_writable(path: str | os.PathLike[str]) -> None:
    """Checks that a file can be written at `path`, before the work whose result it will hold; leaves all as it was.

    Raises:
      InputError: the file cannot be created.
    """
    final = Path(path)
    with _one_sentence(final):
        created = [folder for folder in final.parents if not folder.exists()]
    with contextlib.suppress(_TriedError), atomic_path(final):
        raise _TriedError
    with contextlib.suppress(OSError):  # another process may use them already
        for folder in created:
            folder.rmdir()


def remove_abandoned(folder: Path, pattern: str) -> None:
    """Removes the temporary files in `folder` whose writers were killed.

    Args:
      folder: folder of the final files.
      pattern: glob pattern of the temporary files' names without their first dot and their suffix.
    """
    for temporary in folder.glob(f".{pattern}{_SUFFIX}"):
        with contextlib.suppress(OSError), temporary.open("r+b") as file:
            _lock(file.fileno())  # fails while the writer lives
            temporary.unlink()


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes `content` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | os.PathLike[str], content: str) -> None:
    """Writes `content` to `path` atomically, as UTF-8."""
    write_bytes(path, content.encode("utf-8"))


class _TriedError(Exception):
    """The end of an attempt to write."""


@contextlib.contextmanager
def _one_sentence(final: Path, refusals: frozenset[int] = _REFUSALS) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in refusals:
            raise
        reason = "a file has the name of its folder" if error.errno == errno.EEXIST else os.strerror(error.errno or 0)
        raise InputError(f"cannot write {final}: {reason}") from None
    except ValueError as error:
        if refusals is not _REFUSALS:
            raise
        # A name with a NUL or a surrogate.
        raise InputError(f"cannot write {str(final)!r}: not the name of a file ({error})") from None


def _create_locked(final: Path) -> tuple[int, Path]:
    """Creates a temporary file of its own; returns its descriptor, which holds the lock, and its path."""
    while True:
        handle, name = tempfile.mkstemp(prefix=f".{final.name}.", suffix=_SUFFIX, dir=final.parent)
        try:
            _lock(handle)
        except BlockingIOError:  # somebody is about to remove it
            os.close(handle)
            continue
        except OSError:  # a file system without locks, where nobody can remove it either
            return handle, Path(name)
        if os.fstat(handle).st_nlink:
            return handle, Path(name)
        os.close(handle)


def _lock(descriptor: int) -> None:
    """Locks an open file until the descriptor is closed.

    The lock belongs to the descriptor, so that a library may open and close the file meanwhile, and is none of `flock`,
    which HDF5 uses.

    Raises:
      BlockingIOError: it is locked.
      OSError: the file system has no locks.
    """
    whole_file = struct.pack("hhqqixxxx", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)  # the kernel's struct flock
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, whole_file)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
