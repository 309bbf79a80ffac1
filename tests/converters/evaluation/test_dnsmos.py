"""The rater of generated speech: the windows that its network hears, and what becomes of its outputs."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from converters.evaluation import dnsmos
from converters.evaluation.dnsmos import Dnsmos
from converters.evaluation.pinned_archive import PinnedArchive
from tfconformer.errors import UnavailableError


@pytest.fixture
def windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The windows that a network hears whose outputs are the first sample of each."""
    heard: list[np.ndarray] = []

    def run(outputs: None, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        (window,) = inputs["input_1"]
        heard.append(window)
        return [np.array([[0.0, 0.0, window[0]]], np.float32)]

    fake = SimpleNamespace(SessionOptions=SimpleNamespace, InferenceSession=lambda *_: SimpleNamespace(run=run))
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    archive = tmp_path / "archive.whl"
    with zipfile.ZipFile(archive, "w") as wheel:
        wheel.writestr(dnsmos._NETWORK, b"")
    monkeypatch.setattr(PinnedArchive, "fetch", lambda *_: archive)
    return heard


def test_short_speech_is_heard_again_and_again(windows: list[np.ndarray]) -> None:
    speech = np.arange(80000, dtype=np.float32)
    Dnsmos()(speech)
    (window,) = windows
    np.testing.assert_array_equal(window, np.tile(speech, 2)[:144160])


def test_long_speech_is_heard_from_every_second_on(windows: list[np.ndarray]) -> None:
    speech = np.repeat(np.arange(12, dtype=np.float32), 16000)
    rating = Dnsmos()(speech)
    assert [len(window) for window in windows] == [144160] * 3
    # The polynomial of the package, at the outputs 0, 1 and 2.
    assert rating == pytest.approx((0.04602535 + 1.09382717 + 2.00630335) / 3, abs=1e-6)


def test_no_samples_are_silence(windows: list[np.ndarray]) -> None:
    assert Dnsmos()(np.zeros(0, np.float32)) == pytest.approx(0.04602535)
    assert len(windows[0]) == 144160


def test_it_needs_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UnavailableError, match="tfconformer\\[moonshine\\]"):
        Dnsmos()
