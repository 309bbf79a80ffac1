"""A recorded line of human speech inside a game's or a telephone system's data files."""

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
    """Where one line's audio lies and what is said.

    Attributes:
      package: Debian package and version the file came from.
      licence: short name of its licence.
      speaker: the character's or the person's name; "" if the data do not say.
      name: the line's name within the package.
      text: normalized transcript.
      path: the file.
      offset: first byte of the audio in the file.
      size: length in bytes.
      codec: "mp3", "u8" (unsigned 8-bit PCM, 11025 Hz) or "g722" (64 kbit/s, 16 kHz).
    """

    package: str
    licence: str
    speaker: str
    name: str
    text: str
    path: Path = field(repr=False)  # where it is unpacked does not define it
    offset: int
    size: int
    codec: str


def transcript(written: str) -> str:
    """What is said when a script line is read aloud, normalized; "" where the script does not tell for certain.

    That is the case for stage directions and signs ("(sigh)", "Y/N", "19:00"), laughs, grunts, single letters, and
    cries spelled by ear ("NOOOO").
    """
    if _AMBIGUOUS.search(written):
        return ""
    text = normalize(written)
    words = {word for word in text.split() if len(word) > 1}
    return text if words - _INTERJECTIONS and not _NOISE.search(text) else ""


def read(recording: Recording) -> Samples:
    """Decodes a recording: float32 [samples] at 16 kHz in [-1, 1].

    Raises:
      ValueError: the bytes are not what the codec expects.
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
