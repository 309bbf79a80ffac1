"""The library for apps of one's own: the classes of the `.aar` on a JVM, with its native code under QEMU."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from android_bench.emulator.qemu import Emulator
from android_bench.reference import SPEECH_TOLERANCE
from android_bench.toolchain.aar import aar_problems, build_aar
from android_bench.toolchain.apk.dex import compile_java
from android_bench.toolchain.apk.settings import ABI, FRAMEWORK, AppSettings
from android_bench.toolchain.apk.tools import ANDROID_JSON, run
from android_bench.toolchain.native import AndroidFiles
from android_bench.toolchain.npm_packages import ANDROID_TFLITE
from converters.runtime.transcribe import Transcription, transcribe
from converters.streaming.online_converter import OnlineConverter
from converters.streaming.online_recognizer import OnlineRecognizer, Result
from tests.conftest import Conversion, Exported
from tests.support.apk_on_jvm import JVM_SOURCES, run_java, skip_without
from tests.support.edited_file import constant_bias, with_bias
from tfconformer.errors import UnavailableError

pytestmark = pytest.mark.usefixtures("native_library")
RATE, CHUNK = 16000, 1000
LAG_MS = 400
FOLLOW = f"follow voice.tflite long {LAG_MS} followed"
NATIVE = f"jni/{ABI}/libtfconformer.so"
Audio = NDArray[np.float32]


@pytest.fixture(scope="module")
def aar(android_files: AndroidFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("aar") / "tfconformer.aar"
    try:
        build_aar(android_files.speech_library, path)
    except UnavailableError as error:
        pytest.skip(str(error))
    return path


@pytest.fixture(scope="module")
def live(late_packed_stream: Exported, waveforms: list[Audio], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A streaming recognizer to which silence is silence, and that hears something in the waveforms."""
    audio = np.concatenate([silence(1.5), waveforms[2]])
    logits = OnlineRecognizer(late_packed_stream.path).model.run(audio)
    margins = np.max(logits[:, 1:], axis=1) - logits[:, 0]
    quiet, loud = np.max(margins[5:30]), np.max(margins[38:])  # a frame is 40 ms
    assert loud > quiet + 0.2
    bias = constant_bias(late_packed_stream.path, "ctc_head")[0] + quiet + 0.1
    path = tmp_path_factory.mktemp("live") / "live.tflite"
    path.write_bytes(with_bias(late_packed_stream.path, "ctc_head", 0, bias))
    return path


@pytest.fixture(scope="module")
def speech(waveforms: list[Audio]) -> Audio:
    """Two seconds of speech, silence, and 21 s of speech: silence ends an utterance, its length the next one."""
    return np.concatenate([waveforms[2], silence(1.5), np.tile(waveforms[2], 11)[: 21 * RATE]])


def silence(seconds: float) -> Audio:
    return np.zeros(int(seconds * RATE), np.float32)


@pytest.fixture(scope="module")
def output(
    aar: Path,
    emulator: Emulator,
    live: Path,
    weights_only: Exported,
    conversion: Conversion,
    speech: Audio,
    waveforms: list[Audio],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, list[list[str]]]]:
    """The folder of the device, and what the program prints: the fields of lines, by task. One Java runs them all."""
    device = tmp_path_factory.mktemp("device")
    (device / "assets").mkdir()
    shutil.copyfile(live, device / "assets/live.tflite")
    shutil.copyfile(conversion.path, device / "assets/voice.tflite")
    shutil.copyfile(weights_only.path, device / "assets/whole.tflite")
    (device / "assets/mute.tflite").write_bytes(with_bias(live, "ctc_head", 0, 1000.0))
    (device / "assets/noise.tflite").write_bytes(bytes(range(256)) * 8)
    for name, waveform in (("speech", speech), ("quiet", silence(3)), ("long", waveforms[2]), ("short", waveforms[0])):
        waveform.astype("<f4").tofile(device / name)
    tasks = ("stream live.tflite speech", "stream mute.tflite quiet", "file assets/live.tflite long")
    tasks += ("threads live.tflite long", "stream whole.tflite long")
    tasks += ("convert voice.tflite short spoken", FOLLOW, "errors live.tflite voice.tflite")
    printed = run_program(aar, emulator, device, tasks)
    by_task: dict[str, list[list[str]]] = {}
    for line in printed.splitlines():
        kind, *fields = line.split("\t")
        if kind == "task":
            lines = by_task.setdefault(fields[0], [])
        else:
            lines.append([kind, *fields])
    return device, by_task


