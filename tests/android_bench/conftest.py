"""What the tests of the native code share: the emulator with everything built, and a recognizer with its reference."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import android_bench
from android_bench.emulator.qemu import Emulator
from android_bench.reference import write_reference
from android_bench.toolchain import native
from android_bench.toolchain.apk.assets import collect_assets
from android_bench.toolchain.apk.build import build_apk
from android_bench.toolchain.native import AndroidFiles, build_android
from android_bench.toolchain.npm_packages import ANDROID_TFLITE
from converters.custom_ops import COMPILER_FLAGS
from tests.conftest import Conversion
from tests.support.apk_on_jvm import AppOnJvm
from tests.support.edited_file import with_bias
from tests.support.model_metadata import metadata
from tests.support.packed_layer import RECOGNIZER_FEATURES, recognizer_layers
from tests.support.tflite_builder import RecognizerBuilder
from tfconformer.data.config import TokenizerConfig
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.errors import UnavailableError

SAMPLE_RATE = 8000
# Times of an emulated program mean nothing, so nothing runs just to be timed.
QUICK = ("--warmup=0", "--runs=1")
Validate = Callable[[str], dict]


@dataclass(frozen=True)
class NativeModel:
    """A small recognizer of packed layers in a folder with its reference and WAV files of noise.

    Attributes:
      path: the `.tflite` file; model.reference is beside it.
      speech: folder of WAV files.
      waveforms: what they hold, by name.
      tokenizer: of the model.
    """

    path: Path
    speech: Path
    waveforms: dict[str, NDArray[np.float32]]
    tokenizer: Tokenizer

    def copy(self, folder: Path) -> Path:
        """The model and its reference in another folder; returns the path of the model."""
        for source in (self.path, self.path.with_suffix(".reference")):
            shutil.copy(source, folder)
        return folder / self.path.name


def write_speech(folder: Path, **waveforms: np.ndarray) -> Path:
    """Writes WAV files of 16 kHz into a new folder; returns it."""
    folder.mkdir()
    for name, waveform in waveforms.items():
        soundfile.write(folder / f"{name}.wav", waveform, 16000, subtype="PCM_16")
    return folder


@pytest.fixture(scope="session")
def prepared_emulator() -> Emulator | UnavailableError:
    try:
        return Emulator.prepare()
    except UnavailableError as error:
        return error


@pytest.fixture(scope="session")
def emulator(prepared_emulator: Emulator | UnavailableError) -> Emulator:
    if isinstance(prepared_emulator, UnavailableError):
        pytest.skip(str(prepared_emulator))
    return prepared_emulator


@pytest.fixture(scope="session")
def android_files(
    prepared_emulator: Emulator | UnavailableError, tmp_path_factory: pytest.TempPathFactory
) -> AndroidFiles:
    """The native code as built for Android, which takes half a minute: the emulator's, if there is one."""
    if isinstance(prepared_emulator, Emulator):
        return prepared_emulator.built
    try:
        return build_android(tmp_path_factory.mktemp("android"))
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def host_libraries(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """For this machine's Java, the app's library and that for apps of one's own.

    They are not optimized, which takes four fifths of a compilation.
    """
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(native, "COMPILER_FLAGS", (*COMPILER_FLAGS, "-O0"))
            return native.build_host_libraries(tmp_path_factory.mktemp("host"))
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def host_library(host_libraries: tuple[Path, Path]) -> Path:
    return host_libraries[0]


@pytest.fixture(scope="session")
def native_model(tmp_path_factory: pytest.TempPathFactory) -> NativeModel:
    folder = tmp_path_factory.mktemp("native")
    path = folder / "model.tflite"
    # Nine pieces: the layers have ten outputs.
    tokenizer = Tokenizer.train(["ABC DEFG"], TokenizerConfig())
    content = metadata(
        {
            "name": "a",
            "kind": "dense",
            "parameters": 1000,
            "code_bytes": 100,
            "scale_bytes": 20,
            "offset_bytes": 3,
            "float_bytes": 4000,
        },
        config={"features": {"sample_rate": SAMPLE_RATE}},
        tokenizer=base64.b64encode(tokenizer.to_bytes()).decode(),
    )
    path.write_bytes(RecognizerBuilder(recognizer_layers(), metadata=content).finish())
    waveforms = {}
    (folder / "speech").mkdir()
    for frames in (5, 30, 40):
        noise = np.random.default_rng(frames).integers(-32768, 32768, frames * RECOGNIZER_FEATURES).astype(np.int16)
        soundfile.write(folder / f"speech/noise-{frames}.wav", noise, SAMPLE_RATE)
        waveforms[f"noise-{frames}"] = noise.astype(np.float32) / 32768
    write_reference(path, waveforms["noise-30"])
    return NativeModel(path, folder / "speech", waveforms, tokenizer)


@pytest.fixture(scope="session")
def endless(conversion: Conversion, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that converts speech, with a decoder that never stops, so that an utterance has many steps."""
    path = tmp_path_factory.mktemp("endless") / "endless.tflite"
    path.write_bytes(with_bias(conversion.path, "stop_head", 0, -100.0))
    return path


@pytest.fixture(scope="session")
def validate() -> Validate:
    """Parses a report and checks it against the published schema."""
    schema = json.loads(Path(android_bench.__file__).with_name("report.schema.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)

    def parse(text: str) -> dict:
        report = json.loads(text)
        validator.validate(report)
        return report

    return parse


@dataclass(frozen=True)
class BuiltApk:
    """An APK and what it was made from."""

    assets: dict[str, Path]
    libraries: dict[str, Path]
    path: Path


@pytest.fixture(scope="session")
def built_apk(android_files: AndroidFiles, tmp_path_factory: pytest.TempPathFactory) -> BuiltApk:
    """An APK whose model is none, but whose code is the real one."""
    folder = tmp_path_factory.mktemp("apk")
    for name in ("tiny.tflite", "tiny.reference"):
        (folder / name).write_bytes(name.encode() * 100)
    assets = collect_assets([folder / "tiny.tflite"], folder / "assets")
    try:
        files = (android_files.library, android_files.speech_library, ANDROID_TFLITE.fetch())
        built = BuiltApk(assets, {path.name: path for path in files}, folder / "bench.apk")
        build_apk(built.assets, built.libraries, built.path)
    except UnavailableError as error:
        pytest.skip(str(error))
    return built


@pytest.fixture(scope="session")
def app(built_apk: BuiltApk, tmp_path_factory: pytest.TempPathFactory) -> AppOnJvm:
    return AppOnJvm(built_apk.path, tmp_path_factory.mktemp("app"))
