"""Conversion of whole utterances by a file in a runtime, with the compute time of each of its components.

converted = convert_utterance(open_model("conversion.tflite"), waveform)
converted.speech, converted.seconds["decoder"]
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tfconformer.decoding.ctc import greedy_decode
from tfconformer.decoding.onset import spoken_frames
from tfconformer.decoding.spectrogram import Conversion, StepGraphs, convert
from tfconformer.decoding.vocoder import NeuralVocoder, vocode

if TYPE_CHECKING:
    from converters.runtime.speech_model import SpeechModel

# The task of files that convert speech.
CONVERSION = "conversion"
COMPONENTS = ("encoder", "decoder", "vocoder")

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class ConvertedUtterance:
    """An utterance after its conversion.

    Attributes:
      ids: labels of the source, in [1, vocabulary], which the CTC head of the encoder found.
      speech: [samples] in [-1, 1]; none where there is no label.
      stopped: False if the decoder did not end and was cut off.
      seconds: compute time of each of `COMPONENTS`.
    """

    ids: list[int]
    speech: Samples
    stopped: bool
    seconds: dict[str, float]


def convert_utterance(
    model: SpeechModel, waveform: Samples, decode: Callable[[StepGraphs, Samples], Conversion] = convert
) -> ConvertedUtterance:
    """Converts an utterance [samples] in [-1, 1] after its end.

    Args:
      model: an opened file of the task `CONVERSION`.
      waveform: the utterance.
      decode: function from the model and the frames that are spoken to the spectrogram.

    Raises:
      InputError: the runtime cannot compute the model on it.
      ValueError: the encoder computes a NaN.
    """
    seconds = dict.fromkeys(COMPONENTS, 0.0)

    def timed(component: str, function: Callable[..., Any], *arguments: Any) -> Any:
        began = time.perf_counter()
        result = function(*arguments)
        seconds[component] += time.perf_counter() - began
        return result

    task = model.metadata.task
    encoded = timed("encoder", model.run, waveform)
    logits = encoded[:, task.setting("memory") :]
    ids, spoken = greedy_decode(logits), spoken_frames(encoded, logits)
    if not len(spoken):
        return ConvertedUtterance(ids, np.zeros(0, np.float32), True, seconds)
    converted = timed("decoder", decode, model, spoken)
    frames = converted.spectrogram.reshape(-1, task.setting("bins"))
    return ConvertedUtterance(ids, timed("vocoder", vocode, NeuralVocoder(model), frames), converted.stopped, seconds)
