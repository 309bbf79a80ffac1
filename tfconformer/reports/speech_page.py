"""A page of speech to listen to, one self-contained HTML file: players, spectrograms and attention.

recordings = Recording("source", source), Recording("converted", converted)
render_speech_page([SpeechExample(name, text, recordings, attention)], path, title, lead, features)
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.image
import numpy as np
import soundfile
import tensorflow as tf
from numpy.typing import NDArray

from tfconformer import atomic
from tfconformer.features.config import FeatureConfig
from tfconformer.features.log_mel import log_mel
from tfconformer.reports.page import page_environment

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Recording:
    """Speech of an example.

    Attributes:
      label: what it is, in a few words.
      samples: [samples] in [-1, 1], at the rate of the page's features.
      note: what is known of it, such as its latency.
    """

    label: str
    samples: Floats
    note: str = ""


@dataclass(frozen=True)
class SpeechExample:
    """A sentence.

    Attributes:
      name: its id.
      text: what was said.
      recordings: the sentence by several systems.
      attention: [steps, frames] weights of the decoder; None without one.
    """

    name: str
    text: str
    recordings: tuple[Recording, ...]
    attention: Floats | None = None


@dataclass(frozen=True)
class _Player:
    label: str
    note: str
    audio: str
    spectrogram: str


def render_speech_page(
    examples: Sequence[SpeechExample], output: Path, title: str, lead: str, features: FeatureConfig
) -> None:
    """Writes the page.

    Args:
      examples: the sentences.
      output: path of the HTML file, written atomically.
      title: heading of the page.
      lead: sentence below the heading.
      features: sample rate of the recordings, and the windows of their spectrograms.
    """
    page = (
        page_environment()
        .get_template("speech.html.j2")
        .render(
            title=title,
            lead=lead,
            examples=[
                {
                    "name": example.name,
                    "text": example.text,
                    "attention": None if example.attention is None else _picture(example.attention.T, "viridis"),
                    "players": [_player(recording, features) for recording in example.recordings],
                }
                for example in examples
            ],
        )
    )
    atomic.write_text(output, page)


def _player(recording: Recording, features: FeatureConfig) -> _Player:
    buffer = io.BytesIO()
    soundfile.write(buffer, recording.samples, features.sample_rate, "PCM_16", format="WAV")
    padded = np.pad(recording.samples, (0, max(0, features.frame_length - len(recording.samples))))
    spectrogram = np.asarray(log_mel(tf.constant(padded), features))
    audio = _data_url("audio/wav", buffer.getvalue())
    return _Player(recording.label, recording.note, audio, _picture(spectrogram.T, "magma"))


def _picture(values: Floats, colors: str) -> str:
    """Draws [height, width] as an image, the first row at the bottom."""
    buffer = io.BytesIO()
    matplotlib.image.imsave(buffer, values, cmap=colors, origin="lower", format="png")
    return _data_url("image/png", buffer.getvalue())


def _data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
