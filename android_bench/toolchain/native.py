"""Compiles the native code of benchmark and library: for Android without an NDK, and for this machine's Java.

    python -m android_bench.toolchain.native

The Android build uses Debian's clang and lld. For C that calls some seventy functions, the rest of an NDK is small:
their declarations, a list of their names for the linker, and the entry of a program are in `bionic/`. The sources are
the core's and those of `converters/custom_ops`, all with the same flags. Equal sources give equal bytes, wherever the
checkout is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import click

from converters.custom_ops import COMPILER_FLAGS
from tfconformer.programs import find_program, run_program

REPOSITORY = Path(__file__).parents[2]
OUTPUT = REPOSITORY / "build/android"
LIBRARY = Path("lib/arm64-v8a/libtfconformer_bench.so")
SPEECH_LIBRARY = Path("lib/arm64-v8a/libtfconformer.so")
PROGRAM = Path("bin/tfconformer_bench")
API_LEVEL = 26

_BENCH = REPOSITORY / "android_bench"
_BIONIC = _BENCH / "bionic"
LINK_FLAGS = (
    "-nostdlib",
    "-Wl,--as-needed,--gc-sections,--no-undefined,--hash-style=both,--build-id=sha1",
    # Devices with pages of 16 KiB load nothing that is aligned to less.
    "-Wl,-z,max-page-size=16384,-z,now,-z,relro,-z,noexecstack",
)


# Entry point of a build -> what is built.
ENTRY_POINTS = {"jni.c": LIBRARY, "library_jni.c": SPEECH_LIBRARY, "main.c": PROGRAM}


def sources(entry_point: str) -> list[Path]:
    """Returns the C files of a build with one of the `ENTRY_POINTS`; the linker drops what it does not call."""
    core = [path for path in (_BENCH / "native").glob("*.c") if path.name not in ENTRY_POINTS.keys() - {entry_point}]
    return sorted([*core, *(REPOSITORY / "converters/custom_ops").rglob("*.c")])


@dataclass(frozen=True)
class AndroidFiles:
    """Native code for arm64-v8a.

    Attributes:
      library: the library of the benchmark's app.
      program: the benchmark's command-line program.
      speech_library: the library for apps of one's own.
    """

    library: Path
    program: Path
    speech_library: Path


@dataclass(frozen=True)
class AndroidCompiler:
    """clang for arm64 Android.

    Attributes:
      command: the compiler and its target.
      linker: the option that chooses the linker.
      libraries: folder of empty libraries that have the names of Android's symbols.
    """

    command: tuple[str, ...]
    linker: str
    libraries: Path

    def objects(self, files: Sequence[Path], folder: Path) -> list[Path]:
        """Compiles C files to objects, which libraries and a program can share; returns their paths in order."""
        return _compile(self._compiler(), files, folder)

    def library(self, files: Sequence[Path], output: Path, *flags: str) -> Path:
        """Links a shared library of C files and objects."""
        return self._link(files, output, "-shared", f"-Wl,-soname,{output.name}", *flags)

    def program(self, files: Sequence[Path], output: Path) -> Path:
        """Links a program of C files and objects, which Android's loader starts."""
        loader = "-Wl,--dynamic-linker=/system/bin/linker64"
        return self._link([*files, _BIONIC / "crtbegin.c"], output, "-pie", loader)

    def _link(self, files: Sequence[Path], output: Path, *flags: str) -> Path:
        output.parent.mkdir(parents=True, exist_ok=True)
        libraries = ("-L", self.libraries, "-lc", "-lm", "-ldl", "-llog")
        run_program([*self._compiler(), self.linker, *LINK_FLAGS, *flags, *files, *libraries, "-o", output], REPOSITORY)
        return output

    def _compiler(self) -> list[str | Path]:
        system = ("-nostdlibinc", "-isystem", _BIONIC / "include", *_jni_includes())
        return [*self.command, *COMPILER_FLAGS, *system]


