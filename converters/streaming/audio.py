"""Sources of live audio: a file, at the pace of speech or at once, and a microphone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.streaming.sound_device import sounddevice_for
from tfconformer.data.audio import AudioFile, MonoMix, UnusableError
from tfconformer.errors import InputError

CHUNK_SECONDS = 0.1
# Audio before channels are compared: the beginning may be silent but for noise.
_CHECKED_SECONDS = 1.0


@dataclass(frozen=True)
class LiveAudio:
    """A source of audio: chunks, float32 [samples] in [-1, 1], of about `CHUNK_SECONDS`, at `sample_rate` Hz."""

    sample_rate: int
    chunks: Iterator[NDArray[np.float32]]


@contextmanager
def wav_audio(path: Path, paced: bool) -> Iterator[LiveAudio]:
    """Opens an audio file and averages its channels; `paced` yields a chunk when a microphone would have recorded it.

    Raises:
      InputError: the file cannot be read or is no audio; from the chunks, when the file is damaged there.
    """
    try:
        file = AudioFile(path)
    except UnusableError as error:
        raise InputError(f"cannot read the audio file {path}: {error}") from None
    with file:
        yield LiveAudio(file.samplerate, _file_chunks(path, file, paced))


@contextmanager
def microphone_audio(sample_rate: int) -> Iterator[LiveAudio]:
    """Opens the default microphone, converted to `sample_rate` Hz by the system.

    Raises:
      InputError: the package sounddevice or its PortAudio library is not installed, or there is no microphone.
    """
    sounddevice = sounddevice_for("microphone")
    try:
        with sounddevice.InputStream(samplerate=sample_rate, channels=1, dtype="float32") as stream:
            yield LiveAudio(
                sample_rate, _microphone_chunks(stream, int(CHUNK_SECONDS * sample_rate), sounddevice.PortAudioError)
            )
    except sounddevice.PortAudioError as error:
        raise InputError(f"cannot record from the microphone: {error}") from None


def _file_chunks(path: Path, file: AudioFile, paced: bool) -> Iterator[NDArray[np.float32]]:
    started, seconds = time.monotonic(), 0.0
    mix = MonoMix()
    try:
        for block in file.chunks(int(CHUNK_SECONDS * file.samplerate)):
            seconds += len(block) / file.samplerate
            mono = mix(block)
            if seconds >= _CHECKED_SECONDS:
                mix.check()
            if paced:
                time.sleep(max(0.0, started + seconds - time.monotonic()))
            yield mono
        mix.check()
    except UnusableError as error:
        raise InputError(f"{path}, after {seconds:.1f} s: {error}") from None


def _microphone_chunks(stream: Any, size: int, errors: type[Exception]) -> Iterator[NDArray[np.float32]]:
    """Yields chunks until Ctrl-C, which ends the audio but not the program: the recording is recognized first."""
    while True:
        try:
            block, _ = stream.read(size)
        except KeyboardInterrupt:
            return
        except errors as error:
            raise InputError(f"cannot record from the microphone: {error}") from None
        yield block[:, 0]