def run_program(aar: Path, emulator: Emulator, device: Path, tasks: tuple[str, ...]) -> str:
    skip_without("javac", "java")
    classes, emulated = device / "classes", device / "emulated"
    with zipfile.ZipFile(aar) as archive:
        jar = archive.extract("classes.jar", device)
        library = archive.extract(NATIVE, device)
    compile_java([FRAMEWORK, JVM_SOURCES / "library"], classes, Path(jar), ANDROID_JSON)
    compile_java([JVM_SOURCES / "emulated_stream"], emulated)
    command = emulator.command(emulator.stream_host, [library])
    properties = {"device.root": device, "stream.command": "\n".join(command)}
    classpath = [emulated, classes, Path(jar), ANDROID_JSON]
    return run_java(classpath, properties, "org.tfconformer.sample.Program", *tasks, timeout=250)


def assert_words(lines: list[list[str]], expected: Result | Transcription) -> None:
    """Compares a printed result with that of Python."""
    assert lines[0] == ["result", " ".join(expected.text.split())]
    assert [line[1] for line in lines[1:]] == [word.text for word in expected.words]
    numbers = np.array([line[2:5] for line in lines[1:]], float).reshape(-1, 3)
    places = [[word.start, word.end] for word in expected.words]
    np.testing.assert_allclose(numbers[:, :2], np.reshape(places, (-1, 2)), atol=1e-6)  # printed digits
    # Two runtimes sum floats in another order: logits of order ten differ in their sixth digit or so.
    np.testing.assert_allclose(numbers[:, 2], [word.confidence for word in expected.words], atol=1e-4)
    for line in lines[1:]:
        assert line[5].startswith(f"{line[1]} [{float(line[2]):.2f}, ")


def results_of(lines: list[list[str]]) -> list[list[list[str]]]:
    """Groups lines into results, each with its words."""
    groups: list[list[list[str]]] = []
    for line in lines:
        if line[0] == "result":
            groups.append([])
        if line[0] in ("result", "word"):
            groups[-1].append(line)
    return groups


def test_partial_results_and_endpoints_are_those_of_python(
    output: tuple[Path, dict[str, list[list[str]]]], live: Path, speech: Audio
) -> None:
    lines = output[1]["stream live.tflite speech"]
    recognizer = OnlineRecognizer(live)
    assert lines[0] == ["rate", "16000"]
    expected, lengths = [], [0]
    for begin in range(0, len(speech), CHUNK):
        chunk = speech[begin : begin + CHUNK]
        recognizer.accept_waveform(RATE, chunk)
        recognizer.decode()
        over = recognizer.is_endpoint
        expected.append(["over" if over else "partial", " ".join(recognizer.result.text.split())])
        lengths[-1] += len(chunk)
        if over:
            recognizer.reset()
            lengths.append(0)
    recognizer.input_finished()
    recognizer.decode()
    assert lines[1 : 1 + len(expected)] == expected
    # Silence after words has ended an utterance, and its length the next one.
    assert lengths[0] / RATE < 4 and 20 <= lengths[1] / RATE < 21 and len(lengths) == 3
    assert all(text for kind, text in expected if kind == "over")
    last, after_reset = results_of(lines[1 + len(expected) :])
    assert_words(last, recognizer.result)
    assert after_reset == [["result", ""]]


