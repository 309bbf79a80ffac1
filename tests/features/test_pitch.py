"""The pitch of synthetic voices, whose frequency is given."""

from __future__ import annotations

import numpy as np
import pytest

from tfconformer.features.config import FeatureConfig
from tfconformer.features.pitch import track_pitch

CONFIG = FeatureConfig(frame_length=800, fft_length=1024)
RATE = 16000


def voice(frequency: np.ndarray) -> np.ndarray:
    """Harmonics up to 4 kHz of a frequency [samples] in Hz."""
    phase = 2 * np.pi * np.cumsum(frequency) / RATE
    return 0.05 * sum(np.sin(k * phase) / k for k in range(1, int(4000 / frequency.max())))


@pytest.mark.parametrize("frequency", [60, 101.3, 148, 222, 310])
def test_pitch_of_a_voice_in_noise(frequency: float) -> None:
    random = np.random.default_rng(int(frequency))
    tone = voice(np.full(8000, frequency)) + 0.005 * random.standard_normal(8000)
    pitch = track_pitch(np.stack([tone, 0.05 * random.standard_normal(8000)]).astype(np.float32), CONFIG)
    assert pitch.shape == (2, 46)
    np.testing.assert_allclose(pitch[0], frequency, rtol=0.01)
    assert np.mean(pitch[1] > 0) < 0.1  # noise has no pitch, but for a chance


def test_pitch_of_a_clear_voice_is_exact() -> None:
    frequencies = np.geomspace(60, 310, 40)
    pitch = track_pitch(np.stack([voice(np.full(3200, one)) for one in frequencies]).astype(np.float32), CONFIG)
    # A sample is 6 to 34 cents of these periods; the vertex of a parabola through three is exact to a fiftieth of one.
    cents = 1200 * np.log2(pitch / frequencies[:, np.newaxis])
    assert np.abs(cents).max() < 1


def test_pitch_follows_a_glide_and_ends_with_the_voice() -> None:
    frequency = np.geomspace(90, 180, 16000)
    wave = np.concatenate([voice(frequency), np.zeros(8000)]).astype(np.float32)
    pitch = track_pitch(wave[np.newaxis], CONFIG)[0]
    middles = np.arange(len(pitch)) * CONFIG.frame_step + (800 + RATE / 180) / 2
    inside = middles < 15000
    np.testing.assert_allclose(pitch[inside], frequency[middles[inside].astype(int)], rtol=0.03)
    assert not pitch[middles > 16500].any()


def test_speech_shorter_than_a_frame_has_no_pitch() -> None:
    assert track_pitch(np.zeros([2, 100], np.float32), CONFIG).shape == (2, 0)
