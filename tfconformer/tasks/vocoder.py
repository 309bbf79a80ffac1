"""The vocoder of one or more voices: speech from its spectrogram, the last stage of speech-to-speech conversion."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfconformer.data.pipeline import WaveformFormat, WaveformTarget
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.decoding.vocoder import LOOK_AHEAD, STEP_FRAMES, NeuralVocoder, vocode
from tfconformer.errors import InputError
from tfconformer.layers.vocoder import ScaledLogMel, VoicePitch
from tfconformer.losses.spectral import PitchLoss, SpectralLoss
from tfconformer.models.config import ModelConfig
from tfconformer.models.vocoder import PITCH, WAVEFORM, vocoder, vocoder_parts
from tfconformer.tasks.forced import ForcedSteps
from tfconformer.tasks.graphs import AudioGraph, Floats, GraphCalls, StepGraph
from tfconformer.tasks.task import DevMetric, Task, Trace

_PITCH_WEIGHT = 0.1


class Vocoder(Task):
    """Speech from its spectrogram. A file generates speech from the spectrogram of speech (copy synthesis)."""

    name = "vocoder"
    metric = "spectral_distance"

    def build(self, config: ModelConfig, mel_bins: int, vocabulary: int) -> keras.Model:
        """Builds the vocoder, see `Task.build`."""
        if config.vocoder is None:
            raise InputError(f"the task {self.name} needs the section model.vocoder")
        if config.vocoder.spectrogram.mel_bins != mel_bins:
            raise InputError(f"the task {self.name} needs features that are model.vocoder.spectrogram")
        return vocoder(config.vocoder)

    def target_format(self, config: ModelConfig) -> WaveformFormat:
        """Returns the format of waveforms with their spectrograms."""
        assert config.vocoder is not None
        return WaveformFormat(config.vocoder.spectrogram, LOOK_AHEAD)

    def adapt(self, model: keras.Model, batches: tf.data.Dataset) -> None:
        """Does nothing: the scale of spectrograms is fixed."""

    def example(
        self, model: keras.Model, inputs: tuple[tf.Tensor, tf.Tensor], labels: WaveformTarget
    ) -> tuple[tuple[tf.Tensor, ...], dict[str, tf.Tensor]]:
        """Makes the spectrogram and the measured pitch the inputs, see `Task.example`."""
        return (labels.spectrogram, labels.pitch), {WAVEFORM: labels.waveform, PITCH: labels.pitch}

    def losses(self, model: keras.Model, auxiliary_weight: float) -> dict[str, tuple[keras.losses.Loss, float]]:
        """Returns the losses of spectra and pitch."""
        return {WAVEFORM: (SpectralLoss(), 1.0), PITCH: (PitchLoss(), _PITCH_WEIGHT)}

    def exported_part(self, trained: keras.Model, streaming: bool) -> keras.Model:
        """Returns the whole model, see `Task.exported_part`."""
        return trained

    def graphs(self, exported: keras.Model) -> tuple[AudioGraph, tuple[StepGraph, ...]]:
        """Lists the spectrogram of the audio, and the vocoder's step."""
        step = vocoder_step(exported)
        features = keras.Input([None, step.inputs[0].shape[-1]], name="features")
        lengths = keras.Input([], dtype=tf.int32, name="lengths")
        spectrogram = ScaledLogMel(name="scaled_log_mel")(features)
        return AudioGraph("analyze", keras.Model([features, lengths], spectrogram), "spectrogram"), (step,)

    def describe(self, exported: keras.Model) -> dict[str, int | float | str]:
        """Returns the distance of two frames, in samples, for the metadata."""
        return {"hop": vocoder_parts(exported).hop}

    def dev_metric(self, model: keras.Model, tokenizer: Tokenizer) -> DevMetric:
        """Returns the function from a dev set to the sum of distances of spectra, and the number of utterances.

        Speech is made at the pitch that the model predicts.
        """
        predict = tf.function(lambda inputs: model(inputs, training=False), reduce_retracing=True)
        loss, voice = SpectralLoss(reduction=keras.losses.Reduction.SUM), VoicePitch()

        def score(batches: tf.data.Dataset) -> tuple[float, float]:
            distances = utterances = 0.0
            for _, target, _ in batches:
                pitch = voice(predict((target.spectrogram, target.pitch))[PITCH])
                made = predict((target.spectrogram, pitch))[WAVEFORM]
                distances += float(loss(target.waveform, made))
                utterances += len(target.waveform)
            return distances, utterances

        return score

    def trace(self, graphs: GraphCalls, waveform: Floats, path: Any = None) -> Trace:
        """Traces all outputs of the vocoder's steps on the spectrogram of the utterance, see `Task.trace`.

        The path is the inputs of all steps.
        """
        steps = ForcedSteps(graphs, path)
        spectrogram = graphs.run(waveform)
        vocode(NeuralVocoder(steps), spectrogram)
        return Trace(np.concatenate([spectrogram.reshape(-1, 1), steps.values()]), path=steps.path())


def vocoder_step(exported: keras.Model) -> StepGraph:
    """Returns the step of a model with the layers of a vocoder: frames and noise to samples."""
    parts = vocoder_parts(exported)
    names = tuple(parts.states)
    spectrogram = tf.TensorSpec([1, STEP_FRAMES, parts.bins], tf.float32, "spectrogram")
    noise = tf.TensorSpec([1, STEP_FRAMES, parts.hop], tf.float32, "noise")
    states = [tf.TensorSpec([1, *shape], tf.float32, name) for name, shape in parts.states.items()]
    samples = tf.TensorSpec([1, STEP_FRAMES * parts.hop], tf.float32, "samples")

    def synthesize(spectrogram: tf.Tensor, noise: tf.Tensor, *states: tf.Tensor) -> dict[str, tf.Tensor]:
        hops, *after = parts.step([spectrogram, noise, *states])
        return {"samples": tf.reshape(hops, samples.shape), **dict(zip(names, after, strict=True))}

    return StepGraph("vocode_step", (spectrogram, noise, *states), (samples,), names, synthesize, (parts.step,))


TASK = Vocoder()
