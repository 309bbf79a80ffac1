"""The phone's command-line program with Android's TFLite, executed on emulated processors."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import resource
import signal
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from ai_edge_litert import schema_py_generated as schema

from android_bench.emulator.qemu import CPUS, Emulator
from android_bench.reference import write_reference
from benchmarks.arm_machine import sme2_emulator
from converters.runtime.model import open_model
from tests.android_bench.conftest import QUICK, SAMPLE_RATE, NativeModel, Validate
from tests.support.model_metadata import recognizer_metadata
from tests.support.packed_layer import RECOGNIZER_FEATURES, recognizer_layers
from tests.support.tflite_builder import ModelBuilder, RecognizerBuilder
from tfconformer.data.speech.debian_packages import ArchiveUnreachableError
from tfconformer.decoding.ctc import greedy_decode
from tfconformer.decoding.wer import word_errors
from tfconformer.errors import UnavailableError


@pytest.mark.parametrize(
    ("cpu", "kernel"), [("cortex-a53", "neon"), ("cortex-a76", "neon_dotprod"), ("max", "neon_i8mm")]
)
def test_packed_layers_give_what_they_give_on_the_desktop(
    emulator: Emulator, native_model: NativeModel, validate: Validate, cpu: str, kernel: str
) -> None:
    done = emulator.run_program([f"--model={native_model.path}", "--warmup=1", "--runs=5"], cpu)
    assert done.returncode == 0, done.stderr
    report = validate(done.stdout)
    assert report["engine"]["kernel"] == kernel
    # No tolerance: our operation has one result on every processor, and the rest of this model moves no number.
    assert report["output_check"]["status"] == "equal"
    assert report["output_check"]["bit_exact"] and report["output_check"]["repeatable"]
    assert report["output_check"]["frames"] == 30


def test_sme2_gives_what_the_desktop_gives(emulator: Emulator, native_model: NativeModel, validate: Validate) -> None:
    """Compiled as it is shipped, inside Android's TFLite, on a processor without SVE outside of streaming mode."""
    try:
        newer = dataclasses.replace(emulator, qemu=sme2_emulator())
    except (UnavailableError, ArchiveUnreachableError) as error:
        pytest.skip(str(error))
    words = [f"--model={native_model.path}", "--kernel=sme2", *QUICK]
    done = newer.run_program(words, "max,sve=off,sme512=on,sme256=off,sme128=off")
    assert done.returncode == 0, done.stderr
    report = validate(done.stdout)
    assert report["engine"]["kernel"] == "sme2"
    assert report["output_check"]["status"] == "equal"
    assert report["output_check"]["bit_exact"]


@pytest.mark.parametrize("cpu", CPUS)
def test_a_conformer_gives_what_it_gives_on_the_desktop(
    emulator: Emulator, weights_only, waveforms: list, validate: Validate, cpu: str
) -> None:
    write_reference(weights_only.path, waveforms[0])
    report = validate(emulator.run_program([f"--model={weights_only.path}", *QUICK], cpu).stdout)
    # Float sums of the built-in operations are ordered differently; `reference.TOLERANCE` says how far that may lead.
    assert report["output_check"]["status"] == "within_tolerance"
    assert report["output_check"]["different_frames"] == 0
    kinds = {row["kind"]: row["nodes"] for row in report["profile"]["operations"]}
    # The second convolution is packed.
    assert kinds["TfconformerDelegate"] > 10 and kinds["CONV_2D"] == 1


def test_the_report_tells_all_that_there_is(emulator: Emulator, native_model: NativeModel, validate: Validate) -> None:
    threads = min(2, len(os.sched_getaffinity(0)))  # the program allows no more than there are processors
    report = validate(emulator.run_program([f"--model={native_model.path}", f"--threads={threads}", "--runs=7"]).stdout)
    content = native_model.path.read_bytes()
    assert report["model"] == {
        "name": "model.tflite",
        "sha256": hashlib.sha256(content).hexdigest(),
        "file_bytes": len(content),
        "weight_bytes": 4123,
    }
    assert report["settings"] == {"mode": "offline", "threads": threads, "warmup": 3, "runs": 7}
    assert report["program"]["abi"] == "arm64-v8a"
    assert report["engine"] == {
        "name": "TFLite",
        "version": "2.14.0",
        "library": "libtensorflowlite_jni.so",
        "kernel": "neon_dotprod",
        "xnnpack": False,  # utterances differ in length
    }
    # What the emulator shows as the phone (emulator.py).
    first = {"index": 0, "part": "0x41:0xd05", "governor": "schedutil", "max_khz": 1800000}
    assert report["device"]["cores"][0] == first
    assert report["device"]["features"] == "fp asimd"
    assert report["device"]["affinity"]
    assert report["thermal"]["before"] == {"zones": [{"name": "emulated", "celsius": 36.6}]}
    assert 0 < report["memory"]["before_kb"] <= report["memory"]["peak_kb"]
    times = report["timing"]["utterance"]
    assert times["count"] == 7
    assert 0 < times["min_us"] <= times["p50_us"] <= times["p90_us"] <= times["p99_us"] <= times["max_us"]
    assert report["timing"]["audio_seconds"] == pytest.approx(30 * RECOGNIZER_FEATURES / SAMPLE_RATE)
    assert report["profile"]["run_us"] > 0
    assert sum(row["share"] for row in report["profile"]["operations"]) == pytest.approx(1)


