"""The phone's program converts speech as the desktop does, on emulated processors."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from android_bench.emulator.qemu import Emulator
from android_bench.reference import SPEECH_TOLERANCE, write_reference
from converters.streaming.online_converter import OnlineConverter
from tests.android_bench.conftest import QUICK, NativeModel, Validate, write_speech
from tests.conftest import Conversion
from tests.support.edited_file import constant_bias, with_bias, with_metadata
from tfconformer.errors import InputError

pytestmark = pytest.mark.usefixtures("native_library")
STREAMING = ("--mode=streaming", *QUICK)
RATE = 16000


def of_the_desktop(model: Path, recording: Path, lag: float | None = None) -> tuple[np.ndarray, str]:
    """The speech and the text that `OnlineConverter` makes of a recording."""
    converter = OnlineConverter(model, lag=lag)
    converter.accept_waveform(RATE, soundfile.read(recording, dtype="float32")[0])
    converter.input_finished()
    converter.convert()
    return converter.read_audio(), converter.text


def assert_same_speech(actual: np.ndarray, expected: np.ndarray) -> None:
    """Compares speech; `reference.SPEECH_TOLERANCE` has the reason for it, and 16 bits add a thousandth of it."""
    assert len(actual) == len(expected)
    difference = actual - np.clip(expected, -1, 1 - 2**-15)
    assert np.sqrt(np.sum(difference**2)) <= SPEECH_TOLERANCE * np.sqrt(np.sum(expected**2))


def test_speech_is_that_of_the_desktop(
    emulator: Emulator, endless: Path, waveforms: list[np.ndarray], validate: Validate, tmp_path: Path
) -> None:
    """One word, six seconds, through which the window of attention moves, and less than a step of the encoder."""
    write_reference(endless, waveforms[0])
    recordings = write_speech(
        tmp_path / "in", word=waveforms[0], long=np.tile(waveforms[2], 3), short=waveforms[0][:100]
    )
    (tmp_path / "out").mkdir()
    arguments = [f"--model={endless}", *STREAMING, f"--audio={recordings}", f"--speech={tmp_path}/out"]
    done = emulator.run_program(arguments)
    assert done.returncode == 0, done.stderr
    report = validate(done.stdout)
    made = {one["name"]: one for one in report["conversion"]}
    assert list(made) == ["reference", "long", "short", "word"]
    texts = {one["name"]: one["hypothesis"] for one in report["recognition"]["transcripts"]}
    for name in ("word", "long", "short"):
        expected, text = of_the_desktop(endless, recordings / f"{name}.wav")
        assert texts[name].split() == text.split()
        actual, rate = soundfile.read(made[name]["file"], dtype="float32")
        assert rate == RATE
        assert made[name]["speech_seconds"] == pytest.approx(len(expected) / RATE)
        assert made[name]["stopped"] == (name == "short")  # where nothing is said, there is nothing to end
        assert_same_speech(actual, expected)
    assert made["short"]["first_sound_seconds"] == 0 < made["long"]["first_sound_seconds"]
    check = report["output_check"]
    assert check["status"] == "within_tolerance" and check["repeatable"]
    assert (check["frames"], check["columns"]) == (made["reference"]["speech_seconds"] * 100, 160)


def test_the_report_has_times_of_all_components(
    emulator: Emulator, endless: Path, waveforms: list[np.ndarray], validate: Validate, tmp_path: Path
) -> None:
    recording = tmp_path / "word.wav"
    soundfile.write(recording, waveforms[0], RATE, subtype="PCM_16")
    reference = write_reference(endless, waveforms[0])
    report = validate(emulator.run_program([f"--model={endless}", *STREAMING, "--runs=2"]).stdout)
    encoder, decoder, vocoder = report["timing"]["components"]
    assert [one["name"] for one in (encoder, decoder, vocoder)] == ["encoder", "decoder", "vocoder"]
    model = OnlineConverter(endless).model
    frames = len(model.run(waveforms[0]))
    size, rest = model.description.step_samples, -len(waveforms[0]) % model.description.step_samples
    steps = (len(waveforms[0]) + rest + model.description.flush_samples) // size
    # Two spectrogram frames a step, of which the vocoder takes four at a time; the end adds its delay of five.
    expected = {"encoder": steps, "decoder": 2 * frames, "vocoder": -(-(4 * frames + 5) // 4)}
    for one in (encoder, decoder, vocoder):
        assert one["utterance"]["count"] == 2
        assert one["step"]["count"] == 2 * expected[one["name"]]
        assert 0 < one["step"]["p50_us"] <= one["step"]["p90_us"] <= one["step"]["max_us"]
        assert one["rtf_p50"] == pytest.approx(one["utterance"]["p50_us"] / 1e6 / report["timing"]["audio_seconds"])
    whole = sum(one["utterance"]["mean_us"] for one in (encoder, decoder, vocoder))
    assert report["timing"]["utterance"]["mean_us"] == pytest.approx(whole)
    assert report["timing"]["first_sound"]["mean_us"] > 0
    assert report["engine"]["xnnpack"]
    kinds = {row["kind"] for row in report["profile"]["operations"]}
    assert {"RFFT2D", "TfconformerDelegate", "Fully Connected (NC, F32) GEMM"} <= kinds  # the last one is XNNPACK's
    reference.unlink()


def test_speech_behind_the_speaker_is_that_of_the_desktop(
    emulator: Emulator,
    conversion: Conversion,
    waveforms: list[np.ndarray],
    validate: Validate,
    tmp_path: Path,
) -> None:
    """Steps read what is due, the window moves, and the decoder stops by itself."""
    write_reference(conversion.path, waveforms[0])
    recordings = write_speech(tmp_path / "in", word=waveforms[0], long=np.tile(waveforms[2], 3))
    arguments = [
        f"--model={conversion.path}",
        *STREAMING,
        "--lag-ms=250",
        f"--audio={recordings}",
        f"--speech={tmp_path}",
    ]
    report = validate(emulator.run_program(arguments).stdout)
    assert report["settings"]["lag_ms"] == 250
    made = {one["name"]: one for one in report["conversion"]}
    for name in ("word", "long"):
        expected, _ = of_the_desktop(conversion.path, recordings / f"{name}.wav", 0.25)
        assert_same_speech(soundfile.read(made[name]["file"], dtype="float32")[0], expected)
        assert made[name]["stopped"]
    # An emulator is slow, but six seconds of audio last longer than its first steps.
    assert made["long"]["speech_seconds"] > 4 and made["long"]["first_sound_seconds"] < 0
    assert report["output_check"]["status"] == "not_checked"  # the reference was made after the end
    conversion.path.with_suffix(".reference").unlink()


def test_the_decoder_reads_from_shortly_before_the_first_label(
    emulator: Emulator, conversion: Conversion, waveforms: list[np.ndarray], validate: Validate, tmp_path: Path
) -> None:
    late, recordings = tmp_path / "late.tflite", write_speech(tmp_path / "in", late=np.concatenate(waveforms[1:]))
    model = OnlineConverter(conversion.path).model
    logits = model.run(soundfile.read(recordings / "late.wav", dtype="float32")[0])[:, 16:]
    margins = np.max(logits[:, 1:], axis=1) - logits[:, 0]
    # The bias of the blank becomes such that there is no label before frame 20, but one later.
    early, later = np.max(margins[:20]), np.max(margins[20:])
    assert later > early + 0.1
    raised = (early + later) / 2
    bias = constant_bias(conversion.path, "ctc_head")[0]
    late.write_bytes(with_bias(conversion.path, "ctc_head", 0, bias + raised))
    arguments = [f"--model={late}", *STREAMING, "--lag-ms=500", f"--audio={recordings}", f"--speech={tmp_path}"]
    report = validate(emulator.run_program(arguments).stdout)
    expected, text = of_the_desktop(late, recordings / "late.wav", 0.5)
    assert report["recognition"]["transcripts"][0]["hypothesis"].split() == text.split() != []
    assert_same_speech(soundfile.read(tmp_path / "late.wav", dtype="float32")[0], expected)


def test_where_nothing_is_said_nothing_is_spoken(
    emulator: Emulator, conversion: Conversion, waveforms: list[np.ndarray], validate: Validate, tmp_path: Path
) -> None:
    silent = tmp_path / "silent.tflite"
    silent.write_bytes(with_bias(conversion.path, "ctc_head", 0, 1000.0))
    with pytest.raises(InputError, match="nothing is said in the utterance"):
        write_reference(silent, waveforms[0])
    recordings = write_speech(tmp_path / "in", quiet=waveforms[0], empty=waveforms[0][:0])
    arguments = [f"--model={silent}", *STREAMING, f"--audio={recordings}", f"--speech={tmp_path}"]
    report = validate(emulator.run_program(arguments).stdout)
    assert [(one["speech_seconds"], one["stopped"]) for one in report["conversion"]] == [(0, True)] * 2
    assert not len(soundfile.read(tmp_path / "quiet.wav")[0])


def test_a_decoder_that_stops_ends_the_speech(
    emulator: Emulator, conversion: Conversion, waveforms: list[np.ndarray], validate: Validate, tmp_path: Path
) -> None:
    stopping = tmp_path / "stopping.tflite"
    stopping.write_bytes(with_bias(conversion.path, "stop_head", 0, 100.0))
    recordings = write_speech(tmp_path / "in", word=waveforms[0])
    report = validate(emulator.run_program([f"--model={stopping}", *STREAMING, f"--audio={recordings}"]).stdout)
    (word,) = report["conversion"]
    assert (word["speech_seconds"], word["stopped"]) == (pytest.approx(2 * 160 / RATE), True)  # one step
    assert "file" not in word


# ---- Bad input ----


def without_last_state(description: dict[str, Any]) -> dict[str, Any]:
    *others, last = description["graphs"]
    return description | {"graphs": [*others, last | {"states": last["states"][:-1]}]}


def cut(description: dict[str, Any]) -> bytes:
    """The metadata up to the list of graphs."""
    text = json.dumps({key: description[key] for key in ("format", "task", "graphs")}).encode()
    return text[: text.index(b'"graphs"') + 20]


def without_encoder(description: dict[str, Any]) -> dict[str, Any]:
    return description | {"graphs": description["graphs"][1:]}


def without_graph(description: dict[str, Any]) -> dict[str, Any]:
    return description | {"graphs": description["graphs"][:1]}


def of_task(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda description: description | {"task": description["task"] | {"name": name}}


@pytest.mark.parametrize(
    ("change", "mode", "message"),
    [
        (of_task("conversion"), "offline", "a model of conversion runs step by step: --mode=streaming"),
        (of_task("speech_to_speech"), "streaming", "its task 'speech_to_speech' is none that this program runs"),
        (without_graph, "streaming", "the model has no graph 'decode_step'"),
        (without_encoder, "streaming", "takes audio in steps, not so 'decode_step'"),
        (without_last_state, "streaming", "of 'vocode_step' is no state in the metadata"),
        (cut, "streaming", "its metadata list no whole graph"),
        (lambda _: b"", "streaming", "the logits should be FLOAT32 [1, frames, columns]"),
    ],
)
def test_another_file_is_one_sentence(
    emulator: Emulator,
    conversion: Conversion,
    validate: Validate,
    tmp_path: Path,
    change: Callable[[dict[str, Any]], Any],
    mode: str,
    message: str,
) -> None:
    path = tmp_path / "other.tflite"
    path.write_bytes(with_metadata(conversion.path, change))
    done = emulator.run_program([f"--model={path}", f"--mode={mode}", *QUICK])
    report = validate(done.stdout)
    assert done.returncode == 3
    assert message in report["error"]
    assert report["error"] in done.stderr


def test_values_that_are_not_finite_are_one_sentence(
    emulator: Emulator, conversion: Conversion, validate: Validate, tmp_path: Path
) -> None:
    path = tmp_path / "broken.tflite"
    path.write_bytes(with_bias(conversion.path, "ctc_head", 0, np.nan))
    done = emulator.run_program([f"--model={path}", *STREAMING])
    assert done.returncode == 1
    assert validate(done.stdout)["error"] == "the encoder computes values that are not finite"


def test_a_lag_is_for_conversion(
    emulator: Emulator, native_model: NativeModel, endless: Path, validate: Validate
) -> None:
    done = emulator.run_program([f"--model={native_model.path}", *QUICK, "--lag-ms=500"])
    assert done.returncode == 2
    assert validate(done.stdout)["error"] == "--lag-ms is for models that convert speech"
    done = emulator.run_program([f"--model={endless}", *STREAMING, "--lag-ms=0"])
    assert "--lag-ms=0: expected a whole number from 1 to" in validate(done.stdout)["error"]


def test_a_folder_that_is_missing_is_one_sentence(
    emulator: Emulator, endless: Path, validate: Validate, tmp_path: Path
) -> None:
    done = emulator.run_program([f"--model={endless}", *STREAMING, f"--speech={tmp_path}/none"])
    assert done.returncode == 1
    assert re.search(r"cannot write .*/none/\w+\.wav: No such file or directory", validate(done.stdout)["error"])


def test_speech_of_rounded_activations_has_no_reference(
    conversion: Conversion, waveforms: list[np.ndarray], tmp_path: Path
) -> None:
    def rounded(description: dict[str, Any]) -> dict[str, Any]:
        layers = [
            layer | {"spec": layer["spec"] | {"activation_bits": 8}}
            for layer in description["layers"]
            if layer.get("spec")
        ]
        return description | {"layers": layers}

    path = tmp_path / "rounded.tflite"
    path.write_bytes(with_metadata(conversion.path, rounded))
    with pytest.raises(InputError, match="rounded activations shift the phase of speech"):
        write_reference(path, waveforms[0])
