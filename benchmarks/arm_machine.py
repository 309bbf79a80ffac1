"""A 64-bit Arm computer in an emulator: QEMU's user mode, Debian's cross compiler, and what PyPI has for Arm.

    machine = ArmMachine.prepare()
    program = machine.build_program(Path("program.c"))
    subprocess.run(machine.command([program, "argument"], cpu="cortex-a76"))

The emulator shows the outputs of a program and the number of its instructions, but no time: the cost of an instruction
is that of the emulator, not of a processor.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.custom_ops import COMPILER_FLAGS
from tfconformer.data.speech.debian_packages import fetch
from tfconformer.errors import UnavailableError
from tfconformer.programs import find_program, run_program

REPOSITORY = Path(__file__).parents[1]
OUTPUT = REPOSITORY / "build/arm"
# Compilers: Debian's for 64-bit Arm, and that of the Android application, alone and with its linker.
GCC = ("aarch64-linux-gnu-gcc",)
CLANG_OBJECTS = ("clang-19", "--target=aarch64-linux-gnu", "-isystem/usr/aarch64-linux-gnu/include")
CLANG = (*CLANG_OBJECTS, "-fuse-ld=lld")
# The folder of Debian's libc6-arm64-cross, libgcc-s1-arm64-cross and libstdc++6-arm64-cross.
_LIBRARIES = Path("/usr/aarch64-linux-gnu/lib")
# Debian's Python, and the libraries of its modules.
_PYTHON = ("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib")
_PYTHON_LIBRARIES = ("libexpat1", "libffi8", "zlib1g")
# cpuinfo, a part of LiteRT, reads this file, and crashes on one of an x86 machine.
_CPUINFO = """processor\t: 0
Features\t: fp asimd asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: 0xd0b
CPU revision\t: 0
"""


# Older versions of QEMU have no SME2; some execute its instructions as others.
_SME2_VERSION = (10, 1)


def sme2_emulator(folder: Path = OUTPUT) -> str:
    """Returns the path of an emulator of 64-bit Arm with SME2: QEMU from 10.1 on.

    Debian 12 has an older one. Where none is installed, the first call downloads the one of Debian's suite sid, 95 MB
    with the list of packages; nothing is installed, and 17 MB are kept.

    Raises:
      ArchiveUnreachableError: the Debian archive cannot be reached, or this is not a Debian system.
      UnavailableError: its emulator is too old.
    """
    kept = folder / "qemu-sme2/qemu-aarch64"
    for path in (shutil.which("qemu-aarch64"), shutil.which("qemu-aarch64-static"), kept):
        if path is not None and Path(path).is_file() and _version(path) >= _SME2_VERSION:
            return str(path)
    kept.parent.mkdir(parents=True, exist_ok=True)
    with (kept.parent / "lock").open("w") as lock, tempfile.TemporaryDirectory(dir=folder) as partial:
        fcntl.flock(lock, fcntl.LOCK_EX)  # processes of a test run ask for it at the same time
        if not kept.is_file():
            package = fetch("qemu-user", Path(partial), suite="sid")
            (package.root / "usr/bin/qemu-aarch64").replace(kept)
    if _version(kept) < _SME2_VERSION:
        raise UnavailableError(f"{kept} has no SME2: it is older than QEMU {'.'.join(map(str, _SME2_VERSION))}")
    return str(kept)


def _version(emulator: str | Path) -> tuple[int, int]:
    words = subprocess.run([emulator, "--version"], capture_output=True, text=True, check=True).stdout.split()
    major, minor = words[words.index("version") + 1].split(".")[:2]
    return int(major), int(minor)


@dataclass(frozen=True)
class Wheel:
    """A package of PyPI for 64-bit Arm and Python 3.11.

    Attributes:
      requirement: NAME==VERSION.
      platform: its tag.
      sha256: hash of the file, hexadecimal.
    """

    requirement: str
    platform: str
    sha256: str

    def fetch(self, folder: Path = OUTPUT) -> Path:
        """Returns the folder of its files, after downloading, checking and unpacking them if that was not done before.

        Raises:
          UnavailableError: pip cannot fetch it, or what it fetched is not what was pinned.
        """
        path = folder / "wheels" / self.requirement
        if not path.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent) as partial:
                with zipfile.ZipFile(self._download(Path(partial))) as archive:
                    archive.extractall(Path(partial) / "files")
                (Path(partial) / "files").rename(path)
        return path

    def _download(self, folder: Path) -> Path:
        pinned = folder / "requirements.txt"
        pinned.write_text(f"{self.requirement} --hash=sha256:{self.sha256}\n")
        target = ["--platform", self.platform, "--python-version", "3.11", "--implementation", "cp"]
        options = ["--quiet", "--no-deps", "--only-binary", ":all:", *target, "--dest", str(folder)]
        command = [sys.executable, "-m", "pip", "download", *options, "--requirement", str(pinned)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise UnavailableError(f"pip cannot fetch {self.requirement} for {self.platform} ({reason})")
        return next(folder.glob("*.whl"))


LITERT = Wheel(
    "ai-edge-litert==2.3.0",
    "manylinux_2_27_aarch64",
    "853fc608f96da87bd5f3458465dfb9abbf18d5ae6b94eceacead407146f175ae",
)
TFLITE_RUNTIME = Wheel(
    "tflite-runtime==2.14.0",
    "manylinux_2_34_aarch64",
    "ce9fa5d770a9725c746dcbf6f59f3178233b3759f09982e8b2db8d2234c333b0",
)
NUMPY = Wheel(
    "numpy==1.26.4",
    "manylinux2014_aarch64",
    "7ab55401287bfec946ced39700c053796e7cc0e3acbef09993a9ad2adba6ca6e",
)


@dataclass(frozen=True)
class ArmMachine:
    """The emulator and the compiler for it.

    Attributes:
      emulator: path of QEMU, which takes plug-ins.
      compiler: the words of a C compiler for 64-bit Arm.
      folder: folder of build outputs; its `root` is in place of "/" for the files that it holds.
    """

    emulator: str
    compiler: tuple[str, ...]
    folder: Path

    @classmethod
    def prepare(cls, folder: Path = OUTPUT, compiler: tuple[str, ...] = GCC) -> ArmMachine:
        """Finds the tools.

        Raises:
          UnavailableError: one is not installed.
        """
        emulator, program = find_program("qemu-aarch64"), find_program(compiler[0])
        if not (_LIBRARIES / "libstdc++.so.6").exists():
            raise UnavailableError("libstdc++6-arm64-cross is not installed")
        root = folder / "root"
        (root / "proc").mkdir(parents=True, exist_ok=True)
        (root / "proc/cpuinfo").write_text(_CPUINFO)
        if not (root / "lib").is_symlink():
            (root / "lib").symlink_to(_LIBRARIES)
        return cls(emulator, (program, *compiler[1:]), folder)

    def build_library(self) -> Path:
        """Compiles this project's operations if their sources changed; returns the path of the library.

        Raises:
          InputError: the compiler refuses the sources.
        """
        sources = sorted((REPOSITORY / "converters/custom_ops").rglob("*.c"))
        return self._build(sources, "libtfconformer_ops.so", "-shared", "-lm", "-lpthread")

    def build_program(self, source: Path) -> Path:
        """Compiles a program of one file, if that changed; returns its path.

        Raises:
          InputError: the compiler refuses it.
        """
        return self._build([source], source.stem, "-ldl")

    def _build(self, sources: Sequence[Path], name: str, *link: str) -> Path:
        path = self.folder / Path(self.compiler[0]).name / name
        path.parent.mkdir(exist_ok=True)
        headers = [*(REPOSITORY / "converters/custom_ops").rglob("*.h")]
        if path.is_file() and path.stat().st_mtime > max(file.stat().st_mtime for file in [*sources, *headers]):
            return path
        run_program([*self.compiler, *COMPILER_FLAGS, "-D_GNU_SOURCE", *sources, "-o", path, *link], REPOSITORY)
        return path

    def command(self, words: Sequence[str | Path], cpu: str, options: Sequence[str] = ()) -> list[str]:
        """Returns the words that run a program on one of QEMU's processors, with further options of QEMU."""
        root = str(self.folder / "root")
        return [self.emulator, "-cpu", cpu, "-L", root, *options, *map(str, words)]


