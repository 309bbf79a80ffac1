"""`make aar`: the Android library for apps of one's own, without an Android SDK.

    python -m android_bench.toolchain.aar

The file has the library's classes, its native code for 64-bit Arm, and the rules that keep its names in a shrunk app.
The TFLite runtime is not in it: the only build that can be had without Google's repository is aligned to pages of
4 KiB, and the app's Gradle build fetches a newer one. The same sources give the same bytes.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import click

from android_bench.toolchain.apk.assets import APACHE_LICENSE
from android_bench.toolchain.apk.dex import compile_java
from android_bench.toolchain.apk.elf import read_library
from android_bench.toolchain.apk.settings import ABI, FRAMEWORK, SPEECH_LIBRARY, AppSettings
from android_bench.toolchain.apk.tools import ANDROID_JSON, require_tools
from android_bench.toolchain.apk.verify import load_problems, own_library_problems
from android_bench.toolchain.apk.zip_align import write_aligned
from android_bench.toolchain.native import OUTPUT, build_android
from tfconformer import atomic
from tfconformer.cli import run_program
from tfconformer.errors import InputError

AAR = OUTPUT / "tfconformer.aar"
_RULES = SPEECH_LIBRARY.parents[1] / "consumer-rules.pro"


def build_aar(native: Path, output: Path) -> None:
    """Builds the library.

    Args:
      native: its shared library for 64-bit Arm.
      output: path of the `.aar`, written atomically.

    Raises:
      UnavailableError: a tool is missing.
    """
    entries = {
        "AndroidManifest.xml": _manifest(),
        "R.txt": b"",  # there are no resources
        "classes.jar": _classes(),
        f"jni/{ABI}/{native.name}": native.read_bytes(),
        "proguard.txt": _RULES.read_bytes(),
        "LICENSE": APACHE_LICENSE.read_bytes(),
    }
    atomic.write_bytes(output, _zip(entries))


def aar_problems(aar: Path) -> Iterator[str]:
    """Yields a problem unless Android's loader accepts the native code, also with pages of 16 KiB."""
    with zipfile.ZipFile(aar) as archive, tempfile.TemporaryDirectory() as folder:
        for name in archive.namelist():
            if name.startswith("jni/"):
                library = read_library(Path(archive.extract(name, folder)))
                problems = (*load_problems(library), *own_library_problems(library))
                yield from (f"{name} {problem}" for problem in problems)


def _manifest() -> bytes:
    settings = AppSettings.read()
    text = (SPEECH_LIBRARY / "AndroidManifest.xml").read_text(encoding="utf-8")
    # Gradle writes the package and the lowest API level of its own settings into the manifest of a library.
    text = text.replace("<manifest ", f'<manifest package="{settings.library_namespace}" ', 1)
    levels = f'  <uses-sdk android:minSdkVersion="{settings.min_sdk}"/>\n</manifest>'
    return text.replace("</manifest>", levels, 1).encode()


def _classes() -> bytes:
    require_tools("javac", ANDROID_JSON)
    with tempfile.TemporaryDirectory() as name:
        framework, classes = (Path(name) / part for part in ("framework", "classes"))
        compile_java([FRAMEWORK], framework)
        compile_java([SPEECH_LIBRARY / "java"], classes, framework, ANDROID_JSON)
        files = classes.rglob("*.class")
        return _zip({str(path.relative_to(classes)): path.read_bytes() for path in files})


def _zip(entries: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    write_aligned({name: (content, True) for name, content in entries.items()}, stream)
    return stream.getvalue()


@click.command()
@click.option("--output", type=click.Path(path_type=Path), default=AAR, show_default=True)
def main(output: Path) -> None:
    """Build the Android library and check it."""
    build_aar(build_android().speech_library, output)
    if problems := list(aar_problems(output)):
        raise InputError(f"{output}: {'; '.join(problems)}")
    click.echo(f"{output}: {output.stat().st_size:,} bytes")


if __name__ == "__main__":
    run_program(main, "android_bench.toolchain.aar")
