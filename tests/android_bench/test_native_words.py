"""Words with times and confidence: those of the phone's program are those of Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from android_bench.emulator.qemu import Emulator
from android_bench.reference import write_reference
from converters.runtime.model import open_model
from converters.runtime.search import new_search
from converters.runtime.transcribe import transcribe
from converters.runtime.words import recognized_words
from tests.android_bench.conftest import QUICK, SAMPLE_RATE, NativeModel, Validate, write_speech
from tests.support.model_metadata import recognizer_metadata
from tests.support.packed_layer import recognizer_layers
from tests.support.tflite_builder import RecognizerBuilder
from tests.support.tiny_conformer import tiny_config
from tfconformer.features.config import FeatureConfig
from tfconformer.models.config import ModelConfig

pytestmark = pytest.mark.usefixtures("native_library")


@pytest.mark.parametrize("name", ["weights_only", "late_packed_stream", "whole_transducer", "transducer_stream"])
def test_words_are_those_of_python(
    emulator: Emulator,
    request: pytest.FixtureRequest,
    waveforms: list[np.ndarray],
    validate: Validate,
    tmp_path: Path,
    name: str,
) -> None:
    model, speech = request.getfixturevalue(name).path, write_speech(tmp_path / "in", a=waveforms[1], b=waveforms[2])
    mode = "streaming" if name.endswith("stream") else "offline"
    report = validate(emulator.run_program([f"--model={model}", f"--mode={mode}", *QUICK, f"--audio={speech}"]).stdout)
    for transcript in report["recognition"]["transcripts"]:
        expected = transcribe(model, speech / f"{transcript['name']}.wav")
        assert transcript["hypothesis"] == " ".join(expected.text.split())
        words = transcript["words"]
        assert [word["text"] for word in words] == [word.text for word in expected.words] != []
        # Nine digits of the same frames.
        assert [word["start"] for word in words] == pytest.approx([word.start for word in expected.words], abs=1e-8)
        assert [word["end"] for word in words] == pytest.approx([word.end for word in expected.words], abs=1e-8)
        # Two runtimes sum floats in another order: logits of order ten differ in their sixth digit or so.
        confidences = [word.confidence for word in expected.words]
        assert [word["confidence"] for word in words] == pytest.approx(confidences, abs=1e-4)
    if "transducer" in name:
        encoder, prediction, joint = report["timing"]["components"]
        assert [one["name"] for one in (encoder, prediction, joint)] == ["encoder", "prediction", "joint"]
        # The prediction network reads the blank and every label, the joint network emits each of these and each frame.
        assert joint["step"]["count"] >= prediction["step"]["count"] > 1
        assert "first_sound" not in report["timing"]


def test_the_encodings_of_a_transducer_are_compared(
    emulator: Emulator, whole_transducer, waveforms: list[np.ndarray], validate: Validate
) -> None:
    write_reference(whole_transducer.path, waveforms[0])
    check = validate(emulator.run_program([f"--model={whole_transducer.path}", *QUICK]).stdout)["output_check"]
    assert check["status"] == "within_tolerance" and check["columns"] == 20
    assert "different_frames" not in check  # no symbol is the largest number of an encoding
    whole_transducer.path.with_suffix(".reference").unlink()


# Features, settings of the encoder, and the samples of a frame that follow from them.
FRAMES: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "stackers": ({"frame_step": 50, "upper_edge": 3000.0}, {"stackers": [{"after": 1, "stride": 3}]}, 4 * 3 * 50),
    "waveform": ({"kind": "waveform"}, {"subsampling_channels": None, "waveform": {}}, 5 * 2**6),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_confidences_of_equal_logits_are_equal(
    emulator: Emulator, native_model: NativeModel, validate: Validate, tmp_path: Path, kind: str
) -> None:
    """The model computes the same bits everywhere. Length of its frames and delay of its labels are in the metadata."""
    of_features, context, samples = FRAMES[kind]
    model = ModelConfig.model_validate(tiny_config().model.model_dump() | context).model_dump(mode="json")
    features = FeatureConfig(sample_rate=SAMPLE_RATE, **of_features).model_dump(mode="json")
    description = recognizer_metadata(native_model.tokenizer, config={"features": features, "model": model})
    description["task"]["label_delay_ms"] = 130
    path = tmp_path / "model.tflite"
    path.write_bytes(RecognizerBuilder(recognizer_layers(), metadata=description).finish())
    report = validate(emulator.run_program([f"--model={path}", *QUICK, f"--audio={native_model.speech}"]).stdout)
    opened = open_model(path)
    assert opened.metadata.frame_seconds == samples / SAMPLE_RATE
    for transcript in report["recognition"]["transcripts"]:
        search = new_search(opened)
        search.push(opened.run(native_model.waveforms[transcript["name"]]))
        expected = recognized_words(search, opened.metadata)
        assert [word["text"] for word in transcript["words"]] == [word.text for word in expected]
        numbers = [[word[key] for key in ("start", "end", "confidence")] for word in transcript["words"]]
        # The report has nine digits.
        np.testing.assert_allclose(numbers, [[word.start, word.end, word.confidence] for word in expected], rtol=1e-8)


def test_words_of_frames_of_unknown_length_have_no_times(
    emulator: Emulator, native_model: NativeModel, validate: Validate
) -> None:
    arguments = [f"--model={native_model.path}", *QUICK, f"--audio={native_model.speech}"]
    for transcript in validate(emulator.run_program(arguments).stdout)["recognition"]["transcripts"]:
        assert transcript["hypothesis"] and "words" not in transcript
