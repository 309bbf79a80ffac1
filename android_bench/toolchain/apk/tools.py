"""The programs that build and check the APK: all of them Debian's, except for D8."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tfconformer.errors import UnavailableError

FRAMEWORK_RESOURCES = Path("/usr/share/android-framework-res/framework-res.apk")
# Android's own org.json, for compiling and for running the app on a desktop JVM.
ANDROID_JSON = Path("/usr/share/java/json-android.jar")


def require_tools(*needed: str | Path) -> None:
    """Checks that programs (by name) and files (by path) are there.

    Raises:
      UnavailableError: some are not; the message lists them and says how to get them.
    """
    missing = [str(one) for one in needed if not (one.exists() if isinstance(one, Path) else shutil.which(one))]
    if missing:
        raise UnavailableError(f"not installed: {', '.join(missing)}; `make android-tools` installs them on Debian 12")


def java_home() -> Path:
    """Returns the folder of the JDK whose `javac` is on the path."""
    require_tools("javac")
    found = shutil.which("javac")
    assert found is not None
    return Path(found).resolve().parents[1]


def run(*command: str | Path) -> str:
    """Runs a program and returns its output.

    Raises:
      RuntimeError: it failed; the message holds the command and all it said.
    """
    words: Sequence[str] = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}\nfailed with exit status {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout
