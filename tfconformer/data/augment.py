"""Augmentation of waveforms and features: pure functions of their inputs and a stateless seed.

Waveforms are batches [batch, samples] in [-1, 1], zero beyond each utterance's length; seeds are int32 [2].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import tensorflow as tf

from tfconformer.data.config import NoiseConfig, SpecAugmentConfig
from tfconformer.data.sounds import Recordings

# Half-width of the resampling filter in zero crossings, and shape of its Kaiser window: about 80 dB of attenuation in
# the stop band, with a transition band of about 10 % of the pass band.
_ZERO_CROSSINGS = 24
_KAISER_BETA = 8.0
_ROLLOFF = 0.95
_MAX_DENOMINATOR = 100

# Gaussian noise has a power spectrum f**-tilt: 0 is white, 1 pink, 2 brown. It is flat below this share of the Nyquist
# frequency (125 Hz at 16 kHz), because most of a brown noise's power would lie below the band of speech.
_TILTS = (0.0, 2.0)
_FLAT_BELOW = 1 / 64
_NOISE_FFT = 8192


def ramp(batch: tf.Tensor, batches: tuple[int, int]) -> tf.Tensor:
    """Returns the probability of augmentation at a batch index: 0 before `batches[0]`, 1 from `batches[1]` on."""
    first, last = batches
    progress = tf.cast(batch - first, tf.float32) / max(last - first, 1)
    return tf.where(batch >= last, 1.0, tf.clip_by_value(progress, 0.0, 1.0))


def time_stretch(spectrogram: tf.Tensor, factors: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
    """Stretches spectrograms in time, with their pitch, by linear interpolation between frames.

    Args:
      spectrogram: [B, T, bins] float32, whose last frame stands for all after it.
      factors: [B] float32, of the duration.
      frames: scalar, number of frames of the result.

    Returns:
      [B, frames, bins] float32.
    """
    last = tf.shape(spectrogram)[1] - 1
    centers = (tf.range(frames, dtype=tf.float32) + 0.5) / factors[:, tf.newaxis] - 0.5
    positions = tf.clip_by_value(centers, 0.0, tf.cast(last, tf.float32))
    first = tf.cast(positions, tf.int32)
    share = (positions - tf.cast(first, tf.float32))[:, :, tf.newaxis]
    before, after = (tf.gather(spectrogram, at, batch_dims=1) for at in (first, tf.minimum(first + 1, last)))
    return before + share * (after - before)


def speed_perturb(waveform: tf.Tensor, speed: float) -> tf.Tensor:
    """Resamples one utterance to play `speed` times as fast, with its pitch (Ko et al. 2015).

    Band-limited resampling with a Kaiser-windowed sinc: output n is the input at time n * speed. With speed = p / q the
    filter phases repeat every q outputs and p inputs, so the whole is one strided convolution with q channels.

    Args:
      waveform: [samples] float32.
      speed: factor > 0, rounded to the nearest fraction with a denominator up to 100.

    Returns:
      [floor(samples / speed)] float32.
    """
    ratio = Fraction(speed).limit_denominator(_MAX_DENOMINATOR)
    if ratio == 1:
        return waveform
    kernel, reach = _resampling_kernel(ratio)
    samples = tf.shape(waveform)[0]
    outputs = samples * ratio.denominator // ratio.numerator
    padded = tf.pad(waveform, [[reach, reach + ratio.numerator]])
    blocks = tf.nn.conv1d(padded[tf.newaxis, :, tf.newaxis], kernel, stride=ratio.numerator, padding="VALID")
    return tf.reshape(blocks, [-1])[:outputs]


def mix_noise(speech: tf.Tensor, lengths: tf.Tensor, noise: tf.Tensor, snr_db: tf.Tensor) -> tf.Tensor:
    """Adds noise at a signal-to-noise ratio, whose powers are taken over each utterance's own length.

    Args:
      speech: [batch, samples] float32.
      lengths: [batch] int32, in samples.
      noise: [batch, samples] float32 of any level.
      snr_db: [batch] float32, in dB; +inf adds no noise.

    Returns:
      [batch, samples], zero beyond the lengths; silent speech stays silent.
    """
    noise *= tf.sequence_mask(lengths, tf.shape(speech)[1], speech.dtype)
    speech_energy = tf.reduce_sum(tf.square(speech), axis=1)
    noise_energy = tf.reduce_sum(tf.square(noise), axis=1)
    gain = tf.sqrt(tf.math.divide_no_nan(speech_energy, noise_energy)) * 10.0 ** (-snr_db / 20.0)
    return speech + gain[:, tf.newaxis] * noise


def tilted_noise(samples: tf.Tensor, tilt: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draws Gaussian noise with the power spectrum f**-tilt, flat at the lowest frequencies, in half-second blocks.

    Args:
      samples: scalar int32, length of the noise.
      tilt: [batch] float32, negative exponent of the spectrum.
      seed: int32 [2].

    Returns:
      [batch, samples] float32 of arbitrary level.
    """
    bins = _NOISE_FFT // 2 + 1
    blocks = -(-samples // _NOISE_FFT)
    normal = tf.random.stateless_normal([2, tf.shape(tilt)[0], blocks, bins], seed)
    frequency = tf.maximum(tf.linspace(0.0, 1.0, bins), _FLAT_BELOW)
    envelope = frequency ** (-tilt[:, tf.newaxis, tf.newaxis] / 2)
    noise = tf.signal.irfft(tf.complex(normal[0] * envelope, normal[1] * envelope), [_NOISE_FFT])
    return tf.reshape(noise, [tf.shape(tilt)[0], -1])[:, :samples]


def babble(speech: tf.Tensor, lengths: tf.Tensor, rows: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Returns another utterance of the batch for each of some rows, from a random sample on, repeated to fill it.

    In a batch of one it is the utterance itself, shifted.

    Args:
      speech: [batch, samples] float32.
      lengths: [batch] int32, in samples.
      rows: [count] int32, of the batch.
      seed: int32 [2].

    Returns:
      [count, samples] float32.
    """
    batch, samples = tf.shape(speech)[0], tf.shape(speech)[1]
    seeds = tf.random.split(seed, 2)
    shift = tf.random.stateless_uniform([], seeds[0], 1, tf.maximum(batch, 2), tf.int32)
    other = (rows + shift) % batch
    period = tf.maximum(tf.gather(lengths, other), 1)[:, tf.newaxis]
    random = tf.random.stateless_uniform([tf.size(rows), 1], seeds[1])
    start = tf.cast(random * tf.cast(period, tf.float32), tf.int32)
    return tf.gather(tf.gather(speech, other), (start + tf.range(samples)) % period, batch_dims=1)


def recorded_noise(count: tf.Tensor, samples: tf.Tensor, recordings: Recordings, seed: tf.Tensor) -> tf.Tensor:
    """Draws `count` recordings, each from a random sample on, repeated to fill [count, samples]."""
    seeds = tf.random.split(seed, 2)
    drawn = tf.random.stateless_uniform([count], seeds[0], 0, tf.size(recordings.lengths), tf.int32)
    period = tf.gather(recordings.lengths, drawn)[:, tf.newaxis]
    start = tf.cast(tf.random.stateless_uniform([count, 1], seeds[1]) * tf.cast(period, tf.float32), tf.int32)
    first = tf.gather(recordings.starts, drawn)[:, tf.newaxis]
    return tf.gather(recordings.samples, first + (start + tf.range(samples)) % period)


def reverberate(
    speech: tf.Tensor, lengths: tf.Tensor, chosen: tf.Tensor, responses: tf.Tensor, seed: tf.Tensor
) -> tf.Tensor:
    """Convolves each chosen utterance with a random impulse response; reverberation after its end is cut.

    Args:
      speech: [batch, samples] float32.
      lengths: [batch] int32, in samples.
      chosen: [batch] bool.
      responses: [count, taps] float32, each from its direct sound on.
      seed: int32 [2].

    Returns:
      [batch, samples], zero beyond the lengths; the others as they were.
    """
    drawn = tf.random.stateless_uniform(tf.shape(lengths), seed, 0, tf.shape(responses)[0], tf.int32)

    def reverberant(rows: tf.Tensor) -> tf.Tensor:
        wet = _convolve(tf.gather(speech, rows), tf.gather(responses, tf.gather(drawn, rows)))
        return wet * tf.sequence_mask(tf.gather(lengths, rows), tf.shape(speech)[1], speech.dtype)

    return _fill(speech, chosen, reverberant)


def add_noise(
    speech: tf.Tensor,
    lengths: tf.Tensor,
    chosen: tf.Tensor,
    seed: tf.Tensor,
    config: NoiseConfig,
    recordings: Recordings | None = None,
) -> tf.Tensor:
    """Adds random noise to some of the chosen utterances.

    Args:
      speech: [batch, samples] float32.
      lengths: [batch] int32, in samples.
      chosen: [batch] bool, utterances that may get noise.
      seed: int32 [2].
      config: probability, signal-to-noise ratio and kind of the noise.
      recordings: the recordings of `config.recordings`.

    Returns:
      [batch, samples] float32.
    """
    seeds = tf.random.split(seed, 7)
    batch, samples = tf.shape(speech)[0], tf.shape(speech)[1]
    noisy = chosen & (tf.random.stateless_uniform([batch], seeds[0]) < config.probability)
    kind = tf.random.stateless_uniform([batch], seeds[1])
    snr_db = tf.random.stateless_uniform([batch], seeds[2], *config.snr_db)
    tilt = tf.random.stateless_uniform([batch], seeds[3], *_TILTS)
    is_recorded = noisy & (kind >= 1 - config.recorded) if recordings is not None else tf.zeros_like(noisy)
    is_babble = noisy & (kind < config.babble) & (batch > 1) & ~is_recorded
    is_synthetic = noisy & ~is_recorded & ~is_babble

    noise = tf.zeros_like(speech)
    noise = _fill(noise, is_babble, lambda rows: babble(speech, lengths, rows, seeds[4]))
    noise = _fill(noise, is_synthetic, lambda rows: tilted_noise(samples, tf.gather(tilt, rows), seeds[5]))
    if recordings is not None:
        noise = _fill(noise, is_recorded, lambda rows: recorded_noise(tf.size(rows), samples, recordings, seeds[6]))
    return mix_noise(speech, lengths, noise, tf.where(noisy, snr_db, math.inf))


def spec_augment(features: tf.Tensor, lengths: tf.Tensor, seed: tf.Tensor, config: SpecAugmentConfig) -> tf.Tensor:
    """Applies the frequency and time masks of SpecAugment (1904.08779), other ones to each utterance.

    Args:
      features: [batch, frames, mel] float32.
      lengths: [batch] int32, frames of each utterance; time masks lie within them.
      seed: int32 [2].
      config: numbers and widths of the masks.

    Returns:
      [batch, frames, mel], with the mean of the utterance in the masked places.
    """
    frames, mel = tf.shape(features)[1], tf.shape(features)[2]
    seeds = tf.random.split(seed, 2)
    bins = tf.fill(tf.shape(lengths), mel)
    widest = tf.cast(tf.cast(lengths, tf.float32) * config.max_time_fraction, tf.int32)
    in_time = _masks(frames, lengths, tf.minimum(widest, config.time_width), config.time_masks, seeds[0])
    in_frequency = _masks(mel, bins, tf.minimum(bins, config.frequency_width), config.frequency_masks, seeds[1])
    valid = tf.sequence_mask(lengths, frames, features.dtype)[:, :, tf.newaxis]
    count = tf.cast(tf.maximum(lengths, 1) * mel, features.dtype)
    mean = tf.reduce_sum(features * valid, axis=[1, 2]) / count
    masked = in_time[:, :, tf.newaxis] | in_frequency[:, tf.newaxis, :]
    return tf.where(masked, mean[:, tf.newaxis, tf.newaxis], features)


def _fill(values: tf.Tensor, chosen: tf.Tensor, make: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """Replaces the rows of [batch, samples] that are `chosen` [batch] with what is made for their indices [count]."""
    rows = tf.where(chosen)[:, 0]
    return tf.tensor_scatter_nd_update(values, rows[:, tf.newaxis], make(tf.cast(rows, tf.int32)))


def _masks(size: tf.Tensor, lengths: tf.Tensor, widths: tf.Tensor, count: int, seed: tf.Tensor) -> tf.Tensor:
    """Draws masks, [batch, size] bool: `count` runs of up to `widths` places within the first `lengths` of each row."""
    draws = tf.random.stateless_uniform([2, tf.shape(lengths)[0], count], seed)
    width = tf.floor(draws[0] * tf.cast(widths + 1, tf.float32)[:, tf.newaxis])
    start = tf.floor(draws[1] * (tf.cast(lengths, tf.float32)[:, tf.newaxis] - width + 1.0))
    place = tf.range(size, dtype=tf.float32)[tf.newaxis, :, tf.newaxis]
    inside = (place >= start[:, tf.newaxis, :]) & (place < (start + width)[:, tf.newaxis, :])
    return tf.reduce_any(inside, axis=-1)


def _convolve(signals: tf.Tensor, responses: tf.Tensor) -> tf.Tensor:
    """Convolves [rows, samples] with [rows, taps], causally, by overlapping blocks of a power of two of samples."""
    samples, taps = tf.shape(signals)[1], responses.shape[1]
    size = 1 << (taps - 1).bit_length()
    blocks = tf.reshape(tf.pad(signals, [(0, 0), (0, -samples % size)]), [tf.shape(signals)[0], -1, size])
    # Padded here, because `rfft` does not pad a batch of no rows.
    blocks = tf.pad(blocks, [(0, 0), (0, 0), (0, size)])
    responses = tf.pad(responses, [(0, 0), (0, 2 * size - taps)])
    spectrum = tf.signal.rfft(blocks, [2 * size]) * tf.signal.rfft(responses, [2 * size])[:, tf.newaxis]
    return tf.signal.overlap_and_add(tf.signal.irfft(spectrum, [2 * size]), size)[:, :samples]


def _resampling_kernel(ratio: Fraction) -> tuple[np.ndarray, int]:
    """Returns the filter [taps, 1, q] of `speed_perturb` and the number of taps before the first input of a block."""
    p, q = ratio.numerator, ratio.denominator
    cutoff = _ROLLOFF * min(1.0, q / p)
    half_width = _ZERO_CROSSINGS / cutoff
    reach = math.ceil(half_width)
    place = np.arange(-reach, p + reach)[:, np.newaxis]
    distance = place - np.arange(q) * p / q
    window = np.i0(_KAISER_BETA * np.sqrt(np.clip(1 - (distance / half_width) ** 2, 0, None))) / np.i0(_KAISER_BETA)
    kernel = cutoff * np.sinc(cutoff * distance) * window * (np.abs(distance) < half_width)
    return kernel[:, np.newaxis, :].astype(np.float32), reach
