"""Recorded lines of human speech in the data files of a game or a telephone system."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tfconformer.data.speech.acoustics import SAMPLE_RATE, Samples, resample
from tfconformer.data.speech.normalize import normalize

_INTERJECTIONS = frozenset(
    "AH AHA AHH AW EH ER ERM GRR HA HAH HE HEE HEH HM HMM HO HUH MM MMM OH OOH OW SHH UGH UH UM".split()
)
_AMBIGUOUS = re.compile(r"[()<>#/&@]|\d[.:]\d")
_NOISE = re.compile(r"([A-Z])\1\1|(?:^| )[^AEIOUY ]{3,}(?: |$)")  # NOOOO, NVHHZTV


@dataclass(frozen=True)
class Recording:
    """The location of a line's audio, and its transcript.

    Attributes:
      package: Debian package of the file, with its version.
      licence: short name of its licence.
      speaker: name of the character or the person; "" if unknown.
      name: name of the line within the package.
      text: normalized transcript.
      path: file with the audio.
      offset: first byte of the audio in the file.
      size: length of the audio in bytes.
      codec: "mp3", "u8" (unsigned 8-bit PCM, 11025 Hz) or "g722" (64 kbit/s, 16 kHz).
    """

    package: str
    licence: str
    speaker: str
    name: str
    text: str
    path: Path = field(repr=False)  # the place of the unpacked package is no part of a chapter's definition
    offset: int
    size: int
    codec: str


def transcript(written: str) -> str:
    """Returns the normalized transcript of a script line; "" if its spoken form is uncertain.

    It is uncertain with stage directions and signs ("(sigh)", "Y/N", "19:00"), laughs, grunts, single letters, and
    cries spelled by ear ("NOOOO").
    """
    if _AMBIGUOUS.search(written):
        return ""
    text = normalize(written)
    words = {word for word in text.split() if len(word) > 1}
    return text if words - _INTERJECTIONS and not _NOISE.search(text) else ""


def read(recording: Recording) -> Samples:
    """Decodes a recording: [samples] float32 at 16 kHz in [-1, 1].

    Raises:
      ValueError: the bytes are not valid for the codec.
    """
    with recording.path.open("rb") as stream:
        stream.seek(recording.offset)
        content = stream.read(recording.size)
    return _DECODERS[recording.codec](content)


def _decode_mp3(content: bytes) -> Samples:
    import io

    import soundfile

    try:
        samples, rate = soundfile.read(io.BytesIO(content), dtype="float32")
    except soundfile.LibsndfileError as error:
        raise ValueError(str(error)) from None
    return resample(samples, rate, SAMPLE_RATE)


def _decode_unsigned_8bit(content: bytes) -> Samples:
    samples = (np.frombuffer(content, np.uint8).astype(np.float32) - 128.0) / 128.0
    return resample(samples, 11025, SAMPLE_RATE)


def _decode_g722(content: bytes) -> Samples:
    from tfconformer.data.speech import g722

    return g722.decode(content)


_DECODERS = {"mp3": _decode_mp3, "u8": _decode_unsigned_8bit, "g722": _decode_g722}
