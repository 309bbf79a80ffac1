"""Live conversion to one canonical voice with a streaming `.tflite`, with the interface of the recognizer.

    converter = OnlineConverter("conversion.tflite")
    for samples in microphone:
        converter.accept_waveform(48000, samples)
        converter.convert()
        if converter.is_endpoint:
            converter.input_finished()          # the sentence is over: convert it
            converter.convert()
            speaker.play(converter.sample_rate, converter.read_audio())
            converter.reset()                   # the next sentence
    converter.input_finished()
    converter.convert()
    speaker.play(converter.sample_rate, converter.read_audio())

The encoder runs while one speaks, decoder and vocoder after the end of the utterance. Memory is bounded by the longest
utterance, which the endpoint rules end. A converter holds one stream.
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from converters.runtime.stream_model import open_stream
from converters.streaming.endpoint import EndpointRule, endpoint_rules, is_endpoint
from converters.streaming.waveform_input import WaveformInput
from tfconformer.decoding.ctc import StreamingCTCDecoder
from tfconformer.decoding.spectrogram import SpectrogramDecoder
from tfconformer.decoding.vocoder import NeuralVocoder, Vocoder
from tfconformer.errors import InputError

_TASK = "conversion"
# A decoder that does not stop by itself is cut off after so many steps for every frame of the encoder.
_LONGEST_RATIO = 2

Samples = NDArray[np.float32]


class OnlineConverter:
    """Converts one stream of audio, utterance by utterance. Not for use from several threads at once.

    Attributes:
      model: the streaming file in its runtime.
      sample_rate: of the converted speech, in Hz.
      stopped: True once the decoder has ended the utterance by itself.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        runtime: str = "ai-edge-litert",
        threads: int = 1,
        rules: tuple[EndpointRule, ...] | None = None,
        seed: int = 0,
    ) -> None:
        """Opens a file of `tfconformer export --streaming --vocoder RUN`.

        Args:
          path: the file.
          runtime: one of `converters.runtime.model.RUNTIMES`.
          threads: number of threads of the runtime.
          rules: an utterance is over when one of them holds; None takes the defaults of `endpoint_rules`.
          seed: seed of the noise in every utterance.

        Raises:
          InputError: the file cannot be opened (see `open_stream`), or is one of another task.
        """
        self.model = open_stream(path, runtime, threads)
        metadata = self.model.metadata
        if metadata.task.name != _TASK:
            raise InputError(
                f"{path}: its task is {metadata.task.name}; speech is converted by files of `tfconformer export "
                "--streaming --vocoder RUN`"
            )
        metadata.text([])  # raises the error of a file without a tokenizer
        description = self.model.description
        self.sample_rate = description.sample_rate
        self._memory = metadata.task.setting("memory")
        self._bins = metadata.task.setting("bins")
        self._rules = endpoint_rules() if rules is None else rules
        self._seed = seed
        self._input = WaveformInput(description.sample_rate, description.step_samples, "converter")
        self._audio: list[Samples] = []
        self._limit: int | None = None  # of decoder steps; None while the source is encoded
        self._converted = False
        self._begin()

    def accept_waveform(self, sample_rate: int, samples: Samples) -> None:
        """Appends the next samples, see `WaveformInput.accept`."""
        self._input.accept(sample_rate, samples)

    def input_finished(self) -> None:
        """Ends the utterance: `convert` then makes its speech, and `reset` begins the next one."""
        self._input.finish()

    def convert(self) -> None:
        """Encodes the accepted audio, and once the input is finished, makes the converted speech."""
        while self.advance():
            pass

    def advance(self) -> bool:
        """Computes one step of encoder or decoder, after which there may be audio to read.

        Returns:
          False if there is nothing to compute until more audio arrives or the input is finished.

        Raises:
          InputError: the model computes values that are not finite.
        """
        if self._input.has_step:
            self._encode(self.model.step(self._input.step()))
        elif not self._input.finished or self._converted:
            return False
        elif self._limit is None:
            self._encode(self.model.finish(self._input.rest()))
            # Nothing was said where no word is recognized, and a decoder of noise would babble.
            self._limit = _LONGEST_RATIO * self._search.frames if self._search.ids else 0
        elif self.stopped or not self._limit:
            self._audio.append(self._vocoder.finish())
            self._converted = True
        else:
            self._decode()
            self._limit -= 1
        return True

    def read_audio(self) -> Samples:
        """Takes out the converted speech [samples] in [-1, 1] that was not read yet."""
        audio, self._audio = np.concatenate([np.zeros(0, np.float32), *self._audio]), []
        return audio

    @property
    def text(self) -> str:
        """The words of the source, recognized so far in this utterance."""
        return self.model.metadata.text(self._search.ids)

    @property
    def is_endpoint(self) -> bool:
        """True if the utterance is over by one of the rules."""
        return is_endpoint(self._rules, self._search, self.model.metadata.frame_seconds)

    @property
    def was_cut_off(self) -> bool:
        """True if the utterance was ended after as many steps as its length allows, since the decoder did not stop."""
        return self._converted and bool(self._search.ids) and not self.stopped

    def reset(self) -> None:
        """Begins the next utterance, with the accepted samples that are not encoded unless the input was finished."""
        self._input.next_utterance()
        self.model.reset()
        self._begin()

    def _begin(self) -> None:
        self._decoder = SpectrogramDecoder(self.model)
        self._vocoder: Vocoder = NeuralVocoder(self.model, self._seed)
        self._search = StreamingCTCDecoder()
        self._audio = []
        self._limit = None
        self._converted = self.stopped = False

    def _encode(self, encoded: Samples) -> None:
        self._require_finite(encoded)
        self._decoder.extend(encoded)
        self._search.push(encoded[:, self._memory :])

    def _decode(self) -> None:
        step = next(self._decoder.steps())
        self._require_finite(step.frames)
        self._audio.append(self._vocoder.push(step.frames.reshape(-1, self._bins)))
        self.stopped = step.stop > 0

    def _require_finite(self, values: Samples) -> None:
        if not np.isfinite(values).all():
            raise InputError(f"{self.model.path}: it computes values that are not finite")
