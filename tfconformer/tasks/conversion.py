"""Conversion of speech to samples of one canonical voice: speech-to-speech and a vocoder in one file."""

from __future__ import annotations

from typing import Any

import numpy as np
import tf_keras as keras

from tfconformer.config import Config
from tfconformer.data.pipeline import SpectrogramFormat
from tfconformer.decoding.spectrogram import convert
from tfconformer.decoding.vocoder import NeuralVocoder, vocode
from tfconformer.errors import InputError
from tfconformer.models.config import ModelConfig
from tfconformer.models.vocoder import vocoder, vocoder_parts
from tfconformer.tasks.forced import ForcedSteps
from tfconformer.tasks.graphs import AudioGraph, Floats, GraphCalls, StepGraph
from tfconformer.tasks.speech_to_speech import SpeechToSpeech
from tfconformer.tasks.task import Trace
from tfconformer.tasks.vocoder import vocoder_step


class Conversion(SpeechToSpeech):
    """Conversion of speech to samples of one canonical voice; its two models are trained by tasks of their own."""

    name = "conversion"

    def build(self, config: ModelConfig, mel_bins: int, vocabulary: int) -> keras.Model:
        """Builds both models as one, see `Task.build`."""
        if config.vocoder is None:
            raise InputError(f"the task {self.name} needs the section model.vocoder")
        return joined(super().build(config, mel_bins, vocabulary), vocoder(config.vocoder))

    def target_format(self, config: ModelConfig) -> SpectrogramFormat:
        """Raises an error: the models are trained apart.

        Raises:
          InputError: always.
        """
        raise InputError(f"the task {self.name} is exported, not trained: train speech_to_speech and vocoder")

    def graphs(self, exported: keras.Model) -> tuple[AudioGraph, tuple[StepGraph, ...]]:
        """Lists the encoder, and the steps of decoder and vocoder."""
        audio, steps = super().graphs(exported)
        return audio, (*steps, vocoder_step(exported))

    def describe(self, exported: keras.Model) -> dict[str, int | float | str]:
        """Returns the widths of the encoder's and the vocoder's frames for the metadata."""
        parts = vocoder_parts(exported)
        return super().describe(exported) | {"bins": parts.bins, "hop": parts.hop}

    def trace(self, graphs: GraphCalls, waveform: Floats, path: Any = None) -> Trace:
        """Traces the encoder's frames and all outputs of all steps, converted after the end, see `Task.trace`.

        The path is the number of decoder steps, and the inputs of all steps.
        """
        count, calls = path or (None, None)
        steps = ForcedSteps(graphs, calls)
        encoded = graphs.run(waveform)
        converted = convert(steps, encoded, steps=count)
        bins = graphs.zero_states("decode_step")["previous"].shape[-1]
        vocode(NeuralVocoder(steps), converted.spectrogram.reshape(-1, bins))
        values = np.concatenate([encoded.reshape(-1, 1), steps.values()])
        return Trace(values, path=(converted.steps, steps.path()))


def joined(converter: keras.Model, voice: keras.Model) -> keras.Model:
    """Returns one model with the inputs and outputs of a model of speech-to-speech and of a vocoder."""
    outputs = {**converter.output, **voice.output}
    return keras.Model([*converter.inputs, *voice.inputs], outputs, name=Conversion.name)


def joined_config(converter: Config, voice: Config) -> Config:
    """Returns the configuration of a conversion: that of a speech-to-speech training, with the vocoder of another one.

    Raises:
      InputError: a configuration is of another task, or the vocoder is not one of the decoder's spectrograms.
    """
    for config, task in ((converter, "speech_to_speech"), (voice, "vocoder")):
        if config.task != task:
            raise InputError(f"a conversion joins a run of {task} with another one, got a run of {config.task}")
    assert converter.model.parrotron is not None
    assert voice.model.vocoder is not None
    made, read = converter.model.parrotron.target, voice.model.vocoder.spectrogram
    if made != read:
        raise InputError(f"the decoder makes spectrograms of ({made}), but the vocoder reads those of ({read})")
    model = converter.model.model_copy(update={"vocoder": voice.model.vocoder})
    return converter.model_copy(update={"task": Conversion.name, "model": model})


TASK = Conversion()
