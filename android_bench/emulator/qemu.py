"""The Android build's machine code executed on this machine: QEMU's user mode, musl as the C library.

    emulator = Emulator.prepare()
    done = emulator.run_program(["--model=model.tflite"], cpu="cortex-a76")

The files are those of a phone: our program, our JNI library, and the Android build of TFLite. musl's loader opens them;
the few functions that only Android's C library has are in `bionic_shim.c`. The emulator computes what a phone computes
and says nothing about its speed.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from android_bench.toolchain.native import OUTPUT, AndroidFiles, android_compiler, build_android
from android_bench.toolchain.npm_packages import ANDROID_TFLITE, DOWNLOADS
from tfconformer.data.speech.debian_packages import ArchiveUnreachableError, fetch
from tfconformer.errors import UnavailableError
from tfconformer.programs import find_program

CPUS = ("cortex-a53", "cortex-a76", "max")
_SOURCES = Path(__file__).parent
# An emulated program reads these files instead of this machine's own.
_CPUINFO = """processor\t: 0
Features\t: fp asimd
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd05
CPU revision\t: 0

processor\t: 1
Features\t: fp asimd
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd0b
CPU revision\t: 0

Hardware\t: emulated
"""
_SYSTEM_FILES = {
    "proc/cpuinfo": _CPUINFO,
    "sys/class/thermal/thermal_zone0/type": "emulated\n",
    "sys/class/thermal/thermal_zone0/temp": "36600\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil\n",
    "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "1800000\n",
}


@dataclass(frozen=True)
class Emulator:
    """The emulator with everything that it runs.

    Attributes:
      qemu: path of the emulator.
      root: folder in place of "/", for the files that it holds.
      built: this project's libraries and command-line program.
      engine: Android's TFLite.
      host: program that calls the benchmark's library as its app does.
      stream_host: program that calls the library for apps of one's own, for a Java in another process.
    """

    qemu: str
    root: Path
    built: AndroidFiles
    engine: Path
    host: Path
    stream_host: Path

    @classmethod
    def prepare(cls, folder: Path = OUTPUT, downloads: Path = DOWNLOADS) -> Emulator:
        """Builds the programs and fetches the engine.

        Raises:
          UnavailableError: a tool is not installed, or a download is not possible.
        """
        qemu = find_program("qemu-aarch64-static", "qemu-aarch64")
        built = build_android(folder)
        engine = ANDROID_TFLITE.fetch(downloads)
        compiler = android_compiler(folder)
        root = folder / "emulated"
        flags = ("-fvisibility=default", "-fno-builtin", "-Wl,-z,undefs")  # musl has what is undefined
        compiler.library([_SOURCES / "bionic_shim.c"], root / "liblog.so", *flags)
        host, stream_host = (
            compiler.program([_SOURCES / f"{name}.c", _SOURCES / "fake_java.c"], root / name)
            for name in ("jni_host", "stream_host")
        )
        _place_loader(root, downloads)
        for name, content in _SYSTEM_FILES.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(content)
        return cls(qemu, root, built, engine, host, stream_host)

    def run_program(
        self, arguments: Sequence[str], cpu: str = "cortex-a76", before: Callable[[], None] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs the command-line program on one of QEMU's processors; its process calls `before` first."""
        return self._run(self.built.program, arguments, cpu, before)

    def run_library(
        self, arguments: str, cpu: str = "cortex-a76", stop: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Runs the app's library; with `stop` its listener throws when the timed runs begin."""
        words = [str(self.built.library), arguments, *(["stop"] if stop else [])]
        return self._run(self.host, words, cpu)

    def command(self, program: Path, arguments: Sequence[str], cpu: str = "cortex-a76") -> list[str]:
        """Returns the words that run an Android program on one of QEMU's processors."""
        variables = {"LD_PRELOAD": self.root / "liblog.so", "LD_LIBRARY_PATH": f"{self.engine.parent}:{self.root}"}
        settings = [word for name, value in variables.items() for word in ("-E", f"{name}={value}")]
        return [self.qemu, "-cpu", cpu, "-L", str(self.root), *settings, str(program), *arguments]

    def _run(
        self, program: Path, arguments: Sequence[str], cpu: str, before: Callable[[], None] | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = self.command(program, arguments, cpu)
        return subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=before)


def _place_loader(root: Path, downloads: Path) -> None:
    try:
        musl = fetch("musl", downloads / "debian-arm64", "arm64")
    except ArchiveUnreachableError as error:
        raise UnavailableError(str(error)) from None
    loader = root / "system/bin/linker64"
    loader.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(musl.root / "lib/aarch64-linux-musl/libc.so", loader)
    loader.chmod(0o755)
