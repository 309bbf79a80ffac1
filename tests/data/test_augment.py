from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from tfconformer.data import augment
from tfconformer.data.config import NoiseConfig, SpecAugmentConfig
from tfconformer.data.sounds import Recordings

RATE = 16000
SEED = tf.constant([7, 11], tf.int32)


def speech(lengths: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A zero-padded batch of noise of different levels, and its lengths."""
    rng = np.random.default_rng(seed)
    batch = np.zeros([len(lengths), max(lengths)], np.float32)
    for row, length in zip(batch, lengths, strict=True):
        row[:length] = rng.standard_normal(length) * rng.uniform(0.01, 0.3)
    return batch, np.array(lengths, np.int32)


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        ((10, 20), {0: 0, 10: 0, 11: 0.1, 15: 0.5, 20: 1, 10**9: 1}),
        ((0, 0), {0: 1, 1: 1}),
        ((5, 5), {4: 0, 5: 1}),
    ],
)
def test_ramp(batches: tuple[int, int], expected: dict[int, float]) -> None:
    for batch, probability in expected.items():
        assert augment.ramp(tf.constant(batch, tf.int64), batches) == np.float32(probability)


@pytest.mark.parametrize("speed", [0.9, 0.95, 1.1, 1.25, 0.5])
@pytest.mark.parametrize("frequency", [100, 1000, 5000])
def test_speed_shortens_and_raises_the_pitch(speed: float, frequency: float) -> None:
    tone = np.sin(2 * np.pi * frequency * np.arange(RATE) / RATE).astype(np.float32)
    played = augment.speed_perturb(tf.constant(tone), speed).numpy()
    assert len(played) == math.floor(RATE / speed + 1e-9)
    expected = np.sin(2 * np.pi * frequency * speed * np.arange(len(played)) / RATE)
    inside = slice(200, -200)  # the filter reaches beyond the signal at its ends
    # The window's ripple: 80 dB below a full-scale sine.
    np.testing.assert_allclose(played[inside], expected[inside], rtol=0, atol=1e-4)


@pytest.mark.parametrize(("speed", "frequency"), [(1.1, 7800), (1.25, 7000), (2.0, 5000)])
def test_speed_does_not_fold_frequencies_beyond_nyquist(speed: float, frequency: float) -> None:
    tone = np.sin(2 * np.pi * frequency * np.arange(RATE) / RATE).astype(np.float32)
    played = augment.speed_perturb(tf.constant(tone), speed).numpy()[200:-200]
    assert 20 * np.log10(np.sqrt(np.mean(played**2))) < -60


def test_speed_one_changes_nothing() -> None:
    wave, _ = speech([1000])
    np.testing.assert_array_equal(augment.speed_perturb(tf.constant(wave[0]), 1.0), wave[0])


@pytest.mark.parametrize("samples", [1, 7, 41, 160])
def test_speed_of_very_short_waveforms(samples: int) -> None:
    assert len(augment.speed_perturb(tf.ones([samples]), 0.9)) == samples * 10 // 9


def test_noise_has_the_ratio_asked_for() -> None:
    clean, lengths = speech([16000, 9000, 4000])
    noise = np.random.default_rng(1).standard_normal(clean.shape).astype(np.float32) * 3
    snr_db = np.array([0.0, 12.5, np.inf], np.float32)
    noisy = augment.mix_noise(tf.constant(clean), tf.constant(lengths), tf.constant(noise), tf.constant(snr_db)).numpy()
    for row, length in enumerate(lengths):
        added = noisy[row] - clean[row]
        np.testing.assert_array_equal(noisy[row, length:], 0)
        with np.errstate(divide="ignore"):
            achieved = 10 * np.log10(np.mean(clean[row, :length] ** 2) / np.mean(added[:length] ** 2))
        # Float32 sums over 16000 squares.
        assert achieved == pytest.approx(snr_db[row], abs=0.01)
    np.testing.assert_array_equal(noisy[2], clean[2])


def test_noise_of_silence_and_from_silence() -> None:
    clean, lengths = speech([800, 800])
    clean[0] = 0
    noise = clean[::-1].copy()
    noisy = augment.mix_noise(tf.constant(clean), tf.constant(lengths), tf.constant(noise), tf.zeros([2]))
    np.testing.assert_array_equal(noisy, clean)


def test_tilted_noise_has_its_spectrum() -> None:
    tilts = np.array([0.0, 1.0, 2.0], np.float32)
    noise = augment.tilted_noise(tf.constant(40 * 8192), tf.constant(tilts), SEED).numpy()
    power = np.mean(np.abs(np.fft.rfft(noise.reshape(3, 40, 8192), axis=-1)) ** 2, axis=1)
    bins = np.arange(100, 4000)  # above the flat part
    slopes = np.polyfit(np.log(bins), np.log(power[:, bins].T), 1)[0]
    # 3900 bins, each the mean of 40 exponential draws: a standard error of 0.003; 0.03 is ten of them.
    np.testing.assert_allclose(slopes, -tilts, atol=0.03)
    # Gaussian: a kurtosis of 3, with a standard error of sqrt(24 / 327680) = 0.009 for white noise.
    white = noise[0] / noise[0].std()
    assert np.mean(white**4) == pytest.approx(3, abs=0.05)


def test_babble_is_another_utterance_repeated() -> None:
    batch, lengths = speech([700, 1000, 300, 450])
    rows = np.array([3, 0, 2], np.int32)
    noise = augment.babble(tf.constant(batch), tf.constant(lengths), tf.constant(rows), SEED).numpy()
    assert noise.shape == (3, 1000)
    starts = []
    for row in range(3):
        sources = [
            (other, start)
            for other in range(4)
            for start in np.flatnonzero(batch[other, : lengths[other]] == noise[row, 0])
        ]
        ((other, start),) = sources
        repeated = np.resize(np.roll(batch[other, : lengths[other]], -start), 1000)
        np.testing.assert_array_equal(noise[row], repeated)
        assert other != rows[row]
        starts.append(start)
    assert len(set(starts)) > 1


def test_add_noise_leaves_the_others_alone() -> None:
    batch, lengths = speech([300] * 400)
    chosen = np.arange(400) % 2 == 0
    config = NoiseConfig(probability=0.5, snr_db=(5, 25))
    inputs = (tf.constant(batch), tf.constant(lengths), tf.constant(chosen))
    noisy = augment.add_noise(*inputs, SEED, config).numpy()
    changed = np.any(noisy != batch, axis=1)
    assert not np.any(changed & ~chosen)
    # 200 draws of probability 0.5: a standard deviation of 7; five of them.
    assert 65 <= changed.sum() <= 135
    added = (noisy - batch)[changed]
    snr_db = 10 * np.log10(np.sum(batch[changed] ** 2, axis=1) / np.sum(added**2, axis=1))
    assert 4.9 < snr_db.min() < 8 and 22 < snr_db.max() < 25.1
    np.testing.assert_array_equal(augment.add_noise(*inputs, SEED, config), noisy)
    assert np.any(augment.add_noise(*inputs, SEED + 1, config).numpy() != noisy)


@pytest.mark.parametrize("config", [NoiseConfig(probability=0), NoiseConfig(probability=1, babble=1)])
def test_no_row_may_have_a_kind_of_noise(config: NoiseConfig) -> None:
    batch, lengths = speech([300, 200])
    inputs = (tf.constant(batch), tf.constant(lengths), tf.constant([True, True]))
    changed = np.any(augment.add_noise(*inputs, SEED, config).numpy() != batch, axis=1)
    assert changed.tolist() == [bool(config.probability)] * 2


def test_a_batch_of_one_gets_noise_that_is_not_itself() -> None:
    batch, lengths = speech([4000])
    config = NoiseConfig(probability=1, babble=1)
    added = augment.add_noise(tf.constant(batch), tf.constant(lengths), tf.constant([True]), SEED, config) - batch
    correlation = np.fft.irfft(np.fft.rfft(batch[0]) * np.conj(np.fft.rfft(added[0])))
    # A shifted copy would reach 1; the largest of 4000 chance values stays near 4 / sqrt(4000).
    assert np.abs(correlation).max() / np.linalg.norm(batch) / np.linalg.norm(added) < 0.3


def test_recorded_noise_is_a_recording_repeated_from_some_sample_on() -> None:
    rng = np.random.default_rng(7)
    lengths = np.array([30, 1000, 5], np.int32)
    starts = np.cumsum(lengths, dtype=np.int32) - lengths
    samples = rng.permutation(np.arange(lengths.sum())).astype(np.float32)
    recordings = Recordings(tf.constant(samples), tf.constant(starts), tf.constant(lengths))
    noise = augment.recorded_noise(tf.constant(200), tf.constant(90), recordings, SEED).numpy()
    drawn = []
    for row in noise:
        place = int(np.flatnonzero(samples == row[0])[0])
        one = int(np.searchsorted(starts, place, side="right")) - 1
        recording = samples[starts[one] : starts[one] + lengths[one]]
        np.testing.assert_array_equal(row, np.resize(np.roll(recording, starts[one] - place), 90))
        drawn.append(one)
    # 200 draws of three: each has odds of 1e-35 to be missing.
    assert set(drawn) == {0, 1, 2}


def test_shares_of_the_kinds_of_noise() -> None:
    batch, lengths = speech([64] * 600)
    marked = Recordings(tf.constant([np.pi]), tf.constant([0]), tf.constant([1]))
    config = NoiseConfig(probability=1, babble=0.25, recorded=0.5, recordings="noises", snr_db=(0, 0))
    noisy = augment.add_noise(tf.constant(batch), tf.constant(lengths), tf.fill([600], True), SEED, config, marked)
    constant = np.ptp(noisy.numpy() - batch, axis=1) < 1e-5  # one recording of one value; sums of float32 below 5
    # 600 draws of probability 0.5: a standard deviation of 12.2; five of them.
    assert 239 <= constant.sum() <= 361


def test_reverberation_is_convolution_with_one_of_the_responses() -> None:
    batch, lengths = speech([700, 1000, 300, 450])
    rng = np.random.default_rng(8)
    responses = rng.standard_normal([3, 77]).astype(np.float32)
    chosen = np.array([True, False, True, True])
    inputs = (tf.constant(batch), tf.constant(lengths), tf.constant(chosen), tf.constant(responses))
    wet = augment.reverberate(*inputs, SEED).numpy()
    np.testing.assert_array_equal(wet[1], batch[1])
    for row in (0, 2, 3):
        dry = batch[row, : lengths[row]].astype(np.float64)
        candidates = [np.convolve(dry, response)[: lengths[row]] for response in responses]
        # A float32 FFT of 256 points against sums in float64.
        errors = [np.abs(wet[row, : lengths[row]] - expected).max() / np.abs(expected).max() for expected in candidates]
        assert min(errors) < 1e-5
        assert not wet[row, lengths[row] :].any()
    np.testing.assert_array_equal(augment.reverberate(*inputs, SEED), wet)


def test_reverberation_of_no_utterance() -> None:
    batch, lengths = speech([40, 30])
    inputs = (tf.constant(batch), tf.constant(lengths), tf.constant([False, False]), tf.ones([1, 8]))
    np.testing.assert_array_equal(augment.reverberate(*inputs, SEED), batch)


def runs(mask: np.ndarray) -> list[int]:
    """Lengths of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return list(edges[1::2] - edges[::2])


def masked_places(features: np.ndarray, masked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which frames and which bins of one utterance are masked as a whole."""
    changed = masked != features
    return changed.all(axis=1), changed.all(axis=0)


def test_spec_augment_masks() -> None:
    config = SpecAugmentConfig(
        frequency_masks=1, frequency_width=15, time_masks=1, time_width=30, max_time_fraction=0.2
    )
    rng = np.random.default_rng(3)
    features = rng.standard_normal([400, 200, 80]).astype(np.float32)
    lengths = rng.integers(20, 201, 400).astype(np.int32)
    lengths[0] = 200
    masked = augment.spec_augment(tf.constant(features), tf.constant(lengths), SEED, config).numpy()
    time_widths, frequency_widths = [], []
    for row, length in enumerate(lengths):
        valid, result = features[row, :length], masked[row, :length]
        frames, bins = masked_places(valid, result)
        expected = valid.copy()
        expected[frames] = expected[:, bins] = valid.mean()
        # The mean is a float32 sum over up to 16000 values.
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)
        assert len(runs(frames)) <= 1 and len(runs(bins)) <= 1
        assert frames.sum() <= min(30, length // 5) and bins.sum() <= 15
        time_widths.append(frames.sum())
        frequency_widths.append(bins.sum())
        beyond, _ = masked_places(features[row, length:], masked[row, length:])
        assert not beyond.any()
    # Uniform from 0 to the width, bounds included: 400 draws of 16 and of up to 31 values meet both ends.
    assert (min(frequency_widths), max(frequency_widths)) == (0, 15)
    assert (min(time_widths), max(time_widths)) == (0, 30)
    np.testing.assert_allclose(np.mean(frequency_widths), 7.5, atol=5 * np.sqrt((16**2 - 1) / 12 / 400))


def test_spec_augment_reaches_every_place_and_no_further() -> None:
    config = SpecAugmentConfig(frequency_masks=1, frequency_width=2, time_masks=1, time_width=2, max_time_fraction=1)
    features = np.random.default_rng(4).standard_normal([600, 12, 6]).astype(np.float32)
    lengths = np.full([600], 10, np.int32)
    masked = augment.spec_augment(tf.constant(features), tf.constant(lengths), SEED, config).numpy()
    # 600 utterances, each bin and frame masked with a probability of at least 1 in 30: a miss has odds of 1e-9.
    changed = masked != features
    assert np.any(np.all(changed[:, :10], axis=1), axis=0).all()
    assert np.any(np.all(changed[:, :10], axis=2), axis=0).all()
    assert not np.any(np.all(changed[:, 10:], axis=2))


def test_spec_augment_follows_its_seed_and_differs_within_a_batch() -> None:
    features = np.tile(np.random.default_rng(5).standard_normal([1, 100, 40]).astype(np.float32), [8, 1, 1])
    arguments = tf.constant(features), tf.fill([8], 100)
    first = augment.spec_augment(*arguments, SEED, SpecAugmentConfig()).numpy()
    np.testing.assert_array_equal(augment.spec_augment(*arguments, SEED, SpecAugmentConfig()), first)
    assert np.any(augment.spec_augment(*arguments, SEED + 1, SpecAugmentConfig()).numpy() != first)
    assert len({row.tobytes() for row in first}) > 4


def test_no_masks_change_nothing() -> None:
    config = SpecAugmentConfig(frequency_masks=0, time_masks=0)
    features = tf.random.stateless_normal([2, 20, 8], SEED)
    np.testing.assert_array_equal(augment.spec_augment(features, tf.constant([20, 5]), SEED, config), features)
