"""`python -m android_bench.toolchain.apk`: native code, assets, APK, checks. `make apk` calls it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import click

from android_bench.reference import read_speech, write_reference
from android_bench.toolchain.apk.assets import collect_assets
from android_bench.toolchain.apk.build import build_apk
from android_bench.toolchain.apk.verify import verify_apk
from android_bench.toolchain.native import OUTPUT, build_android
from android_bench.toolchain.npm_packages import ANDROID_TFLITE
from tfconformer.cli import run_program

APK = OUTPUT / "tfconformer-bench.apk"
ASSETS = OUTPUT / "assets"
SPEECH = Path("samples/speech/test-clean/3000/103000/3000-103000-0001.ogg")

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("models", type=_PATH, nargs=-1, required=True)
@click.option("--speech", type=_PATH, default=SPEECH, show_default=True, help="What the models hear on the phone.")
@click.option("--output", type=_PATH, default=APK, show_default=True)
def main(models: tuple[Path, ...], speech: Path, output: Path) -> None:
    """Build the benchmark APK with MODELS (.tflite) in it, and check it.

    Beside each model a file is written with what it computes here, which the phone compares with.
    """
    for model in models:
        write_reference(model, read_speech(speech, model))
    built = build_android()
    tflite = ANDROID_TFLITE.fetch()
    libraries = {path.name: path for path in (built.library, built.speech_library, tflite)}
    build_apk(collect_assets(models, ASSETS), libraries, output)
    verify_apk(output)
    content = output.read_bytes()
    click.echo(f"{output}: {len(content) / 1e6:.2f} MB, sha256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    run_program(main, "android_bench.toolchain.apk")
