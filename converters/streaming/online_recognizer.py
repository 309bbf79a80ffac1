"""Live recognition with a streaming `.tflite`, with the interface of sherpa-onnx.

    recognizer = OnlineRecognizer("small.tflite")
    for samples in microphone:
        recognizer.accept_waveform(48000, samples)
        recognizer.decode()
        print(recognizer.result.text)
        if recognizer.is_endpoint:
            recognizer.reset()              # the next utterance
    recognizer.input_finished()
    recognizer.decode()

The same as a generator of results, of which one is final at each end of an utterance:

    for result in recognizer.stream(48000, microphone):
        print(result.text)

A recognizer holds one stream; for several streams open several recognizers.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from converters.runtime.search import new_search
from converters.runtime.stream_model import open_stream
from converters.runtime.words import Word, recognized_words
from converters.streaming.endpoint import EndpointRule, endpoint_rules, is_endpoint
from converters.streaming.waveform_input import WaveformInput
from tfconformer.decoding.beam import BeamSearch
from tfconformer.errors import InputError


@dataclass(frozen=True)
class Result:
    """The hypothesis for the current utterance.

    Attributes:
      text: its words.
      tokens: its tokens, as text.
      timestamps: seconds from the beginning of the utterance to every token.
      words: its words, with times since the beginning of the utterance and confidence.
      is_final: True once the input has ended and all of it is decoded.
    """

    text: str
    tokens: tuple[str, ...]
    timestamps: tuple[float, ...]
    words: tuple[Word, ...]
    is_final: bool


class OnlineRecognizer:
    """Recognizes one stream of audio, utterance by utterance. Not for use from several threads at once.

    Attributes:
      model: the streaming file in its runtime.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        runtime: str = "ai-edge-litert",
        threads: int = 1,
        rules: tuple[EndpointRule, ...] | None = None,
        beam: BeamSearch | None = None,
    ) -> None:
        """Opens a file of `tfconformer export --streaming`.

        Args:
          path: the file.
          runtime: one of `converters.runtime.model.RUNTIMES`.
          threads: number of threads of the runtime.
          rules: an utterance is over when one of them holds; None takes the defaults of `endpoint_rules`.
          beam: settings of a beam search; None searches greedily. With CTC it needs flashlight-text.

        Raises:
          InputError: the file cannot be opened (see `open_stream`), or flashlight-text is missing.
        """
        self.model = open_stream(path, runtime, threads)
        self.model.metadata.text([])  # raises the error of a file without a tokenizer
        self._rules = endpoint_rules() if rules is None else rules
        description = self.model.description
        self._input = WaveformInput(description.sample_rate, description.step_samples, "recognizer")
        self._beam = beam
        self._search = new_search(self.model, beam)
        self._decoded_all = False

    def accept_waveform(self, sample_rate: int, samples: NDArray[np.float32]) -> None:
        """Appends the next samples [any number] in [-1, 1]; another rate than the model's is converted.

        Raises:
          InputError: they have another shape, are integers, far outside of [-1, 1] or not finite, the rate is not
            positive or not that of the earlier samples, or the input was finished. Nothing is appended then.
        """
        self._input.accept(sample_rate, samples)

    def input_finished(self) -> None:
        """Ends the utterance: `decode` then completes its result, and `reset` begins the next one."""
        self._input.finish()

    def decode(self) -> None:
        """Recognizes the accepted audio: whole steps, and the rest once the input is finished."""
        while self._input.has_step:
            self._push(self.model.step(self._input.step()))
        if self._input.finished and not self._decoded_all:
            self._push(self.model.finish(self._input.rest()))
            self._decoded_all = True

    @property
    def result(self) -> Result:
        """The hypothesis for the audio that was decoded since the last reset."""
        ids = self._search.ids
        return Result(
            text=self.model.metadata.text(ids),
            tokens=tuple(self.model.metadata.text([one]) for one in ids),
            timestamps=tuple(start * self._frame_seconds for start in self._search.starts),
            words=recognized_words(self._search, self.model.metadata),
            is_final=self._decoded_all,
        )

    @property
    def is_endpoint(self) -> bool:
        """True if the utterance is over by one of the rules."""
        return is_endpoint(self._rules, self._search, self._frame_seconds)

    def reset(self) -> None:
        """Begins the next utterance, with the accepted samples that are not decoded unless the input was finished."""
        self._input.next_utterance()
        self.model.reset()
        self._search = new_search(self.model, self._beam)
        self._decoded_all = False

    def stream(self, sample_rate: int, chunks: Iterable[NDArray[np.float32]]) -> Iterator[Result]:
        """Recognizes chunks as they arrive; yields the hypothesis after each.

        The result is final where an utterance ends, by a rule or with the chunks; the next chunk begins another one.

        Args:
          sample_rate: of the chunks, in Hz.
          chunks: samples [any number] in [-1, 1].

        Raises:
          InputError: from the iterator, for chunks that cannot be used; or the error that `chunks` raised. The audio
            before it is recognized and yielded first.
        """
        failure: InputError | None = None
        try:
            for chunk in chunks:
                self.accept_waveform(sample_rate, chunk)
                self.decode()
                ended = self.is_endpoint
                yield replace(self.result, is_final=ended)
                if ended:
                    self.reset()
        except InputError as error:
            failure = error
        self.input_finished()
        self.decode()
        yield self.result
        self.reset()
        if failure is not None:
            raise failure

    def _push(self, outputs: NDArray[np.float32]) -> None:
        try:
            self._search.push(outputs)
        except ValueError as error:
            raise InputError(f"the output of {self.model.path} cannot be decoded: {error}") from error

    @property
    def _frame_seconds(self) -> float:
        return self.model.metadata.frame_seconds
