"""The message of the set-up names the part of the system that is missing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def set_up(folder: Path, **programs: str) -> str:
    """Runs the set-up where there are `make`, a shell and these programs, and returns what it printed."""
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    for name in ("make", "sh", "find", "env"):
        (bin_folder / name).symlink_to(shutil.which(name) or pytest.skip(f"{name} is not installed"))
    for name, script in {"id": "echo 1000", **programs}.items():
        (bin_folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (bin_folder / name).chmod(0o755)
    environment = {"PATH": str(bin_folder)}
    command = ["make", f"VENV={folder}/venv", "PYTHON=python3.11", f"{folder}/venv/.dependencies"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "On Debian 12 run as root:" in done.stdout
    return done.stdout


def test_nothing_is_there(tmp_path: Path) -> None:
    printed = set_up(tmp_path)
    assert "python3.11 is missing, or is not Python 3.11\n" in printed and "gcc is missing\n" in printed
    assert "venv module" not in printed.partition("The set-up needs")[0]


def test_only_the_compiler_is_missing(tmp_path: Path) -> None:
    printed = set_up(tmp_path, **{"python3.11": "exit 0"})
    assert printed.startswith("gcc is missing\n")


def test_the_venv_module_and_the_headers_are_missing(tmp_path: Path) -> None:
    python = 'case "$2" in *ensurepip*) exit 1;; esac'
    printed = set_up(tmp_path, gcc="exit 1", **{"python3.11": python})
    assert printed.startswith(
        "the venv module of python3.11 is missing (python3-venv)\ngcc finds no C headers (libc6-dev)\n"
    )
