from __future__ import annotations

import numpy as np
import pytest

from tfconformer.data.speech.synthesis import Voice, missing, require, synthesize
from tfconformer.data.speech.voices import SPEAKERS
from tfconformer.errors import InputError

VOICES = [
    Voice("espeak-ng", "en-us+m3"),
    Voice("flite", "slt"),
    Voice("festival", "kal_diphone"),
    Voice("pico", "en-US"),
]
TEXTS = ["CALL MARY AT TWO O'CLOCK", "NO"]


@pytest.fixture(params=VOICES, ids=str)
def voice(request: pytest.FixtureRequest) -> Voice:
    absent = missing([request.param])
    if absent:
        pytest.skip(f"{', '.join(absent)} not installed")
    return request.param


def test_every_engine_speaks(voice: Voice) -> None:
    long, short = synthesize(voice, TEXTS)
    for samples in (long, short):
        assert samples.dtype == np.float32 and samples.ndim == 1
        assert 0.02 < np.abs(samples).max() <= 1.0
    # Seven syllables against one, both with the engine's own silence around them.
    assert len(long) > 1.5 * len(short)
    assert 0.8 < len(long) / 16000 < 4.0


def test_the_rate_changes_the_length(voice: Voice) -> None:
    slow, fast = (synthesize(voice, TEXTS[:1], rate)[0] for rate in (0.8, 1.25))
    assert len(slow) > 1.2 * len(fast)


def test_speech_is_reproducible(voice: Voice) -> None:
    first, second = (synthesize(voice, TEXTS) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_voice_knows_its_package_and_licence(voice: Voice) -> None:
    name, version = voice.package.split()
    assert name in {"espeak-ng", "flite", "festvox-kallpc16k", "pico"}
    assert version[0].isdigit()
    assert voice.licence


def test_a_missing_engine_is_an_input_error_that_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"speech synthesis lacks espeak-ng, festival, flite; try: apt-get install"):
        require(VOICES[:3])
    with pytest.raises(InputError, match="not installed"):
        synthesize(VOICES[0], TEXTS)


def test_speakers_are_disjoint_and_other_voices_unheard() -> None:
    everyone = [speaker for speakers in SPEAKERS.values() for speaker in speakers]
    assert len({speaker.number for speaker in everyone}) == len(everyone)
    assert len({(s.voice, s.warp) for s in everyone}) == len(everyone), "two speakers sound the same"

    def bases(subset: str) -> set[str]:
        return {f"{s.voice.engine} {s.voice.name.split('+')[0]}" for s in SPEAKERS[subset]}

    for subset in ("dev-other", "test-other"):
        for other in SPEAKERS.keys() - {subset}:
            assert not bases(subset) & bases(other), (subset, other)
    for subset in ("dev-clean", "test-clean"):
        assert bases(subset) <= bases("train-synthetic")
    assert len(SPEAKERS["test-clean"]) >= 30
