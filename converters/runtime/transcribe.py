"""Transcription of audio files with an exported model, offline or streaming, of CTC or a transducer.

    for word in transcribe("int4.tflite", "speech.wav").words:
        print(word.start, word.end, word.text)

Nothing here imports TensorFlow.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from converters.runtime.model import open_model
from converters.runtime.search import new_search
from converters.runtime.stream_model import StreamModel
from converters.runtime.words import Word, recognized_words
from tfconformer.data.audio import UnusableError, read_waveform
from tfconformer.data.limits import MAX_SECONDS
from tfconformer.decoding.beam import BeamSearch
from tfconformer.errors import InputError
from tfconformer.models.config import shortest_utterance


@dataclass(frozen=True)
class Transcription:
    """The text of an audio file.

    Attributes:
      text: its words, with spaces between them.
      words: the words with times and confidence.
    """

    text: str
    words: tuple[Word, ...]


class Transcriber:
    """A model that transcribes one audio file after the other. Not for use from several threads at once.

    Args:
      model_file: a `.tflite` file of `tfconformer export`.
      runtime: one of `converters.runtime.model.RUNTIMES`.
      threads: maximum number of threads of an operation.
      beam: settings of a beam search; None searches greedily. With CTC it needs flashlight-text.
      max_seconds: longest audio for an offline file, whose memory grows with the square of the length. A streaming file
        takes any length.

    Raises:
      InputError: the file cannot be opened, has no tokenizer, or its task has no search.
    """

    def __init__(
        self,
        model_file: str | os.PathLike[str],
        runtime: str = "ai-edge-litert",
        threads: int = 1,
        beam: BeamSearch | None = None,
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        self._model = open_model(model_file, runtime, threads)
        self._beam = beam
        self._max_seconds = math.inf if isinstance(self._model, StreamModel) else max_seconds
        # These raise the errors of the model, so that every later error is that of an audio file.
        new_search(self._model, beam)
        self._model.metadata.text([])
        metadata = self._model.metadata
        self._sample_rate = metadata.features.sample_rate
        self._shortest = shortest_utterance(metadata.features, metadata.model)

    def __call__(self, audio: str | os.PathLike[str]) -> Transcription:
        """Transcribes an audio file in any format of libsndfile, at any sample rate; channels are averaged.

        Raises:
          InputError: the file cannot be read or used, or the model cannot run on it.
        """
        path, rate = Path(audio), self._sample_rate
        try:
            waveform = read_waveform(path, rate, self._max_seconds)
        except UnusableError as error:
            hint = f": longer than {self._max_seconds:g} s needs a streaming file" if error.reason == "too long" else ""
            raise InputError(f"cannot transcribe {path}: {error}{hint}") from None
        if len(waveform) < self._shortest:
            seconds, needed = len(waveform) / rate, self._shortest / rate
            raise InputError(f"cannot transcribe {path}: {seconds:.3f} s of audio, needs {needed:g} s")
        outputs, search = self._model.run(waveform), new_search(self._model, self._beam)
        try:
            search.push(outputs)
        except ValueError as error:
            raise InputError(f"the output of {self._model.path} for {path} cannot be decoded: {error}") from error
        return Transcription(self._model.metadata.text(search.ids), recognized_words(search, self._model.metadata))


def transcribe(
    model_file: str | os.PathLike[str],
    audio: str | os.PathLike[str],
    runtime: str = "ai-edge-litert",
    threads: int = 1,
    beam: BeamSearch | None = None,
    max_seconds: float = MAX_SECONDS,
) -> Transcription:
    """Transcribes one audio file; for several, a `Transcriber` opens the model once.

    Args:
      model_file: a `.tflite` file of `tfconformer export`, offline or streaming.
      audio: an audio file in any format of libsndfile, at any sample rate.
      runtime: one of `converters.runtime.model.RUNTIMES`.
      threads: maximum number of threads of an operation.
      beam: settings of a beam search; None searches greedily.
      max_seconds: longest audio for an offline file.

    Raises:
      InputError: the model or the audio cannot be used.
    """
    return Transcriber(model_file, runtime, threads, beam, max_seconds)(audio)
