"""Files that appear whole or not at all, and what killed writers leave."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.support.forked import forked
from tfconformer import atomic
from tfconformer.errors import InputError


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_appears_at_the_end_and_nothing_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    umask = os.umask(0o027)
    try:
        with atomic.atomic_path(path) as temporary:
            temporary.write_text("half")
            assert not path.exists()
            temporary.write_text("whole")
    finally:
        os.umask(umask)
    assert path.read_text() == "whole" and names(path.parent) == {"a.txt"}
    assert path.stat().st_mode & 0o777 == 0o640


def test_an_exception_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(FileNotFoundError), atomic.atomic_path(path) as temporary:
        temporary.write_bytes(path.with_name("missing").read_bytes())
    assert path.read_text() == "before" and names(tmp_path) == {"a.txt"}


def test_the_partial_file_of_a_killed_writer_is_removed_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "model[1].tflite"

    def be_killed() -> None:
        with atomic.atomic_path(path) as temporary:
            temporary.write_text("half")
            os._exit(0)  # without the end of the context

    with pytest.raises(EOFError):  # the child answers nothing
        forked(be_killed)
    assert len(list(tmp_path.glob(".model*.partial"))) == 1
    atomic.write_text(path, "whole")
    assert names(tmp_path) == {"model[1].tflite"}


def test_two_writers_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic.atomic_path(path) as first:
        first.write_text("first")
        forked(lambda: atomic.write_text(path, "second"))
        assert path.read_text() == "second" and first.read_text() == "first"
    assert path.read_text() == "first" and names(tmp_path) == {"a.txt"}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def full(*arguments: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"cannot write .*a\.txt: (No space left on device|Disk quota exceeded)"):
        atomic.write_text(tmp_path / "a.txt", "whole")
    with pytest.raises(InputError, match=r"cannot write .*a\.txt"), atomic.atomic_path(tmp_path / "a.txt"):
        full()
    assert not names(tmp_path)


def test_what_takes_no_file_is_found_before_the_work(tmp_path: Path) -> None:
    atomic.require_writable(tmp_path / "new" / "folder" / "a.txt")
    assert not names(tmp_path)
    (tmp_path / "file").write_text("before")
    atomic.require_writable(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "before"
    for bad in (tmp_path, tmp_path / "file" / "a", tmp_path / ("n" * 300), Path("/proc/self/a"), tmp_path / "a\0b"):
        with pytest.raises(InputError, match="cannot write"):
            atomic.require_writable(bad)


def test_errors_of_other_files_are_not_those_of_the_output(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic.atomic_path(tmp_path / "a.txt"):
        (tmp_path / "input").read_text()
