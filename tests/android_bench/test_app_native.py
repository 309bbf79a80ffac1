"""The app's dex together with the native core: the APK's own machine code under QEMU, and the host's build over JNI."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from android_bench.emulator.qemu import CPUS, Emulator
from android_bench.reference import SPEECH_TOLERANCE, reference_path, write_reference
from android_bench.toolchain.apk.settings import ABI
from converters.streaming.online_converter import OnlineConverter
from converters.streaming.online_recognizer import OnlineRecognizer
from tests.android_bench.conftest import BuiltApk, NativeModel, Validate
from tests.conftest import Conversion, Exported
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


def test_the_sample_recognizes_and_converts_what_the_microphone_hears(
    app: AppOnJvm,
    built_apk: BuiltApk,
    emulator: Emulator,
    late_packed_stream: Exported,
    conversion: Conversion,
    waveforms: list[np.ndarray],
    tmp_path: Path,
) -> None:
    """Partial results while one speaks, as of Python, and then the same in another voice."""
    models, audio = tmp_path / "assets/models", np.round(32768 * waveforms[1]).astype("<i2")
    models.mkdir(parents=True)
    shutil.copyfile(late_packed_stream.path, models / "live.tflite")
    shutil.copyfile(conversion.path, models / "voice.tflite")
    audio.tofile(tmp_path / "microphone.raw")
    with zipfile.ZipFile(built_apk.path) as apk:
        library = apk.extract(f"lib/{ABI}/libtfconformer.so", tmp_path)
    command = "\n".join(emulator.command(emulator.stream_host, [library]))
    lines = app.run(tmp_path, "live", stream_command=command).splitlines()
    second = lines.index("press Convert: true")
    recognized, converted, samples = lines[:second], lines[second:], audio.astype(np.float32) / 32768

    recognizer = OnlineRecognizer(late_packed_stream.path)
    partial = [""]
    for begin in range(0, len(samples), 1600):
        recognizer.accept_waveform(16000, samples[begin : begin + 1600])
        recognizer.decode()
        text = " ".join(recognizer.result.text.split())
        if text != partial[-1]:
            partial.append(text)
    recognizer.input_finished()
    recognizer.decode()
    assert len(partial) > 3
    assert [line.removeprefix("growing: ") for line in recognized if line.startswith("growing: ")] == partial[1:]
    assert f"text: {' '.join(recognizer.result.text.split())}" in recognized

    converter = OnlineConverter(conversion.path)
    converter.accept_waveform(16000, samples)
    converter.input_finished()
    converter.convert()
    expected, played = converter.read_audio(), np.fromfile(tmp_path / "loudspeaker.raw", "<f4")
    difference = played[: len(expected)] - expected
    # `reference.SPEECH_TOLERANCE` has the reason for it. The silence behind the speech fills the loudspeaker's buffer.
    assert np.sqrt(np.sum(difference**2)) <= SPEECH_TOLERANCE * np.sqrt(np.sum(expected**2)) > 0
    assert len(played) > len(expected) and not played[len(expected) :].any()
    assert f"text: {' '.join(converter.text.split())}" in converted


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
