"""A phone at the end of a cable, by the `adb` of Android's platform tools."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tfconformer.errors import InputError, UnavailableError


class Adb:
    """The one phone that is connected, or the one that ANDROID_SERIAL names.

    Raises:
      UnavailableError: adb is not installed, or no phone is connected and allows debugging.
    """

    def __init__(self) -> None:
        if shutil.which("adb") is None:
            raise UnavailableError("adb is not installed; on Debian: apt-get install adb")
        state = self._run("get-state")
        if state.stdout.strip() != "device":
            raise UnavailableError(
                f"adb finds no phone: {state.stderr.strip() or state.stdout.strip()} (switch on USB debugging in the "
                "phone's developer options, allow this computer; with several phones, set ANDROID_SERIAL)"
            )

    def install(self, apk: Path) -> None:
        """Installs an app, or replaces the installed version."""
        self._checked("install", "-r", "-d", str(apk))

    def push(self, files: Sequence[Path], folder: str) -> None:
        """Copies files and folders into a folder of the phone, where apps may read them."""
        self.shell("mkdir", "-p", folder)
        self._checked("push", *map(str, files), folder)
        self.shell("chmod", "-R", "a+rX", folder)

    def shell(self, *words: str) -> str:
        """Runs a command on the phone and returns its standard output.

        Raises:
          InputError: its exit status is not zero.
        """
        return self._checked("shell", shlex.join(words))

    def try_shell(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs a command on the phone and returns its output and exit status, zero or not."""
        return self._run("shell", shlex.join(words))

    def _checked(self, *words: str) -> str:
        done = self._run(*words)
        if done.returncode:
            raise InputError(f"adb {shlex.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["adb", *words], capture_output=True, text=True, check=False)