def android_compiler(folder: Path = OUTPUT) -> AndroidCompiler:
    """Finds clang and lld, and makes the libraries to link with.

    Raises:
      UnavailableError: clang, lld or Java's headers are not installed.
    """
    clang, lld = find_program("clang-19", "clang"), find_program("ld.lld-19", "ld.lld")
    command = (clang, f"--target=aarch64-linux-android{API_LEVEL}", "-mno-outline-atomics")
    linker = f"--ld-path={lld}"
    libraries = folder / "system"
    libraries.mkdir(parents=True, exist_ok=True)
    for soname, definitions in _system_symbols().items():
        source = libraries / f"{soname}.c"
        source.write_text("\n".join(definitions) + "\n")
        flags = ("-w", "-fno-builtin", "-fPIC", "-shared", "-nostdlib", f"-Wl,-soname,{soname}")
        run_program([*command, linker, *flags, source, "-o", libraries / soname], REPOSITORY)
    return AndroidCompiler(command, linker, libraries)


def build_android(output: Path = OUTPUT) -> AndroidFiles:
    """Builds the libraries and the command-line program for arm64-v8a.

    Raises:
      UnavailableError: a tool is not installed.
      InputError: the compiler refuses the sources.
    """
    compiler = android_compiler(output)
    files = sorted({file for entry in ENTRY_POINTS for file in sources(entry)})
    objects = dict(zip(files, compiler.objects(files, output / "objects"), strict=True))

    def linked(entry: str) -> list[Path]:
        return [objects[file] for file in sources(entry)]

    exports = f"-Wl,--version-script={_BENCH / 'native/jni.map'}"
    return AndroidFiles(
        library=compiler.library(linked("jni.c"), output / LIBRARY, exports),
        program=compiler.program(linked("main.c"), output / PROGRAM),
        speech_library=compiler.library(linked("library_jni.c"), output / SPEECH_LIBRARY, exports),
    )


def build_host_libraries(output: Path) -> tuple[Path, Path]:
    """Builds both libraries for Java on this machine; returns the paths of the app's and of that for apps of one's own.

    Raises:
      UnavailableError: gcc or Java's headers are not installed.
      InputError: the compiler refuses the sources.
    """
    command = (find_program("gcc"), *COMPILER_FLAGS, "-D_GNU_SOURCE", *_jni_includes())
    entries = ("jni.c", "library_jni.c")
    files = sorted({file for entry in entries for file in sources(entry)})
    objects = dict(zip(files, _compile(command, files, output / "objects"), strict=True))
    paths = []
    for entry in entries:
        paths.append(output / ENTRY_POINTS[entry].name)
        linked = [objects[file] for file in sources(entry)]
        run_program([command[0], "-shared", *linked, "-lm", "-ldl", "-o", paths[-1]], REPOSITORY)
    return paths[0], paths[1]


def _compile(command: Sequence[str | Path], files: Sequence[Path], folder: Path) -> list[Path]:
    """Compiles C files to objects; returns their paths in order."""
    folder.mkdir(parents=True, exist_ok=True)
    objects = [folder / f"{number}.o" for number in range(len(files))]
    for file, path in zip(files, objects, strict=True):
        run_program([*command, "-c", file, "-o", path], REPOSITORY)
    return objects


def _system_symbols() -> dict[str, list[str]]:
    """Returns the C definitions of the symbols of every system library, by its name."""
    found: dict[str, list[str]] = {}
    for line in (_BIONIC / "symbols.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        library, names = line.split(":")
        soname, _, data = library.partition(" ")
        form = "void* {};" if data else "void {}(void) {{}}"
        found.setdefault(soname, []).extend(form.format(name) for name in names.split())
    return found


def _jni_includes() -> list[str | Path]:
    """Returns the options that find jni.h in a Java development kit."""
    java = Path(find_program("javac")).resolve().parent.parent / "include"
    return ["-isystem", java, "-isystem", java / "linux"]


@click.command(help=__doc__)
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), default=OUTPUT, show_default=True)
def main(output: Path) -> None:
    """Builds for Android."""
    for path in astuple(build_android(output)):
        click.echo(f"{path} {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
