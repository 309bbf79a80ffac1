"""Checks of an APK without a phone."""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from android_bench.toolchain.apk.dex_references import missing_references, system_references
from android_bench.toolchain.apk.elf import Library, read_library
from android_bench.toolchain.apk.settings import ABI, AppSettings
from android_bench.toolchain.apk.tools import require_tools, run
from android_bench.toolchain.apk.zip_align import PAGE, misaligned
from android_bench.toolchain.npm_packages import ANDROID_API, ANDROID_TFLITE
from tfconformer.errors import InputError

SYMBOLS = Path(__file__).with_name("system_symbols.txt")
_SCHEMES = (1, 2, 3)
# For the microphone of the sample; Android asks the user before the first recording.
_PERMISSION = "uses-permission: name='android.permission.RECORD_AUDIO'"
_SYSTEM_LIBRARIES = {"libc.so", "libm.so", "libdl.so", "liblog.so"}


def verify_apk(apk: Path) -> None:
    """Checks an APK that `build_apk` made.

    Raises:
      InputError: something is wrong; the message lists it all.
      UnavailableError: a tool is missing or cannot be fetched.
    """
    require_tools("aapt", "apksigner", "javap")
    problems = [
        problem
        for check in (signature_problems, manifest_problems, alignment_problems, library_problems, dex_problems)
        for problem in check(apk)
    ]
    if problems:
        raise InputError(f"{apk}: {'; '.join(problems)}")


def signature_problems(apk: Path) -> Iterator[str]:
    """Yields a problem unless the signature schemes 1, 2 and 3 each verify."""
    try:
        said = run("apksigner", "verify", "--verbose", "--min-sdk-version", "23", apk)
    except RuntimeError as error:
        yield f"its signature is wrong: {error}"
        return
    for number in _SCHEMES:
        if not re.search(rf"^Verified using v{number} scheme .*: true$", said, re.MULTILINE):
            yield f"it is not signed by scheme v{number}"


def manifest_problems(apk: Path) -> Iterator[str]:
    """Yields what the manifest lacks: the settings' package, version and SDK levels; and a permission but to record."""
    settings = AppSettings.read()
    badging = run("aapt", "dump", "badging", apk)
    for wanted in (
        f"package: name='{settings.application_id}' versionCode='{settings.version_code}' "
        f"versionName='{settings.version_name}'",
        f"sdkVersion:'{settings.min_sdk}'",
        f"targetSdkVersion:'{settings.target_sdk}'",
        f"launchable-activity: name='{settings.application_id}.MainActivity'",
        f"native-code: '{ABI}'",
    ):
        if not any(line.startswith(wanted) for line in badging.splitlines()):
            yield f"its manifest lacks {wanted}"
    for line in badging.splitlines():
        if line == "application-debuggable" or (line.startswith("uses-permission") and line != _PERMISSION):
            yield f"its manifest has {line}"


def alignment_problems(apk: Path) -> Iterator[str]:
    """Yields every library that is compressed or does not begin at a page of 16 KiB, as a problem."""
    yield from (f"{name} is not aligned" for name in misaligned(apk))
    with zipfile.ZipFile(apk) as archive:
        for entry in archive.infolist():
            if entry.filename.endswith(".so") and entry.compress_type != zipfile.ZIP_STORED:
                yield f"{entry.filename} is compressed"


def library_problems(apk: Path) -> Iterator[str]:
    """Yields a problem unless Android's loader accepts the libraries; ours also with large pages and the lowest API."""
    with zipfile.ZipFile(apk) as archive, tempfile.TemporaryDirectory() as folder:
        names = [name for name in archive.namelist() if name.startswith("lib/")]
        if not names:
            yield "it has no native library"
        for name in names:
            library = read_library(Path(archive.extract(name, folder)))
            yield from (f"{name} {problem}" for problem in load_problems(library))
            if Path(name).name != Path(ANDROID_TFLITE.member).name:
                yield from (f"{name} {problem}" for problem in own_library_problems(library))


def load_problems(library: Library) -> Iterator[str]:
    """Yields a problem unless Android's loader accepts a library."""
    if library.machine != "EM_AARCH64":
        yield f"is for {library.machine}"
    if library.writable_code:
        yield "has code that can be written to"
    if library.text_relocations:
        yield "has text relocations"
    if foreign := set(library.needed) - _SYSTEM_LIBRARIES:
        yield f"needs {', '.join(sorted(foreign))}"


def own_library_problems(library: Library) -> Iterator[str]:
    """Yields a problem unless our library is fit for pages of 16 KiB and for the lowest API level."""
    if library.alignment % PAGE:
        yield f"has segments aligned to {library.alignment} bytes, not to {PAGE}"
    levels, min_sdk = read_symbol_levels(), AppSettings.read().min_sdk
    for symbol in sorted(library.imports):
        if symbol not in levels:
            yield f"imports {symbol}, which {SYMBOLS.name} does not list"
        elif levels[symbol] > min_sdk:
            yield f"imports {symbol}, which Android has from API level {levels[symbol]} on"


def read_symbol_levels() -> dict[str, int]:
    """Returns the symbols of Android's system libraries with the API level that introduced each on 64-bit Arm."""
    lines = (line.partition(":") for line in SYMBOLS.read_text(encoding="ascii").splitlines() if line[0] != "#")
    return {name: int(level) for level, _, names in lines for name in names.split()}


def dex_problems(apk: Path) -> Iterator[str]:
    """Yields a problem unless Android has every class and member of the framework that the dex refers to."""
    with zipfile.ZipFile(apk) as archive:
        references = system_references(archive.read("classes.dex"))
    yield from (
        f"its dex refers to {one}, which Android lacks" for one in missing_references(references, ANDROID_API.fetch())
    )
