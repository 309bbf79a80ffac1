"""The page of speech holds its recordings, and refers to nothing outside itself."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import soundfile

from tfconformer.features.config import FeatureConfig
from tfconformer.reports.speech_page import Recording, SpeechExample, render_speech_page


def test_the_page_plays_what_was_recorded(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    speech, short = rng.uniform(-0.5, 0.5, 4000).astype(np.float32), np.zeros(10, np.float32)
    examples = [
        SpeechExample("a <1>", "HELLO", (Recording("source", speech, "a note"), Recording("made", short)), np.eye(4)),
        SpeechExample("b", "BYE", (Recording("source", speech),)),
    ]
    render_speech_page(examples, tmp_path / "page.html", "Title", "Lead", FeatureConfig())
    page = (tmp_path / "page.html").read_text()
    assert "a &lt;1&gt;" in page
    assert "a note" in page
    audio = re.findall(r'src="data:audio/wav;base64,([^"]*)"', page)
    assert len(audio) == 3
    found, rate = soundfile.read(io.BytesIO(base64.b64decode(audio[0])), dtype="float32")
    assert rate == 16000
    np.testing.assert_allclose(found, speech, atol=1 / 32768)  # 16 bits
    assert page.count("data:image/png;base64,") == 3 + 1
    assert not re.search(r'(src|href)="(?!data:)', page)
