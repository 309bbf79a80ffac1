"""Folders of real noises and of room impulse responses, read whole, for augmentation."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfconformer.data.audio import UnusableError, read_audio
from tfconformer.data.librispeech import AUDIO_SUFFIXES
from tfconformer.data.speech.acoustics import resample
from tfconformer.errors import InputError

# Longest noise, in seconds: all of them lie in memory.
_LONGEST_RECORDING = 3600.0
# Impulse responses are cut here, in seconds after the peak: one of a reverberation time of 0.5 s has decayed by 60 dB.
_LONGEST_RESPONSE = 0.5


class Recordings(NamedTuple):
    """Recordings of any lengths, one after the other.

    Attributes:
      samples: [total] float32.
      starts: [count] int32, the first sample of every recording.
      lengths: [count] int32, in samples.
    """

    samples: tf.Tensor
    starts: tf.Tensor
    lengths: tf.Tensor


def read_recordings(folder: str, sample_rate: int) -> Recordings:
    """Reads all recordings of a folder and its subfolders, in the order of their names.

    Args:
      folder: folder of WAV, FLAC or Ogg files; of several channels the first is taken.
      sample_rate: rate that they are resampled to, in Hz.

    Raises:
      InputError: the folder has no such file, or one cannot be used or is silent.
    """
    waves = _read_folder(folder, sample_rate)
    lengths = tf.constant([len(wave) for wave in waves], tf.int32)
    return Recordings(tf.constant(np.concatenate(waves)), tf.cumsum(lengths, exclusive=True), lengths)


def read_impulse_responses(folder: str, sample_rate: int) -> tf.Tensor:
    """Reads all impulse responses of a folder, each from its peak on (the direct sound), scaled to an energy of 1.

    From the peak on, because speech must not be shifted against its transcript; and of equal energy, so that a white
    signal keeps its level.

    Args:
      folder: folder of WAV, FLAC or Ogg files; of several channels the first is taken.
      sample_rate: rate that they are resampled to, in Hz.

    Returns:
      [count, taps] float32, zero after the end of each response; at most half a second.

    Raises:
      InputError: the folder has no such file, or one cannot be used or is silent.
    """
    longest = int(_LONGEST_RESPONSE * sample_rate)
    responses = [wave[np.argmax(np.abs(wave)) :][:longest] for wave in _read_folder(folder, sample_rate)]
    table = np.zeros([len(responses), max(map(len, responses))], np.float32)
    for row, response in zip(table, responses, strict=True):
        row[: len(response)] = response / np.linalg.norm(response)
    return tf.constant(table)


def _read_folder(folder: str, sample_rate: int) -> list[NDArray[np.float32]]:
    paths = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    if not paths:
        raise InputError(f"the folder {folder} has no WAV, FLAC or Ogg file")
    return [_read(path, sample_rate) for path in paths]


def _read(path: Path, sample_rate: int) -> NDArray[np.float32]:
    try:
        audio = read_audio(path, _LONGEST_RECORDING)
    except UnusableError as error:
        raise InputError(f"cannot use {path}: {error}") from None
    mono = audio.samples[:, 0]
    if not np.any(mono):
        raise InputError(f"cannot use {path}: it is silent")
    return resample(mono, audio.sample_rate, sample_rate)
