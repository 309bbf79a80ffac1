"""Comparison of models on this machine: what the rows say, and which comparisons are refused."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest

from converters.evaluation.comparison import ComparedModel, HostBackend, compare
from converters.runtime.model import open_model
from tests.support.packed_layer import RECOGNIZER_FEATURES, recognizer_layers
from tests.support.tflite_builder import RecognizerBuilder
from tests.support.tiny_conformer import tiny_tokenizer
from tfconformer.data.config import TokenizerConfig
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.decoding.ctc import greedy_decode
from tfconformer.errors import InputError
from tfconformer.reports.provenance import machine
from tfconformer.reports.rows import Quantization, ResultRow, Size, Training

SAMPLE_RATE = 1000


def write_model(path: Path, tokenizer: Tokenizer | None, sample_rate: int = SAMPLE_RATE) -> Path:
    features = {"sample_rate": sample_rate, "upper_edge": sample_rate / 2}
    metadata: dict = {"format": 1, "layers": [], "config": {"features": features}}
    if tokenizer is not None:
        metadata["tokenizer"] = base64.b64encode(tokenizer.to_bytes()).decode()
    path.write_bytes(RecognizerBuilder(recognizer_layers(), metadata=metadata).finish())
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("bench") / "a.tflite", tiny_tokenizer())


@pytest.fixture(scope="module")
def speech(model: Path) -> list:
    """Noise, with the hypothesis of the model as the transcript."""
    opened, utterances = open_model(model), []
    for frames in (30, 40):
        waveform = np.random.default_rng(frames).uniform(-1, 1, frames * RECOGNIZER_FEATURES).astype(np.float32)
        hypothesis = tiny_tokenizer().decode(greedy_decode(opened.run(waveform)))
        assert hypothesis.split(), "the fixture says nothing"
        utterances.append((waveform, hypothesis, f"noise-{frames}"))
    return utterances


def measure(models: dict[str, Path], speech: list, rounds: int = 3) -> tuple[ResultRow, ...]:
    compared = {name: ComparedModel(path, Size()) for name, path in models.items()}
    return compare(compared, speech, "noise", HostBackend(), rounds)[0]


def test_rows(model: Path, speech: list) -> None:
    size = Size(file_bytes=model.stat().st_size)
    described = ComparedModel(model, size, 12, Quantization(weight_bits=4), Training(method="ptq"))
    rows, measured_on = compare({"a": ComparedModel(model, size), "b": described}, speech, "noise", HostBackend(), 2)
    assert [row.model for row in rows] == ["a", "b"]
    assert [row.quantization.weight_bits for row in rows] == [None, 4]
    assert [row.training.method for row in rows] == [None, "ptq"]
    assert [row.parameters for row in rows] == [None, 12]
    assert measured_on == machine()
    for row in rows:
        assert row.accuracy.wer == 0.0 and row.accuracy.utterances == 2 and row.size == size
        assert row.accuracy.test_set == "noise"
        assert row.execution.threads == 1 and row.execution.runtime.startswith("ai-edge-litert ")
        # The latencies lie between those of two utterances of 1.2 and 1.6 seconds, and so do the factors.
        speed = row.speed
        assert 0 < speed.latency_ms_p50 / 1.6e3 <= speed.rtf_p50 <= speed.latency_ms_p90 / 1.2e3
        assert row.execution.peak_rss_mb > 1


def test_counts_what_was_misheard(model: Path, speech: list) -> None:
    wrong = [(waveform, f"{text} MORE", name) for waveform, text, name in speech]
    (row,) = measure({"a": model}, wrong, rounds=1)
    assert (row.accuracy.deletions, row.accuracy.substitutions, row.accuracy.insertions) == (2, 0, 0)


def test_warns_of_references_that_the_model_cannot_write(model: Path, speech: list, caplog) -> None:
    lower = [(waveform, text.lower(), name) for waveform, text, name in speech]
    (row,) = measure({"a": model}, lower, rounds=1)
    assert row.accuracy.wer == 1.0
    assert "2 of 2 references have characters that the model cannot write" in caplog.text


@pytest.mark.parametrize("rounds", [0, -1])
def test_refuses_no_round(model: Path, speech: list, rounds: int) -> None:
    with pytest.raises(InputError, match="at least one model, one utterance and one round"):
        measure({"a": model}, speech, rounds=rounds)


def test_refuses_versions_of_different_models(model: Path, speech: list, tmp_path: Path) -> None:
    other = write_model(tmp_path / "other.tflite", Tokenizer.train(["XYZ ABC DEFGHI"], TokenizerConfig()))
    faster = write_model(tmp_path / "faster.tflite", tiny_tokenizer(), sample_rate=2 * SAMPLE_RATE)
    for different in (other, faster):
        with pytest.raises(InputError, match=f"a.tflite and .*{different.name} differ in tokenizer or sample rate"):
            measure({"a": model, "b": different}, speech)


def test_refuses_a_model_without_tokenizer(speech: list, tmp_path: Path) -> None:
    path = write_model(tmp_path / "mute.tflite", None)
    with pytest.raises(InputError, match=r"mute.tflite: its TFCONFORMER metadata lack a tokenizer"):
        measure({"a": path}, speech)


def test_refuses_a_file_that_changes(model: Path, speech: list, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "changing.tflite"
    path.write_bytes(model.read_bytes())

    def another(*_: object) -> str:
        path.write_bytes(path.read_bytes() + b"\0")
        return "text"

    monkeypatch.setattr(Tokenizer, "decode", another)  # called between the rounds
    with pytest.raises(InputError, match="changed during the comparison"):
        measure({"a": path}, speech, rounds=2)
