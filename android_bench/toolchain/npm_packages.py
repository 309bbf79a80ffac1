"""Files of npm packages, pinned by checksum: the Android TFLite library, the dex compiler, the API to check against.

A package is fetched once, by the npm client that the user has set up, and kept under `build/android/downloads`. None of
these files is in the repository.
"""

from __future__ import annotations

import hashlib
import shlex
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from tfconformer import atomic
from tfconformer.errors import InputError, UnavailableError

DOWNLOADS = Path("build/android/downloads")


@dataclass(frozen=True)
class NpmFile:
    """One file of one version of a package.

    Attributes:
      package: NAME@VERSION.
      package_sha256: hash of the tarball that `npm pack` fetches, hexadecimal.
      member: path of the file in the tarball.
    """

    package: str
    package_sha256: str
    member: str

    @property
    def _folder(self) -> str:
        return self.package.replace("@", "-")

    def fetch(self, cache: Path = DOWNLOADS) -> Path:
        """Returns the file, after downloading and checking its package if that was not done before.

        Raises:
          UnavailableError: npm is not installed or cannot fetch the package.
          InputError: what was downloaded is not what was pinned.
        """
        path = cache / self._folder / self.member
        if not path.is_file():
            content = _member(self._tarball(cache), self.member)
            atomic.write_bytes(path, content)
        return path

    def _tarball(self, cache: Path) -> Path:
        path = cache / f"{self._folder}.tgz"
        if not path.is_file():
            with tempfile.TemporaryDirectory() as folder:
                downloaded = _npm_pack(self.package, Path(folder))
                _require_sha256(downloaded, self.package_sha256, self.package)
                with atomic.atomic_path(path) as partial:
                    shutil.copyfile(downloaded, partial)
        _require_sha256(path, self.package_sha256, self.package)
        return path


def _npm_pack(package: str, folder: Path) -> Path:
    if shutil.which("npm") is None:
        raise UnavailableError(f"npm is not installed; it is needed to fetch {package}")
    command = ["npm", "pack", package, "--silent"]
    click.echo(f"$ {shlex.join(command)}")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    archives = list(folder.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        reason = (done.stderr or done.stdout).strip()
        raise UnavailableError(f"npm cannot fetch {package}: {reason or f'exit status {done.returncode}'}")
    return archives[0]


def _require_sha256(path: Path, expected: str, package: str) -> None:
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    if actual != expected:
        raise InputError(f"{package}: its tarball has sha256 {actual}, expected {expected}")


def _member(archive: Path, name: str) -> bytes:
    with tarfile.open(archive) as tarball:
        stream = tarball.extractfile(name)
        if stream is None:
            raise InputError(f"{archive}: {name} is not a file")
        return stream.read()


# TensorFlow Lite 2.14.0 built for Android (Apache-2.0): the last one whose C API a package outside Maven carries.
ANDROID_TFLITE = NpmFile(
    "react-native-fast-tflite@1.4.0",
    "101ea34de5548cbc58a17b0704e33861e31265d64386d2938d8d8987f112533e",
    "package/android/src/main/cpp/lib/tensorflow/jni/arm64-v8a/libtensorflowlite_jni.so",
)
# bundletool 1.18.3 (Apache-2.0), which contains D8 3.3.28.
BUNDLETOOL = NpmFile(
    "node-bundletool@1.0.0",
    "99d529764e2f035876fd18704a45f54831ab014008938961d2e4cd4009bcf984",
    "package/bundletool.jar",
)
# The signatures of Android 6.0 (API 23), without code. Only read, never shipped.
ANDROID_API = NpmFile(
    "react-native-tensorflow@0.1.8",
    "2626dcda8e846b7cc85be0e5588fc9aabd834cf0f6db995f2930590197ee4c22",
    "package/android/build/generated/mockable-android-23.jar",
)