def test_words_and_word_errors_are_those_of_python(
    emulator: Emulator, native_model: NativeModel, validate: Validate, tmp_path: Path
) -> None:
    opened = open_model(native_model.path)
    heard = {
        name: native_model.tokenizer.decode(greedy_decode(opened.run(waveform)))
        for name, waveform in native_model.waveforms.items()
    }
    said = {name: f"{text[:-3]} X" for name, text in heard.items()} | {"noise-5": "NOTHING LIKE IT"}
    transcripts = tmp_path / "transcripts.txt"
    transcripts.write_text("".join(f"{name} {text}\n" for name, text in said.items()))
    arguments = [f"--model={native_model.path}", f"--audio={native_model.speech}", f"--transcripts={transcripts}"]
    recognition = validate(emulator.run_program([*arguments, *QUICK]).stdout)["recognition"]
    assert {row["name"]: row["hypothesis"].split() for row in recognition["transcripts"]} == {
        name: text.split() for name, text in heard.items()
    }
    names = sorted(heard)
    expected = word_errors([said[name] for name in names], [heard[name] for name in names])
    edits = recognition["substitutions"] + recognition["deletions"] + recognition["insertions"]
    # Alignments of equal cost may count substitutions and pairs of deletion and insertion differently.
    assert edits == expected.substitutions + expected.deletions + expected.insertions > 0
    assert (recognition["words"], recognition["wer"]) == (expected.words, pytest.approx(expected.wer))


# ---- Streaming ----


# The same stream as the two formats of metadata describe it; in format 2 no name is fixed.
STREAM_1 = {"config": {"features": {"sample_rate": 4}}, "streaming": {"delay_frames": 1, "flush_samples": 8}}
STREAM_2 = {
    "format": 2,
    "task": {"name": "recognition_ctc", "search": "ctc", "vocabulary": 3},
    "config": {"features": {"sample_rate": 4}},
    "graphs": [
        {
            "signature": "step",
            "inputs": [
                {"name": "audio", "shape": [1, 4], "dtype": "float32"},
                {"name": "count", "shape": [1], "dtype": "int32"},
            ],
            "outputs": [
                {"name": "scores", "shape": [1, 1, 4], "dtype": "float32"},
                {"name": "length", "shape": [1], "dtype": "int32"},
            ],
            "states": [
                {"name": "total", "shape": [1, 4], "dtype": "float32"},
                {"name": "received", "shape": [1], "dtype": "int32"},
            ],
            "stream": {
                "sample_rate": 4,
                "step_samples": 4,
                "frame_samples": 4,
                "delay_frames": 1,
                "flush_samples": 8,
                "flush_signature": "rest",
            },
        }
    ],
}


def streaming_model(path: Path, description: dict = STREAM_1) -> Path:
    """A step of four samples whose logits are the running sums of the samples at every position of the step."""
    is_format_2 = "graphs" in description
    logits_name, frames_name = ("scores", "length") if is_format_2 else ("logits", "frames")
    builder = ModelBuilder()
    audio, count = builder.tensor("audio", [1, 4]), builder.tensor("count", [1], np.int32)
    total, received = builder.tensor("total", [1, 4]), builder.tensor("received", [1], np.int32)
    new_total, new_received = builder.tensor("new_total", [1, 4]), builder.tensor("new_received", [1], np.int32)
    builder.operator(schema.BuiltinOperator.ADD, [total, audio], new_total)
    builder.operator(schema.BuiltinOperator.ADD, [received, count], new_received)
    logits = builder.reshape(new_total, [1, 1, 4], "logits")
    inputs = {"audio": audio, "count": count, "total": total, "received": received}
    outputs = {logits_name: logits, frames_name: new_received, "total": new_total, "received": new_received}
    for name in ("step", "rest") if is_format_2 else ("encode_step", "flush"):
        builder.signature(name, inputs, outputs)
    builder.metadata("TFCONFORMER", description)
    path.write_bytes(builder.build(list(inputs.values()), [logits, new_total, new_received]))
    return path


