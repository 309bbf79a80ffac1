"""A 64-bit Arm computer in an emulator: QEMU's user mode, Debian's cross compiler, and what PyPI has for Arm.

    machine = ArmMachine.prepare()
    library = machine.build_library()
    machine.run([library.with_name("program"), "argument"], cpu="cortex-a76")

It shows what a program computes and how many instructions that takes, never how long: what an instruction costs is the
processor's affair.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from android_bench.build_native import FLAGS, REPOSITORY, find_tool, run_tool
from android_bench.npm_packages import UnavailableError

OUTPUT = REPOSITORY / "build/arm"
# Where Debian's libc6-arm64-cross, libgcc-s1-arm64-cross and libstdc++6-arm64-cross lie.
_LIBRARIES = Path("/usr/aarch64-linux-gnu/lib")
# cpuinfo, a part of LiteRT, reads this file, and crashes on one of an x86 machine.
_CPUINFO = """processor\t: 0
Features\t: fp asimd asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: 0xd0b
CPU revision\t: 0
"""


@dataclass(frozen=True)
class Wheel:
    """A package of PyPI for 64-bit Arm and Python 3.11.

    Attributes:
      requirement: NAME==VERSION.
      platform: its tag.
      sha256: of the file.
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


@dataclass(frozen=True)
class ArmMachine:
    """Everything in its place.

    Attributes:
      emulator: the program that emulates it; it takes plug-ins.
      compiler: C for 64-bit Arm.
      folder: where things are built; its `root` stands for "/" where a file is in it.
    """

    emulator: str
    compiler: str
    folder: Path

    @classmethod
    def prepare(cls, folder: Path = OUTPUT) -> ArmMachine:
        """Finds the tools.

        Raises:
          UnavailableError: one is not installed.
        """
        emulator, compiler = find_tool("qemu-aarch64"), find_tool("aarch64-linux-gnu-gcc")
        if not (_LIBRARIES / "libstdc++.so.6").exists():
            raise UnavailableError("libstdc++6-arm64-cross is not installed")
        root = folder / "root"
        (root / "proc").mkdir(parents=True, exist_ok=True)
        (root / "proc/cpuinfo").write_text(_CPUINFO)
        if not (root / "lib").is_symlink():
            (root / "lib").symlink_to(_LIBRARIES)
        return cls(emulator, compiler, folder)

    def build_library(self) -> Path:
        """Compiles our operation; returns the path of the library.

        Raises:
          InputError: the compiler refuses the sources.
        """
        sources = sorted((REPOSITORY / "converters/custom_ops").rglob("*.c"))
        return self._build(sources, "libtfconformer_ops.so", "-shared", "-lm", "-lpthread")

    def build_program(self, source: Path) -> Path:
        """Compiles a program of one file; returns its path.

        Raises:
          InputError: the compiler refuses it.
        """
        return self._build([source], source.stem, "-ldl")

    def _build(self, sources: Sequence[Path], name: str, *link: str) -> Path:
        path = self.folder / name
        run_tool([self.compiler, *FLAGS, "-D_GNU_SOURCE", *sources, "-o", path, *link])
        return path

    def command(self, words: Sequence[str | Path], cpu: str, options: Sequence[str] = ()) -> list[str]:
        """The words that run a program on one of QEMU's processors, with further options of QEMU."""
        root = str(self.folder / "root")
        return [self.emulator, "-cpu", cpu, "-L", root, *options, *map(str, words)]
