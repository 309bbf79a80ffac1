"""Streaming Griffin-Lim: its speech has the spectrogram that it was made from, in pieces of any size."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.support.tiny_conformer import tiny_waveforms
from tfconformer.decoding.griffin_lim import GriffinLim, mel_filters
from tfconformer.decoding.vocoder import vocode
from tfconformer.features.config import FeatureConfig
from tfconformer.features.log_mel import scaled_log_mel

CONFIG = FeatureConfig(frame_length=800, fft_length=1024)


def spectrogram(waveform: np.ndarray) -> np.ndarray:
    return scaled_log_mel(tf.pad(tf.constant(waveform, tf.float32), [[640, 0]]), CONFIG).numpy()


def test_the_mel_filters_are_those_of_the_front_end() -> None:
    expected = tf.signal.linear_to_mel_weight_matrix(80, 513, 16000, CONFIG.lower_edge, CONFIG.upper_edge, tf.float64)
    np.testing.assert_allclose(mel_filters(CONFIG), expected, atol=1e-6)


def test_speech_has_the_spectrogram_that_it_was_made_from() -> None:
    """Random phases, for comparison, are an order of magnitude farther from it."""
    wave = tiny_waveforms()[1]
    frames = spectrogram(wave)
    made = vocode(GriffinLim(CONFIG), frames)
    assert len(made) == 160 * len(frames)
    errors = np.abs(spectrogram(made)[8:-8] - frames[8 : len(spectrogram(made)) - 8])
    assert np.median(errors) < 0.1


@pytest.mark.parametrize("size", [1, 7])
def test_pieces_give_what_the_whole_gives(size: int) -> None:
    frames = spectrogram(tiny_waveforms()[0])
    vocoder = GriffinLim(CONFIG)
    pieces = [vocoder.push(frames[start : start + size]) for start in range(0, len(frames), size)]
    # A frame is final when the next one is there, and the first hops precede the utterance.
    assert len(np.concatenate(pieces)) == 160 * (len(frames) - 5)
    pieces.append(vocoder.finish())
    np.testing.assert_allclose(np.concatenate(pieces), vocode(GriffinLim(CONFIG), frames), atol=1e-6)


def test_nothing_in_nothing_out() -> None:
    assert not len(vocode(GriffinLim(CONFIG), np.zeros([0, 80], np.float32)))
