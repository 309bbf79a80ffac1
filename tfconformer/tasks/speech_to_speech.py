"""Conversion of speech to one canonical voice (Parrotron, 1904.04169; streaming, 2210.13761)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from tfconformer.data.pipeline import SpectrogramFormat, SpeechTarget
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.decoding.spectrogram import MEMORY_FRAMES, convert
from tfconformer.errors import InputError
from tfconformer.features.config import FeatureConfig
from tfconformer.losses.ctc import CTCLoss
from tfconformer.losses.spectrogram import SpectrogramLoss, StopLoss
from tfconformer.models.config import ModelConfig
from tfconformer.models.parrotron import LOGITS, REFINED, SPECTROGRAM, STOP, parrotron, parrotron_parts
from tfconformer.tasks.graphs import AudioGraph, Floats, GraphCalls, StepGraph
from tfconformer.tasks.inspection import ConversionInspector
from tfconformer.tasks.recognition_ctc import INTERMEDIATE
from tfconformer.tasks.task import DevMetric, Inspector, Task, Trace

_STOP_WEIGHT = 0.1
_SQUARED_WEIGHT = 0.5


class SpeechToSpeech(Task):
    """Conversion of speech to one canonical voice."""

    name = "speech_to_speech"
    metric = "mel_l1"

    def build(self, config: ModelConfig, mel_bins: int, vocabulary: int) -> keras.Model:
        """Builds encoder, CTC head and spectrogram decoder, see `Task.build`."""
        if config.parrotron is None:
            raise InputError(f"the task {self.name} needs the section model.parrotron")
        return parrotron(config, mel_bins, vocabulary)

    def target_format(self, config: ModelConfig) -> SpectrogramFormat:
        """Returns the format of the canonical voice's spectrograms."""
        assert config.parrotron is not None
        settings = config.parrotron
        return SpectrogramFormat(settings.target, settings.frames_per_step, settings.source_duration)

    def example(
        self, model: keras.Model, inputs: tuple[tf.Tensor, tf.Tensor], labels: SpeechTarget
    ) -> tuple[tuple[tf.Tensor, ...], dict[str, tf.Tensor]]:
        """Makes the target an input as well (teacher forcing), see `Task.example`."""
        index = tf.range(tf.shape(labels.spectrogram)[1])
        ended = tf.cast(index >= labels.steps[:, tf.newaxis] - 1, tf.float32)
        # The step after the end counts: it teaches silence, and that the end lasts.
        weight = tf.cast(index <= labels.steps[:, tf.newaxis], tf.float32)
        spectrogram = tf.concat([labels.spectrogram, weight[..., tf.newaxis]], axis=-1)
        targets = dict.fromkeys((SPECTROGRAM, REFINED), spectrogram)
        targets[STOP] = tf.stack([ended, weight], axis=-1)
        targets |= dict.fromkeys(_heads(model), labels.labels)
        return (*inputs, labels.spectrogram), targets

    def losses(self, model: keras.Model, auxiliary_weight: float) -> dict[str, tuple[keras.losses.Loss, float]]:
        """Returns the losses of spectrograms and stop, and of the CTC heads with the auxiliary weight."""
        losses: dict[str, tuple[keras.losses.Loss, float]] = {
            SPECTROGRAM: (SpectrogramLoss(), 1.0),
            REFINED: (SpectrogramLoss(_SQUARED_WEIGHT), 1.0),
            STOP: (StopLoss(), _STOP_WEIGHT),
        }
        return losses | {head: (CTCLoss(name=f"{head}_loss"), auxiliary_weight) for head in _heads(model)}

    def initializable_part(self, model: keras.Model, source: Task) -> keras.Model:
        """Returns the encoder with its CTC heads for a recognition model, all for a model of this task."""
        if source.name == self.name:
            return model
        return keras.Model(model.inputs[:2], {head: model.output[head] for head in _heads(model)})

    def dev_metric(self, model: keras.Model, tokenizer: Tokenizer) -> DevMetric:
        """Returns the function from a dev set to the sum of absolute errors with teacher forcing, and its divisor."""
        predict = tf.function(lambda inputs: model(inputs, training=False)[REFINED], reduce_retracing=True)

        def score(batches: tf.data.Dataset) -> tuple[float, float]:
            errors = values = 0.0
            for inputs, target, _ in batches:
                difference = tf.abs(predict((*inputs, target.spectrogram)) - target.spectrogram)
                valid = tf.sequence_mask(target.steps, tf.shape(difference)[1], tf.float32)
                errors += float(tf.reduce_sum(tf.reduce_mean(difference, axis=-1) * valid))
                values += float(tf.reduce_sum(valid))
            return errors, values

        return score

    def inspector(self, model: keras.Model, features: FeatureConfig) -> Inspector:
        """Returns the function that converts some utterances freely and draws their attention, see `Task.inspector`."""
        exported = self.exported_part(model, streaming=False)
        return ConversionInspector(model, self.graphs(exported), features, parrotron_parts(exported).bins)

    def exported_part(self, trained: keras.Model, streaming: bool) -> keras.Model:
        """Returns the model without its intermediate CTC head, see `Task.exported_part`."""
        outputs = {name: output for name, output in trained.output.items() if name != INTERMEDIATE}
        return keras.Model(trained.inputs, outputs, name=trained.name)

    def graphs(self, exported: keras.Model) -> tuple[AudioGraph, tuple[StepGraph, ...]]:
        """Lists the encoder, whose frames are those that attention reads beside CTC logits, and the decoder's step."""
        parts = parrotron_parts(exported)
        names = tuple(parts.states)
        memory = tf.TensorSpec([1, MEMORY_FRAMES, parts.memory], tf.float32, "memory")
        mask = tf.TensorSpec([1, MEMORY_FRAMES, 1], tf.float32, "mask")
        previous = tf.TensorSpec([1, parts.bins], tf.float32, "previous")
        states = [
            tf.TensorSpec([1, *(MEMORY_FRAMES if size is None else size for size in shape)], tf.float32, name)
            for name, shape in parts.states.items()
        ]
        width = int(parts.step.output[0].shape[-1])
        outputs = (
            tf.TensorSpec([1, width], tf.float32, "frames"),
            tf.TensorSpec([1, 1], tf.float32, "stop"),
            tf.TensorSpec([1, MEMORY_FRAMES], tf.float32, "attention"),
        )

        def decode(memory: tf.Tensor, mask: tf.Tensor, previous: tf.Tensor, *states: tf.Tensor) -> dict[str, tf.Tensor]:
            frames, stop, attention, last, *after = parts.step([previous, memory, mask, *states])
            results = {"frames": frames, "stop": stop, "attention": attention, "previous": last}
            return results | dict(zip(names, after, strict=True))

        step = StepGraph(
            "decode_step", (memory, mask, previous, *states), outputs, ("previous", *names), decode, (parts.step,)
        )
        return AudioGraph("encode", parts.encoder, "encoded"), (step,)

    def describe(self, exported: keras.Model) -> dict[str, int | float | str]:
        """Returns the widths of the encoder's frames for the metadata."""
        parts = parrotron_parts(exported)
        return {"vocabulary": int(parts.encoder.output.shape[-1]) - parts.memory - 1, "memory": parts.memory}

    def trace(self, graphs: GraphCalls, waveform: Floats, path: Any = None) -> Trace:
        """Traces the spectrogram [frames, bins] of the utterance, converted after its end, see `Task.trace`.

        The path is the number of decoder steps.
        """
        converted = convert(graphs, graphs.run(waveform), steps=path)
        return Trace(converted.spectrogram, path=converted.steps)


def _heads(model: keras.Model) -> list[str]:
    """Returns the names of the outputs that are CTC heads."""
    return [name for name in (LOGITS, INTERMEDIATE) if name in model.output]


TASK = SpeechToSpeech()
