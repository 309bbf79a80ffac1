"""Audio as it arrives: from a file, at the pace of a microphone or at once, and from a microphone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from tfconformer.errors import InputError

PIECE_SECONDS = 0.1


@dataclass(frozen=True)
class LiveAudio:
    """A source of audio: pieces [samples] in [-1, 1] of about `PIECE_SECONDS`, at `sample_rate` Hz."""

    sample_rate: int
    pieces: Iterator[NDArray[np.float32]]


@contextmanager
def wav_audio(path: Path, paced: bool) -> Iterator[LiveAudio]:
    """The mean of the channels of an audio file; `paced` gives every piece at the time at which it would be heard.

    Raises:
      InputError: the file cannot be read or is no audio.
    """
    try:
        file = soundfile.SoundFile(path)
    except (OSError, soundfile.LibsndfileError) as error:
        raise InputError(f"cannot read the audio file {path}: {error}") from None
    with file:
        yield LiveAudio(file.samplerate, _file_pieces(file, paced))


@contextmanager
def microphone_audio(sample_rate: int) -> Iterator[LiveAudio]:
    """The default microphone, converted to `sample_rate` Hz by the system.

    Raises:
      InputError: the package sounddevice or its PortAudio library is not installed, or there is no microphone.
    """
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        raise InputError(
            f"the microphone needs the package sounddevice and PortAudio: pip install 'tfconformer[mic]' ({error})"
        ) from None
    try:
        with sounddevice.InputStream(samplerate=sample_rate, channels=1, dtype="float32") as stream:
            yield LiveAudio(sample_rate, _microphone_pieces(stream, int(PIECE_SECONDS * sample_rate)))
    except sounddevice.PortAudioError as error:
        raise InputError(f"cannot record from the microphone: {error}") from None


def _file_pieces(file: soundfile.SoundFile, paced: bool) -> Iterator[NDArray[np.float32]]:
    size = int(PIECE_SECONDS * file.samplerate)
    started, heard = time.monotonic(), 0.0
    for block in file.blocks(size, dtype="float32", always_2d=True):
        heard += len(block) / file.samplerate
        if paced:
            time.sleep(max(0.0, started + heard - time.monotonic()))
        yield block.mean(axis=1)


def _microphone_pieces(stream: Any, size: int) -> Iterator[NDArray[np.float32]]:
    """Until Ctrl-C, which ends the audio and not the program: what was heard is still to be recognized."""
    while True:
        try:
            block, _ = stream.read(size)
        except KeyboardInterrupt:
            return
        yield block[:, 0]