@pytest.mark.parametrize("description", [STREAM_1, STREAM_2], ids=["format 1", "format 2"])
def test_a_stream_is_run_step_by_step(
    emulator: Emulator, validate: Validate, tmp_path: Path, description: dict
) -> None:
    model = streaming_model(tmp_path / "model.tflite", description)
    waveform = np.arange(10, dtype=np.float32)
    # Three steps hold the samples, two zeros at their end, and two flush; then the first frame is dropped.
    expected = np.cumsum(np.pad(waveform, (0, 10)).reshape(5, 4), axis=0)[1:]
    header = struct.pack("<8s32sfIII", b"TFCREF01", hashlib.sha256(model.read_bytes()).digest(), 0, 10, *expected.shape)
    (tmp_path / "model.reference").write_bytes(header + waveform.tobytes() + expected.tobytes())
    done = emulator.run_program([f"--model={model}", "--mode=streaming", "--warmup=1", "--runs=3"])
    report = validate(done.stdout)
    assert report["output_check"]["status"] == "equal", done.stderr
    assert report["timing"]["step"]["count"] == 3 * 5
    # All shapes of a stream are fixed, so the runtime's fast kernels take what is not ours.
    assert report["engine"]["xnnpack"]
    assert report["timing"]["utterance"]["count"] == 3


# ---- Bad input ----


def refused(emulator: Emulator, validate: Validate, arguments: list[str], code: int, message: str) -> None:
    """Runs a command that must fail, with this exit code and a sentence with these words everywhere."""
    done = emulator.run_program(arguments)
    report = validate(done.stdout)
    assert (done.returncode, report["exit_code"]) == (code, code), done.stderr
    assert message in report["error"]
    assert report["error"] in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--model=FILE is missing"),
        (["--model="], "--model=: the value is missing"),
        (["--model=m", "--speed=9"], "unknown argument --speed=9"),
        (["--model=m", "runs=3"], "unknown argument runs=3"),
        (["--model=m", "--runs=0"], "--runs=0: expected a whole number from 1 to"),
        (["--model=m", "--runs=many"], "--runs=many: expected a whole number"),
        (["--model=m", "--threads=4096"], "--threads=4096: expected a whole number from 1 to"),
        (["--model=m", "--threads=99999999999999999999"], "expected a whole number from 1 to"),
        (["--model=m", "--mode=live"], "--mode=live: expected offline or streaming"),
        (["--model=m", "--transcripts=t"], "--transcripts needs --audio"),
    ],
)
def test_a_wrong_command_is_refused(emulator: Emulator, validate: Validate, arguments: list[str], message: str) -> None:
    refused(emulator, validate, arguments, 2, message)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--reference=missing.reference", "missing.reference: No such file or directory"),
        ("--audio=missing.wav", "missing.wav: No such file or directory"),
        ("--kernel=abacus", "this processor has no kernel 'abacus'"),
        ("--kernel=neon_i8mm", "this processor has no kernel 'neon_i8mm'"),
    ],
)
def test_an_option_that_cannot_be_served_is_refused(
    emulator: Emulator, native_model: NativeModel, validate: Validate, option: str, message: str
) -> None:
    refused(emulator, validate, [f"--model={native_model.path}", *QUICK, option], 2, message)


def test_a_kernel_can_be_chosen(emulator: Emulator, native_model: NativeModel, validate: Validate) -> None:
    report = validate(emulator.run_program([f"--model={native_model.path}", *QUICK, "--kernel=portable"]).stdout)
    assert report["engine"]["kernel"] == "portable"
    assert report["output_check"]["status"] == "equal"


def test_a_missing_engine_is_named(emulator: Emulator, native_model: NativeModel, validate: Validate) -> None:
    arguments = [f"--model={native_model.path}", "--engine=/missing/libtensorflowlite_jni.so"]
    refused(emulator, validate, arguments, 1, "no TFLite library at /missing/libtensorflowlite_jni.so")


