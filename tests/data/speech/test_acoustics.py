from __future__ import annotations

import numpy as np
import pytest

from tfconformer.data.speech import acoustics
from tfconformer.data.speech.acoustics import SAMPLE_RATE, Degradation


def tone(frequency: float, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE).astype(np.float32)


def peak_frequency(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax()) * SAMPLE_RATE / len(samples)


@pytest.mark.parametrize("factor", [0.86, 1.0, 1.16])
def test_warping_moves_frequencies_and_length_together(factor: float) -> None:
    warped = acoustics.warp(tone(1000), factor)
    assert warped.dtype == np.float32
    # One bin of the spectrum is 1 Hz; the resampler may round the length by a sample.
    assert peak_frequency(warped) == pytest.approx(1000 * factor, abs=2)
    assert len(warped) == pytest.approx(SAMPLE_RATE / factor, abs=2)


def test_trimming_keeps_a_tenth_of_a_second_of_edge() -> None:
    speech = acoustics.pad(tone(300, 0.5), 1.0, 2.0)
    assert len(acoustics.trim(speech)) == pytest.approx((0.1 + 0.5 + 0.1) * SAMPLE_RATE, abs=200)
    assert acoustics.trim(np.zeros(100, np.float32)).size == 0
    assert acoustics.trim(np.zeros(0, np.float32)).size == 0


def test_scaling_sets_the_peak_and_leaves_silence_alone() -> None:
    assert np.abs(acoustics.scale_to_peak(tone(440) * 0.01, 0.6)).max() == pytest.approx(0.6, rel=1e-6)
    assert not acoustics.scale_to_peak(np.zeros(10, np.float32), 0.6).any()


@pytest.mark.parametrize("snr", [8.0, 20.0])
@pytest.mark.parametrize("tilt", [0.0, 0.9])
def test_noise_has_the_asked_level_and_colour(snr: float, tilt: float) -> None:
    speech = tone(1000, 4.0)
    noise = acoustics.add_noise(speech, snr, tilt, np.random.default_rng(3)).astype(np.float64) - speech
    measured = 10 * np.log10(np.mean(speech.astype(np.float64) ** 2) / np.mean(noise**2))
    assert measured == pytest.approx(snr, abs=0.01)  # scaled to it exactly, up to float32
    spectrum = np.abs(np.fft.rfft(noise)) ** 2
    octave = len(spectrum) // 8
    drop = 10 * np.log10(np.mean(spectrum[octave : 2 * octave]) / np.mean(spectrum[2 * octave : 4 * octave]))
    # 6.02 * tilt dB an octave; each mean is over thousands of bins, so within 0.3 dB.
    assert drop == pytest.approx(6.02 * tilt, abs=0.5)


def test_reverberation_decays_by_sixty_decibels_in_t60() -> None:
    click = np.zeros(SAMPLE_RATE, np.float32)
    click[0] = 1.0
    tail = acoustics.reverberate(click, 0.4, np.random.default_rng(4))[1:]
    window = SAMPLE_RATE // 50
    energy = [np.mean(tail[start : start + window] ** 2) for start in (0, int(0.2 * SAMPLE_RATE))]
    # 0.2 s is half of T60: 30 dB. A window of 320 Gaussian samples is known to about 0.35 dB.
    assert 10 * np.log10(energy[0] / energy[1]) == pytest.approx(30, abs=2)


def test_degradations_are_reproducible_and_say_what_they_are() -> None:
    speech = tone(500)
    outcomes = [Degradation.draw(np.random.default_rng(9)).apply(speech, np.random.default_rng(9)) for _ in range(2)]
    np.testing.assert_array_equal(*outcomes)
    assert np.abs(outcomes[0]).max() == pytest.approx(0.7, rel=1e-5)
    everything = Degradation(reverberation=0.3, narrowband=True, noise_tilt=0.5, snr=10.0)
    assert str(everything) == "T60 0.3 s, 8 kHz channel, noise f^-0.5 at 10 dB"


def test_the_telephone_channel_removes_what_lies_above_four_kilohertz() -> None:
    channel = Degradation(reverberation=0.0, narrowband=True, noise_tilt=0.0, snr=200.0)
    degraded = channel.apply(tone(1000) + tone(6000), np.random.default_rng(0))
    spectrum = np.abs(np.fft.rfft(degraded))
    assert spectrum[6000] < 1e-3 * spectrum[1000]
