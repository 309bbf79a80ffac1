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

The encoder runs while one speaks, decoder and vocoder after the end of the utterance; with a lag they run while one
speaks too, and there is speech to read before the end. Memory is bounded by the longest utterance, which the endpoint
rules end. A converter holds one stream.
"""

from __future__ import annotations

import math
import os

import numpy as np
from numpy.typing import NDArray

from converters.flatbuffer.metadata import ModelMetadata
from converters.runtime.conversion import CONVERSION
from converters.runtime.stream_model import open_stream
from converters.streaming.endpoint import EndpointRule, endpoint_rules, is_endpoint
from converters.streaming.waveform_input import WaveformInput
from tfconformer.decoding.ctc import StreamingCTCDecoder
from tfconformer.decoding.onset import SpokenFrames
from tfconformer.decoding.spectrogram import AFTER_THE_END, Pace, SpectrogramDecoder
from tfconformer.decoding.vocoder import NeuralVocoder, Vocoder
from tfconformer.errors import InputError

# A decoder that does not stop by itself is cut off after so many steps for every frame of the encoder.
_LONGEST_RATIO = 2

Samples = NDArray[np.float32]


class OnlineConverter:
    """Converts one stream of audio, utterance by utterance. Not for use from several threads at once.

    Attributes:
      model: the streaming file in its runtime.
      sample_rate: of the converted speech, in Hz.
      pace: the pace of the decoder.
      stopped: True once the decoder has ended the utterance by itself.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        runtime: str = "ai-edge-litert",
        threads: int = 1,
        rules: tuple[EndpointRule, ...] | None = None,
        seed: int = 0,
        lag: float | None = None,
    ) -> None:
        """Opens a file of `tfconformer export --streaming --vocoder RUN`.

        Args:
          path: the file.
          runtime: one of `converters.runtime.model.RUNTIMES`.
          threads: number of threads of the runtime.
          rules: an utterance is over when one of them holds; None takes the defaults of `endpoint_rules`.
          seed: seed of the noise in every utterance.
          lag: seconds by which the decoder begins behind the speaker, from shortly before the first word; one that the
            model was trained for (`model.parrotron.training_lags`). None converts after the end of the utterance.

        Raises:
          InputError: the file cannot be opened (see `open_stream`), or is one of another task, or the lag is not
            positive and finite.
        """
        self.model = open_stream(path, runtime, threads)
        metadata = self.model.metadata
        if metadata.task.name != CONVERSION:
            raise InputError(
                f"{path}: its task is {metadata.task.name}; speech is converted by files of `tfconformer export "
                "--streaming --vocoder RUN`"
            )
        metadata.text([])  # raises the error of a file without a tokenizer
        description = self.model.description
        self.sample_rate = description.sample_rate
        self._memory = metadata.task.setting("memory")
        self._bins = metadata.task.setting("bins")
        self.pace = AFTER_THE_END if lag is None else _pace(metadata, lag)
        self._rules = endpoint_rules() if rules is None else rules
        self._seed = seed
        self._input = WaveformInput(description.sample_rate, description.step_samples, "converter")
        self._begin()

    def _begin(self) -> None:
        self._decoder = SpectrogramDecoder(self.model, self.pace)
        self._vocoder: Vocoder = NeuralVocoder(self.model, self._seed)
        self._search = StreamingCTCDecoder()
        self._spoken = SpokenFrames()
        self._audio: list[Samples] = []
        self._steps = 0
        self._encoded = self._converted = self.stopped = False

    def accept_waveform(self, sample_rate: int, samples: Samples) -> None:
        """Appends the next samples, see `WaveformInput.accept`."""
        self._input.accept(sample_rate, samples)

    def input_finished(self) -> None:
        """Ends the utterance: `convert` then makes its speech, and `reset` begins the next one."""
        self._input.finish()

    def convert(self) -> None:
        """Encodes the accepted audio and makes the speech that is due; all of it once the input is finished."""
        while self.advance():
            pass

    def advance(self) -> bool:
        """Computes one step of encoder or decoder, after which there may be audio to read.

        Returns:
          False if there is nothing to compute until more audio arrives or the input is finished.

        Raises:
          InputError: the model computes values that are not finite.
        """
        if self._decode():
            return True
        if self._input.has_step:
            self._encode(self.model.step(self._input.step()))
        elif not self._input.finished or self._converted:
            return False
        elif not self._encoded:
            self._encode(self.model.finish(self._input.rest()))
            self._decoder.complete()
            self._encoded = True
        else:
            self._audio.append(self._vocoder.finish())
            self._converted = True
        return True

    def read_audio(self) -> Samples:
        """Takes out the converted speech [samples] in [-1, 1] that was not read yet."""
        audio = np.concatenate([np.zeros(0, np.float32), *self._audio])
        self._audio = []
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
        return self._converted and self._decoder.received > 0 and not self.stopped

    def reset(self) -> None:
        """Begins the next utterance, with the accepted samples that are not encoded unless the input was finished."""
        self._input.next_utterance()
        self.model.reset()
        self._begin()

    def _encode(self, encoded: Samples) -> None:
        self._require_finite(encoded)
        self._search.push(encoded[:, self._memory :])
        self._decoder.extend(self._spoken.push(encoded, self._search))

    def _decode(self) -> bool:
        """Computes a step of decoder and vocoder if one is due."""
        received = self._decoder.received
        if self.stopped or not received or (self._encoded and self._steps >= _LONGEST_RATIO * received):
            return False
        step = self._decoder.step()
        if step is None:
            return False
        self._require_finite(step.frames)
        self._audio.append(self._vocoder.push(step.frames.reshape(-1, self._bins)))
        self._steps += 1
        self.stopped = self._encoded and step.read == received and step.stop > 0
        return True

    def _require_finite(self, values: Samples) -> None:
        if not np.isfinite(values).all():
            raise InputError(f"{self.model.path}: it computes values that are not finite")


def _pace(metadata: ModelMetadata, lag: float) -> Pace:
    """Returns the pace of a decoder that begins so many seconds behind the speaker."""
    if not (math.isfinite(lag) and lag > 0):
        raise InputError(f"the lag should be a positive number of seconds, got {lag}")
    (decode,) = (graph for graph in metadata.graphs if graph.signature == "decode_step")
    count = decode.output.shape[-1] // metadata.task.setting("bins")
    seconds = count * metadata.task.setting("hop") / metadata.features.sample_rate
    return Pace(lag / metadata.frame_seconds, seconds / metadata.frame_seconds)
