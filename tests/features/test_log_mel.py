"""The front end against a float64 NumPy implementation that follows the definition sample by sample."""

import numpy as np
import pytest
import tensorflow as tf

from tfconformer.features.config import FeatureConfig
from tfconformer.features.log_mel import frame, frame_count, log_mel
from tfconformer.features.scale import ENERGY_FLOOR

CONFIG = FeatureConfig()


def hertz_to_mel(hertz):
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)


def reference(waveform: np.ndarray, config: FeatureConfig) -> np.ndarray:
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(config.frame_length) / config.frame_length)
    edges = np.linspace(hertz_to_mel(config.lower_edge), hertz_to_mel(config.upper_edge), config.mel_bins + 2)
    bins = hertz_to_mel(np.arange(1, config.fft_length // 2 + 1) * config.sample_rate / config.fft_length)
    rising = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0.0, np.minimum(rising, falling))
    rows = []
    for index in range(frame_count(len(waveform), config)):
        start = index * config.frame_step
        spectrum = np.fft.rfft(waveform[start : start + config.frame_length] * window, config.fft_length)
        rows.append(np.log(np.abs(spectrum[1:]) ** 2 @ filters + ENERGY_FLOOR))
    return np.array(rows).reshape(-1, config.mel_bins)


@pytest.mark.parametrize("samples", [400, 559, 560, 16000, 12345])
def test_equals_the_definition(samples):
    waveform = np.random.default_rng(samples).uniform(-1, 1, samples)
    actual = log_mel(tf.constant(waveform, tf.float32), CONFIG).numpy()
    expected = reference(waveform, CONFIG)
    assert actual.shape == expected.shape == (1 + (samples - 400) // 160, 80)
    # Float32 FFT and filters against float64: relative error of an energy about 1e-5, and the log makes it absolute.
    np.testing.assert_allclose(actual, expected, atol=1e-4)


def test_a_padded_batch_of_centered_frames_equals_its_rows():
    """With pre-emphasis, which would leave a sample after the end of an utterance."""
    config = FeatureConfig(preemphasis=0.97, centered=True, mel_scale="slaney", lower_edge=0, upper_edge=8000)
    lengths = [5000, 3217, 400]
    waveforms = tf.random.stateless_uniform([3, 5000], seed=[1, 2], minval=-1) * tf.sequence_mask(
        lengths, 5000, tf.float32
    )
    batch = log_mel(waveforms, config, lengths=tf.constant(lengths)).numpy()
    for row, waveform, length in zip(batch, waveforms, lengths, strict=True):
        alone = log_mel(waveform[:length], config).numpy()
        assert len(alone) == frame_count(length, config) == length // 160
        np.testing.assert_allclose(row[: len(alone)], alone, atol=1e-5)  # FFT batching, float32


@pytest.mark.parametrize("samples", [0, 1, 399])
def test_shorter_than_a_frame_gives_no_frame(samples):
    assert log_mel(tf.zeros([2, samples]), CONFIG).shape == (2, 0, 80)


def test_silence_is_the_floor():
    np.testing.assert_allclose(log_mel(tf.zeros([1600]), CONFIG).numpy(), np.log(ENERGY_FLOOR), rtol=1e-6)


def test_a_batch_equals_its_rows():
    waveforms = tf.random.stateless_uniform([3, 5000], seed=[1, 2], minval=-1)
    batch = log_mel(waveforms, CONFIG).numpy()
    for row, waveform in zip(batch, waveforms, strict=True):
        np.testing.assert_allclose(row, log_mel(waveform, CONFIG).numpy(), atol=1e-5)  # FFT batching, float32


@pytest.mark.parametrize("seed", range(20))
def test_frames_are_slices_of_the_waveform(seed):
    rng = np.random.default_rng(seed)
    length, step, samples = (int(rng.integers(low, 60)) for low in (1, 1, 0))
    waveform = rng.standard_normal([2, samples]).astype(np.float32)
    starts = range(0, samples - length + 1, step)
    expected = np.zeros([2, len(starts), length], np.float32)
    for index, start in enumerate(starts):
        expected[:, index] = waveform[:, start : start + length]
    for one in (waveform, tf.constant(waveform)):
        np.testing.assert_array_equal(frame(one, length, step), expected)