def test_a_file_that_is_no_model_is_refused(
    emulator: Emulator, native_model: NativeModel, validate: Validate, tmp_path: Path
) -> None:
    content = native_model.path.read_bytes()
    path = tmp_path / "damaged.tflite"
    refused(emulator, validate, [f"--model={path}"], 3, "damaged.tflite: No such file or directory")
    for damaged in (b"", b"TFL3", content[:7], content[:100], content[: len(content) // 2], content[:-1], b"x" * 4000):
        path.write_bytes(damaged)
        refused(emulator, validate, [f"--model={path}"], 3, "empty" if not damaged else "not a whole TFLite model")


def test_a_model_with_another_purpose_is_refused(
    emulator: Emulator, native_model: NativeModel, validate: Validate, tmp_path: Path
) -> None:
    refused(
        emulator, validate, [f"--model={native_model.path}", "--mode=streaming"], 3, "has no signature 'encode_step'"
    )
    stream = streaming_model(tmp_path / "stream.tflite")
    refused(emulator, validate, [f"--model={stream}"], 3, "has no signature 'transcribe'")
    stream = streaming_model(tmp_path / "stream.tflite", STREAM_2)
    refused(emulator, validate, [f"--model={stream}"], 3, "the model has no graph for mode offline")


def test_another_search_is_refused(emulator: Emulator, validate: Validate, tmp_path: Path) -> None:
    """The task is what the file says, whatever keys and signatures it has besides."""
    for search, message in (
        ("attention", "searched by 'attention'"),
        ("transducer", "the model has no graph 'predict'"),
    ):
        description = STREAM_2 | {"task": {"name": "recognition", "search": search, "vocabulary": 3}}
        stream = streaming_model(tmp_path / "stream.tflite", description)
        refused(emulator, validate, [f"--model={stream}", "--mode=streaming"], 3, message)


def test_a_recognizer_with_metadata_of_format_2(
    emulator: Emulator, native_model: NativeModel, validate: Validate, tmp_path: Path
) -> None:
    """Its words and numbers are those of the same model with format 1."""
    description = recognizer_metadata(
        native_model.tokenizer,
        config={"features": {"sample_rate": SAMPLE_RATE}},
        layers=[{"name": "a", "kind": "dense", "code_bytes": 100, "scale_bytes": 20, "float_bytes": 4000}],
    )
    path = tmp_path / "model.tflite"
    path.write_bytes(RecognizerBuilder(recognizer_layers(), metadata=description).finish())
    arguments = [*QUICK, f"--audio={native_model.speech}"]
    expected = validate(emulator.run_program([f"--model={native_model.path}", *arguments]).stdout)
    report = validate(emulator.run_program([f"--model={path}", *arguments]).stdout)
    assert report["model"]["weight_bytes"] == 4120
    words = [[row["hypothesis"] for row in each["recognition"]["transcripts"]] for each in (report, expected)]
    assert words[0] == words[1]
    # Without its list of graphs there is nothing to run.
    path.write_bytes(RecognizerBuilder(recognizer_layers(), metadata=description | {"graphs": {}}).finish())
    refused(emulator, validate, [f"--model={path}"], 3, "the model has no graph for mode offline")


def test_an_unknown_operation_is_named(emulator: Emulator, validate: Validate, tmp_path: Path) -> None:
    path = tmp_path / "unknown.tflite"
    for code, name in ((schema.BuiltinOperator.CUSTOM, "Teleport"), (201, "201")):
        builder = ModelBuilder()
        x, y = builder.tensor("waveform", [1, -1]), builder.tensor("logits", [1, 1, -1])
        builder.operator(code, [x], y, "Teleport")
        builder.signature("transcribe", {"waveform": x}, {"logits": y})
        path.write_bytes(builder.build([x], [y]))
        refused(emulator, validate, [f"--model={path}"], 3, name)


def test_a_reference_must_be_the_models_own_and_whole(
    emulator: Emulator, native_model: NativeModel, validate: Validate, tmp_path: Path
) -> None:
    model = native_model.copy(tmp_path)
    reference = tmp_path / "model.reference"
    content = reference.read_bytes()
    for changed, message in (
        (content[:-4], "the reference is damaged"),
        (b"TFCREF99" + content[8:], "no reference file"),
        (content[:8] + bytes(32) + content[40:], "the reference of another model"),
    ):
        reference.write_bytes(changed)
        refused(emulator, validate, [f"--model={model}"], 2, message)


def test_another_output_fails_the_run(
    emulator: Emulator, native_model: NativeModel, validate: Validate, tmp_path: Path
) -> None:
    model = native_model.copy(tmp_path)
    reference = tmp_path / "model.reference"
    content = reference.read_bytes()
    (last,) = struct.unpack("<f", content[-4:])
    reference.write_bytes(content[:-4] + struct.pack("<f", last * 2 + 1e3))
    refused(emulator, validate, [f"--model={model}", *QUICK], 1, "away from the reference (relative RMS)")
    # Another number of frames cannot be compared at all.
    samples, frames, columns = struct.unpack("<III", content[44:56])
    shorter = struct.pack("<III", samples, frames - 1, columns)
    reference.write_bytes(content[:44] + shorter + content[56 : -4 * columns])
    message = f"the output has the shape [{frames}, {columns}], the reference [{frames - 1}, {columns}]"
    refused(emulator, validate, [f"--model={model}", *QUICK], 1, message)


def test_audio_of_another_kind_is_refused(
    emulator: Emulator, native_model: NativeModel, validate: Validate, tmp_path: Path
) -> None:
    path = tmp_path / "x.wav"
    arguments = [f"--model={native_model.path}", *QUICK, f"--audio={path}"]
    noise = native_model.waveforms["noise-30"]
    soundfile.write(path, noise, 16000, subtype="PCM_16")
    refused(emulator, validate, arguments, 2, f"16000 samples a second, the model takes {SAMPLE_RATE}")
    soundfile.write(path, np.stack([noise, noise], axis=1), SAMPLE_RATE, subtype="PCM_16")
    refused(
        emulator, validate, arguments, 2, "expected 16-bit PCM with one channel, got encoding 1, 16 bits, 2 channels"
    )
    soundfile.write(path, noise, SAMPLE_RATE, subtype="FLOAT")
    refused(emulator, validate, arguments, 2, "expected 16-bit PCM with one channel, got encoding 3")
    path.write_bytes(b"RIFF")
    refused(emulator, validate, arguments, 2, "x.wav: no WAV file")
    transcripts = tmp_path / "transcripts.txt"
    transcripts.write_text("somebody else\n")
    soundfile.write(path, noise, SAMPLE_RATE, subtype="PCM_16")
    refused(emulator, validate, [*arguments, f"--transcripts={transcripts}"], 2, "has no line for x")
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(emulator, validate, [f"--model={native_model.path}", f"--audio={empty}"], 2, "no .wav file in this folder")


def test_a_model_without_tokenizer_cannot_be_read(
    emulator: Emulator, native_model: NativeModel, validate: Validate, tmp_path: Path
) -> None:
    path = tmp_path / "mute.tflite"
    for content in (None, {"tokenizer": "!!!"}, {"tokenizer": ""}, {"tokenizer": "CgA"}):
        path.write_bytes(RecognizerBuilder(recognizer_layers(), metadata=content).finish())
        arguments = [f"--model={path}", *QUICK, f"--audio={native_model.speech}"]
        refused(emulator, validate, arguments, 3, "tokenizer")


# ---- The report's file ----


def test_the_report_goes_where_it_should(
    emulator: Emulator, native_model: NativeModel, validate: Validate, tmp_path: Path
) -> None:
    path = tmp_path / "report.json"
    done = emulator.run_program([f"--model={native_model.path}", *QUICK, f"--report={path}"])
    assert done.returncode == 0, done.stderr
    report = validate(path.read_text())
    (line,) = done.stdout.splitlines()
    assert report["model"]["sha256"] in line and '"output_check":"equal"' in line
    assert list(tmp_path.iterdir()) == [path]


def test_no_room_for_the_report_is_an_error(
    emulator: Emulator, native_model: NativeModel, validate: Validate, tmp_path: Path
) -> None:
    path = tmp_path / "report.json"
    path.write_text("an older report")
    arguments = [f"--model={native_model.path}", *QUICK, f"--report={path}"]
    done = emulator.run_program(arguments, before=_limit_file_size)
    report = validate(done.stdout)
    assert (done.returncode, report["exit_code"]) == (1, 1)
    assert f"cannot write {path}" in report["error"] and "File too large" in report["error"]
    assert path.read_text() == "an older report"
    assert list(tmp_path.iterdir()) == [path]
    refused(
        emulator,
        validate,
        [*arguments[:-1], f"--report={tmp_path}/no/folder.json"],
        1,
        f"cannot write {tmp_path}/no/folder.json",
    )


def _limit_file_size() -> None:
    """As a full disk: nothing can be written to a file, and the error comes as a result, not as a signal."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))


def test_help(emulator: Emulator) -> None:
    done = emulator.run_program(["--help"])
    assert done.returncode == 0
    assert "--model=FILE" in done.stdout