@dataclass(frozen=True)
class ArmPython:
    """Debian's Python 3.11 for 64-bit Arm.

    Attributes:
      machine: the emulator.
      program: path of the interpreter.
      libraries: folders of the libraries that it loads.
    """

    machine: ArmMachine
    program: Path
    libraries: tuple[Path, ...]

    @classmethod
    def prepare(cls, machine: ArmMachine) -> ArmPython:
        """Downloads six packages, 5 MB, if that was not done before; nothing is installed.

        Raises:
          ArchiveUnreachableError: the Debian archive cannot be reached, or this is not a Debian system.
        """
        packages = machine.folder / "debian"
        folder = machine.folder / "root/usr"
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=machine.folder) as partial:
                joined = Path(partial) / "usr"
                for name in _PYTHON:
                    unpacked = fetch(name, packages, "arm64").root / "usr"
                    shutil.copytree(unpacked, joined, symlinks=True, dirs_exist_ok=True)
                joined.rename(folder)
        found = [fetch(name, packages, "arm64").root.rglob("*.so.*") for name in _PYTHON_LIBRARIES]
        libraries = tuple(sorted({path.parent for paths in found for path in paths}))
        return cls(machine, folder / "bin/python3.11", libraries)

    def command(self, words: Sequence[str | Path], path: Sequence[Path], cpu: str) -> list[str]:
        """Returns the words that run a script with its arguments; `path` holds the folders of its modules."""
        variables = {"PYTHONPATH": path, "LD_LIBRARY_PATH": self.libraries}
        settings = [f"{name}={':'.join(map(str, folders))}" for name, folders in variables.items()]
        options = [word for setting in settings for word in ("-E", setting)]
        return self.machine.command([self.program, *words], cpu, options)