def test_silence_ends_an_utterance_without_words(output: tuple[Path, dict[str, list[list[str]]]]) -> None:
    lines = output[1]["stream mute.tflite quiet"]
    kinds = [line[0] for line in lines[1:]]
    # 2.4 s are 60 frames of 40 ms; the logits of this model are seven frames late.
    assert kinds.index("over") == -(-67 * 640 // CHUNK) - 1
    assert lines[-1] == ["result", ""]


def test_a_model_for_whole_utterances_has_its_words_at_the_end(
    output: tuple[Path, dict[str, list[list[str]]]], weights_only: Exported, waveforms: list[Audio], tmp_path: Path
) -> None:
    lines = output[1]["stream whole.tflite long"]
    last, after_reset = results_of(lines)
    assert {tuple(line) for line in lines[1 : lines.index(last[0])]} == {("partial", "")}
    soundfile.write(tmp_path / "long.wav", waveforms[2], RATE, subtype="FLOAT")
    assert_words(last, transcribe(weights_only.path, tmp_path / "long.wav"))
    assert after_reset == [["result", ""]]


def test_words_of_a_file_in_two_threads_are_those_of_python(
    output: tuple[Path, dict[str, list[list[str]]]], live: Path, waveforms: list[Audio]
) -> None:
    recognizer = OnlineRecognizer(live)
    rounded = np.round(32768 * waveforms[2]) / 32768
    tasks = {"file assets/live.tflite long": (1, rounded), "threads live.tflite long": (2, waveforms[2])}
    for task, (count, audio) in tasks.items():
        recognizer.accept_waveform(RATE, audio.astype(np.float32))
        recognizer.input_finished()
        recognizer.decode()
        assert recognizer.result.words
        results = results_of(output[1][task])
        assert len(results) == count
        for result in results:
            assert_words(result, recognizer.result)
        recognizer.reset()


def test_speech_is_that_of_the_desktop(
    output: tuple[Path, dict[str, list[list[str]]]], conversion: Conversion, waveforms: list[Audio]
) -> None:
    device, by_task = output
    converter = OnlineConverter(conversion.path)
    converter.accept_waveform(RATE, waveforms[0])
    converter.input_finished()
    converter.convert()
    expected = converter.read_audio()
    assert len(expected)
    for utterance in range(2):
        spoken = np.fromfile(device / f"spoken{utterance}", "<f4")
        assert len(spoken) == len(expected)
        # `reference.SPEECH_TOLERANCE` has the reason.
        assert np.sqrt(np.sum((spoken - expected) ** 2)) <= SPEECH_TOLERANCE * np.sqrt(np.sum(expected**2))
    lines = by_task["convert voice.tflite short spoken"]
    assert [result[0][1] for result in results_of(lines)] == [" ".join(converter.text.split())] * 2
    assert [line for line in lines if line[0] == "endpoint"] == [["endpoint", "false", "16000"]] * 2
    assert lines[-3:] == [
        ["IllegalStateException", "it was closed"],
        ["IllegalArgumentException", "the number of threads should be 1 or more, got 0"],
        ["IllegalArgumentException", "the lag should be 0 ms or more, got -1"],
    ]


def test_speech_behind_the_speaker_is_that_of_the_desktop(
    output: tuple[Path, dict[str, list[list[str]]]], conversion: Conversion, waveforms: list[Audio]
) -> None:
    device, by_task = output
    converter = OnlineConverter(conversion.path, lag=LAG_MS / 1000)
    converter.accept_waveform(RATE, waveforms[2])
    converter.input_finished()
    converter.convert()
    expected, spoken = converter.read_audio(), np.fromfile(device / "followed", "<f4")
    assert len(spoken) == len(expected) > 0
    # `reference.SPEECH_TOLERANCE` has the reason.
    assert np.sqrt(np.sum((spoken - expected) ** 2)) <= SPEECH_TOLERANCE * np.sqrt(np.sum(expected**2))
    ((_, samples),) = by_task[FOLLOW]
    assert LAG_MS / 1000 * RATE <= int(samples) < len(waveforms[2])


def test_every_error_is_an_exception_with_one_sentence(output: tuple[Path, dict[str, list[list[str]]]]) -> None:
    device, by_task = output
    stored = 'is missing, or compressed: androidResources { noCompress += "tflite" } stores it as it is'
    assert by_task["errors live.tflite voice.tflite"] == [
        ["SpeechException", f"the asset none.tflite {stored}"],
        ["SpeechException", f"the asset compressed.bin {stored}"],
        ["SpeechException", f"cannot read {device}/none.tflite: {device}/none.tflite (No such file or directory)"],
        ["SpeechException", "the asset noise.tflite: it was not written by `tfconformer export`"],
        ["SpeechException", "the asset voice.tflite: its task is 'conversion': it is none for a recognizer"],
        ["SpeechException", "the asset live.tflite: its task is 'recognition_ctc': it is none for a converter"],
        ["IllegalArgumentException", "the number of threads should be 1 or more, got 0"],
        ["SpeechException", "sample 1 of the audio is not finite"],
        ["SpeechException", "audio should be in [-1, 1], got 12000: divide 16-bit numbers by 32768"],
        ["IllegalArgumentException", "the number of samples should be 0 to 3, the length of the array, got 4"],
        ["IllegalArgumentException", "the number of samples should be 0 to 3, the length of the array, got -1"],
        ["result", ""],
        ["SpeechException", "the utterance has ended: reset the stream before more audio"],
        ["IllegalStateException", "it was closed"],
    ]


def test_java_calls_the_library(host_libraries: tuple[Path, Path], aar: Path, live: Path, tmp_path: Path) -> None:
    """Over this machine's real JNI; no desktop build of TFLite has the C API, so it gets as far as looking for it."""
    skip_without("javac", "java")
    with zipfile.ZipFile(aar) as archive:
        jar = Path(archive.extract("classes.jar", tmp_path))
    classes = tmp_path / "classes"
    compile_java([FRAMEWORK, JVM_SOURCES / "library"], classes, jar, ANDROID_JSON)
    (tmp_path / "assets").mkdir()
    shutil.copyfile(live, tmp_path / "assets/live.tflite")
    options = ("-Xcheck:jni", "--add-opens", "java.base/java.io=ALL-UNNAMED", f"-Ddevice.root={tmp_path}")
    messages = {host_libraries[1].parent: "no TFLite library", tmp_path: "the native library cannot be loaded"}
    for folder, message in messages.items():
        done = subprocess.run(
            [
                *("java", *options, f"-Djava.library.path={folder}", "-cp", f"{classes}:{jar}:{ANDROID_JSON}"),
                *("org.tfconformer.sample.Program", "errors live.tflite live.tflite"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert f"SpeechException\tthe asset live.tflite: {message}" in done.stdout, done.stdout + done.stderr
        assert "WARNING" not in done.stdout


# ---- The file ----


def test_what_is_in_the_aar(aar: Path) -> None:
    assert not list(aar_problems(aar))
    with zipfile.ZipFile(aar) as archive:
        assert sorted(archive.namelist()) == [
            "AndroidManifest.xml",
            "LICENSE",
            "R.txt",
            "classes.jar",
            NATIVE,
            "proguard.txt",
        ]
        manifest = archive.read("AndroidManifest.xml").decode()
        settings = AppSettings.read()
        assert f'package="{settings.library_namespace}"' in manifest
        assert f'android:minSdkVersion="{settings.min_sdk}"' in manifest
        assert b"-keep class org.tfconformer.NativeStream" in archive.read("proguard.txt")


def test_the_same_sources_give_the_same_aar(aar: Path, android_files: AndroidFiles, tmp_path: Path) -> None:
    build_aar(android_files.speech_library, tmp_path / "again.aar")
    assert (tmp_path / "again.aar").read_bytes() == aar.read_bytes()


def test_a_library_for_pages_of_4_kib_is_refused(aar: Path, tmp_path: Path) -> None:
    """Such a one is TensorFlow Lite 2.14.0, which is why the runtime is not in the file."""
    path = tmp_path / "runtime.aar"
    with zipfile.ZipFile(aar) as source, zipfile.ZipFile(path, "w") as target:
        target.writestr(NATIVE, source.read(NATIVE))
        target.writestr(f"jni/{ABI}/libtensorflowlite_jni.so", ANDROID_TFLITE.fetch().read_bytes())
    assert f"jni/{ABI}/libtensorflowlite_jni.so has segments aligned to 4096 bytes, not to 16384" in aar_problems(path)


def test_every_class_is_public_or_hidden(aar: Path, tmp_path: Path) -> None:
    """Kotlin and Java see what the documentation names, and nothing else."""
    with zipfile.ZipFile(aar) as archive:
        jar = archive.extract("classes.jar", tmp_path)
    with zipfile.ZipFile(jar) as archive:
        names = [name.removesuffix(".class").replace("/", ".") for name in archive.namelist()]
    described = run("javap", "-cp", jar, "-public", *names)
    public = {line.split()[3] for line in described.splitlines() if line.startswith("public final class ")}
    assert public == {f"org.tfconformer.{name}" for name in ("Recognizer", "Converter", "Result", "Word")} | {
        "org.tfconformer.SpeechException"
    }
