"""The layers of the vocoder against their definitions in float64."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfconformer.layers.vocoder import (
    CausalDepthwiseConvolution,
    FilteredFrames,
    OverlapAdd,
    PulseTrain,
    VoicePitch,
    inverse_real_fft,
    scaled_pitch,
)

RATE, HOP = 16000, 160


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("length", [8, 1024])
def test_the_inverse_fourier_transform_is_that_of_numpy(length: int) -> None:
    spectrum = np.fft.rfft(normal(3, length))
    inverse = inverse_real_fft(tf.constant(spectrum.real, tf.float32), tf.constant(spectrum.imag, tf.float32))
    np.testing.assert_allclose(inverse, np.fft.irfft(spectrum), atol=1e-5)


def test_pulses_are_the_sum_of_all_harmonics() -> None:
    pitch = np.array([[0, 100, 101.5, 90, 0, 0, 222.2, 230]], np.float32)
    pulses, phase = PulseTrain(HOP, RATE)(pitch)
    frequency = np.repeat(np.where(pitch > 0, pitch, 50.0), HOP).astype(np.float64) / RATE
    turns = np.cumsum(frequency)
    expected = np.zeros_like(turns)
    for sample, (turn, one) in enumerate(zip(turns, frequency, strict=True)):
        count = int(0.4875 / one)
        expected[sample] = np.cos(2 * np.pi * turn * np.arange(1, count + 1)).sum() * np.sqrt(2 / count)
    voiced = np.repeat(pitch[0] > 0, HOP)
    # Float32 frequencies, and phases in steps of 2^-24 turns, times up to 90 harmonics.
    np.testing.assert_allclose(pulses.numpy().ravel(), expected * voiced, atol=5e-3)
    np.testing.assert_allclose(phase, [[turns[-1] % 1]], atol=1e-5)


def test_the_phase_of_an_hour_has_no_rounding_error() -> None:
    """Phases that are added frame by frame are those of one long sum, which overflows int32 many times."""
    pitch = np.full([1, 3000], 317.3, np.float32)
    layer, phase = PulseTrain(HOP, RATE), tf.zeros([1, 1])
    whole, end = layer(pitch)
    for start in range(0, 3000, 1000):
        pulses, phase = layer([pitch[:, start : start + 1000], phase])
        np.testing.assert_array_equal(pulses, whole[:, start : start + 1000])
    np.testing.assert_array_equal(phase, end)


def test_unfiltered_frames_add_up_to_their_source() -> None:
    """Gains that undo the usual ones pass pulses as they are, and no noise; hops come out four hops late."""
    hops, count = normal(1, 20, HOP), 16
    windows = np.stack([hops[0, t : t + 5].ravel() for t in range(count)])[np.newaxis]
    gains = np.concatenate([np.full([1, count, 513], 3.0), np.full([1, count, 513], -60.0)], axis=-1)
    frames = FilteredFrames(1024, HOP)([tf.constant(gains, tf.float32), windows, normal(1, count, 800, seed=1)])
    waveform, after = OverlapAdd(HOP)(frames)
    assert after.shape == (1, 4, HOP)
    np.testing.assert_allclose(waveform[:, 4:], hops[:, 4:16], atol=1e-5)


def test_overlapping_frames_in_steps_are_those_of_the_whole() -> None:
    frames, layer, after = normal(2, 9, 12), OverlapAdd(4), tf.zeros([2, 2, 4])
    expected, rest = layer(frames)
    for start, stop in ((0, 1), (1, 4), (4, 9)):
        waveform, after = layer([frames[:, start:stop], after])
        np.testing.assert_allclose(waveform, expected[:, start:stop], atol=1e-6)
    np.testing.assert_allclose(after, rest, atol=1e-6)


def test_a_causal_filter_reads_past_frames_alone() -> None:
    x, before = normal(2, 7, 3), normal(2, 4, 3, seed=1)
    layer = CausalDepthwiseConvolution(5)
    layer.build(tf.TensorShape([2, 7, 3]))
    kernel = layer.kernel.numpy()[0, :, :, 0]
    for output, past in ((layer(x), np.zeros_like(before)), (layer([x, before]), before)):
        padded = np.concatenate([past, x], axis=1)
        expected = sum(padded[:, i : i + 7] * kernel[i] for i in range(5))
        np.testing.assert_allclose(output, expected, atol=1e-6)


def test_predicted_pitch_is_the_scaled_one_where_there_is_a_voice() -> None:
    pitch = np.array([80.0, 120.0, 300.0], np.float32)
    predictions = np.stack([scaled_pitch(pitch), [1.0, 0.5, -0.5]], axis=-1)
    np.testing.assert_allclose(VoicePitch()(predictions), [80, 120, 0], rtol=1e-5)
    np.testing.assert_allclose(VoicePitch()(np.array([[-9.0, 1.0], [9.0, 1.0]], np.float32)), [50, 400], rtol=1e-5)
