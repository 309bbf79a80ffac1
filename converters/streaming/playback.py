"""Destinations of converted speech: a WAV file, and a loudspeaker."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.streaming.sound_device import sounddevice_for
from tfconformer import atomic
from tfconformer.errors import InputError

Write = Callable[[NDArray[np.float32]], None]


@contextmanager
def wav_output(path: Path, sample_rate: int) -> Iterator[Write]:
    """Opens a WAV file of 16-bit samples, which has its name once it is complete.

    Raises:
      InputError: the file cannot be written.
    """
    import soundfile

    with (
        atomic.atomic_path(path) as partial,
        soundfile.SoundFile(partial, "w", sample_rate, 1, "PCM_16", format="WAV") as file,
    ):
        yield file.write


@contextmanager
def speaker_output(sample_rate: int) -> Iterator[Write]:
    """Opens the default loudspeaker, which plays what is written, and ends when all is played.

    Raises:
      InputError: the package sounddevice or its PortAudio library is not installed, or there is no loudspeaker.
    """
    sounddevice = sounddevice_for("loudspeaker")
    waiting: queue.SimpleQueue[NDArray[np.float32] | None] = queue.SimpleQueue()
    try:
        with sounddevice.OutputStream(samplerate=sample_rate, channels=1, dtype="float32") as stream:
            # A thread, since playing takes as long as the speech, while the source goes on.
            player = threading.Thread(target=_play, args=(stream, waiting))
            player.start()
            try:
                yield waiting.put
            finally:
                waiting.put(None)
                player.join()
    except sounddevice.PortAudioError as error:
        raise InputError(f"cannot play on the loudspeaker: {error}") from None


def _play(stream: Any, waiting: queue.SimpleQueue[NDArray[np.float32] | None]) -> None:
    while (samples := waiting.get()) is not None:
        stream.write(samples)
