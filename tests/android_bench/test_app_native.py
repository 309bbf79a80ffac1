"""The app's dex together with the native core: the APK's own machine code under QEMU, and the host's build over JNI."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from android_bench.emulator.qemu import CPUS, Emulator
from android_bench.reference import reference_path, write_reference
from android_bench.toolchain.apk.settings import ABI
from tests.android_bench.conftest import BuiltApk, NativeModel, Validate
from tests.support.apk_on_jvm import AppOnJvm


@pytest.fixture
def device(tmp_path: Path, native_model: NativeModel) -> Path:
    """A phone with one bundled model."""
    (tmp_path / "assets/models").mkdir(parents=True)
    for path in (native_model.path, reference_path(native_model.path)):
        shutil.copyfile(path, tmp_path / "assets/models" / path.name)
    return tmp_path


@pytest.mark.parametrize("cpu", CPUS)
def test_the_apk_runs_a_bundled_model_as_the_desktop_does(
    app: AppOnJvm, built_apk: BuiltApk, emulator: Emulator, device: Path, validate: Validate, cpu: str
) -> None:
    with zipfile.ZipFile(built_apk.path) as apk:
        library = apk.extract(f"lib/{ABI}/libtfconformer_bench.so", device)
    command = "\n".join(emulator.command(emulator.host, [library], cpu))
    arguments = "--model=model.tflite --warmup=0 --runs=2"
    lines = app.run(device, "script", arguments, native="emulated", native_command=command).splitlines()
    report = validate((device / "external/mine.json").read_text())
    # Bit for bit: our operation has one result on every processor, and the rest of this model moves no number.
    assert report["output_check"]["status"] == "equal" and report["output_check"]["bit_exact"]
    assert report["program"] == {"version": "0.1.0", "abi": ABI, "entry_point": "jni"}
    assert report["engine"]["version"] == "2.14.0"
    assert report["model"]["name"] == "model.tflite"
    assert any(line.startswith("text: model.tflite, offline, 1 threads: ") for line in lines)
    assert lines[lines.index("text: Output") + 1].startswith("text: equal")


def test_the_apk_keeps_the_speech_of_a_bundled_conversion(
    app: AppOnJvm,
    built_apk: BuiltApk,
    emulator: Emulator,
    endless: Path,
    waveforms: list[np.ndarray],
    validate: Validate,
    tmp_path: Path,
) -> None:
    models = tmp_path / "assets/models"
    models.mkdir(parents=True)
    shutil.copyfile(endless, models / "voice.tflite")
    write_reference(models / "voice.tflite", waveforms[0])
    with zipfile.ZipFile(built_apk.path) as apk:
        library = apk.extract(f"lib/{ABI}/libtfconformer_bench.so", tmp_path)
    command = "\n".join(emulator.command(emulator.host, [library]))
    arguments = "--model=voice.tflite --mode=streaming --warmup=0 --runs=1"
    lines = app.run(tmp_path, "script", arguments, native="emulated", native_command=command).splitlines()
    report = validate((tmp_path / "external/mine.json").read_text())
    assert report["output_check"]["status"] == "within_tolerance"
    (spoken,) = report["conversion"]
    kept = tmp_path / "external/speech/reference.wav"
    assert spoken["file"] == str(kept)
    assert soundfile.info(kept).duration == pytest.approx(spoken["speech_seconds"])
    assert f"text: {spoken['speech_seconds']:.2f} s of 0.33 s, cut off: {kept}" in lines


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("--model=model.tflite", "no TFLite library"),  # the host has none with a C API
        ("--model=model.tflite --threads=100000", "--threads=100000: expected a whole number from 1 to"),
        ("--model=model.tflite --speed=high", "unknown argument --speed=high"),
        ("--threads=1", "--model=FILE is missing"),
        ("--model=/no/such/file.tflite", "/no/such/file.tflite"),
    ],
)
def test_java_calls_the_native_core_and_shows_its_errors(
    app: AppOnJvm, host_library: Path, device: Path, validate: Validate, arguments: str, error: str
) -> None:
    output = app.run(device, "script", arguments, native="own", java_library_path=host_library.parent)
    report = validate((device / "external/mine.json").read_text())
    assert error in report["error"] and report["status"] != "ok"
    assert report["program"]["entry_point"] == "jni"
    assert f"text: error: {report['error']}" in output.splitlines()
