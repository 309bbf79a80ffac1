"""Errors of pitch between waveforms of a known fundamental frequency."""

from __future__ import annotations

import numpy as np
import pytest

from converters.evaluation.pitch_error import pitch_error
from tfconformer.features.config import FeatureConfig

FEATURES = FeatureConfig(frame_length=800, frame_step=160, fft_length=1024)


def voice(frequency: float, seconds: float = 1.0) -> np.ndarray:
    time = np.arange(int(16000 * seconds)) / 16000
    return sum(np.sin(2 * np.pi * frequency * harmonic * time) / harmonic for harmonic in (1, 2, 3)).astype(np.float32)


def test_a_semitone_is_a_hundred_cents() -> None:
    error = pitch_error([(voice(100 * 2 ** (1 / 12)), voice(100.0))], FEATURES)
    assert error.cents == pytest.approx(100, abs=1)  # as exact as the pitch of a clear voice, and rounding
    assert error.voicing == 0


def test_frames_count_together_and_a_longer_end_does_not() -> None:
    same, octave = (voice(120.0), voice(120.0, seconds=2)), (voice(240.0, seconds=2), voice(120.0))
    error = pitch_error([same, octave], FEATURES)
    assert error.cents == pytest.approx((1200**2 / 2) ** 0.5, rel=0.01)


def test_a_missing_voice_is_an_error_of_voicing() -> None:
    silent = voice(150.0)
    silent[8000:] = 0
    error = pitch_error([(silent, voice(150.0))], FEATURES)
    assert error.voicing == pytest.approx(0.5, abs=0.06)  # three frames of 96 may hold some of both
    assert pitch_error([(np.zeros_like(silent), silent)], FEATURES).cents is None
