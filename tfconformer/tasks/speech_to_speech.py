"""Conversion of speech to one canonical voice (Parrotron, 1904.04169; streaming, 2210.13761)."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from tfconformer.data.pipeline import SpeechTarget, TargetFormat
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.errors import InputError
from tfconformer.losses.ctc import CTCLoss
from tfconformer.losses.spectrogram import SpectrogramLoss, StopLoss
from tfconformer.models.config import ModelConfig
from tfconformer.models.parrotron import LOGITS, REFINED, SPECTROGRAM, STOP, parrotron
from tfconformer.tasks.task import DevMetric, Task

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

    def target_format(self, config: ModelConfig) -> TargetFormat | None:
        """Returns the format of the canonical voice's spectrograms."""
        assert config.parrotron is not None
        return TargetFormat(config.parrotron.target, config.parrotron.frames_per_step)

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
        targets |= dict.fromkeys((LOGITS, "intermediate"), labels.labels)
        used = self.losses(model, 0.0)
        return (*inputs, labels.spectrogram), {name: target for name, target in targets.items() if name in used}

    def losses(self, model: keras.Model, auxiliary_weight: float) -> dict[str, tuple[keras.losses.Loss, float]]:
        """Returns the losses of spectrograms and stop, and of the CTC heads with the auxiliary weight."""
        losses: dict[str, tuple[keras.losses.Loss, float]] = {
            SPECTROGRAM: (SpectrogramLoss(0.0 if REFINED in model.output else _SQUARED_WEIGHT), 1.0),
            STOP: (StopLoss(), _STOP_WEIGHT),
        }
        if REFINED in model.output:
            losses[REFINED] = (SpectrogramLoss(_SQUARED_WEIGHT), 1.0)
        for head in (LOGITS, "intermediate"):
            if head in model.output:
                losses[head] = (CTCLoss(name=f"{head}_loss"), auxiliary_weight)
        return losses

    def initializable_part(self, model: keras.Model, source: Task) -> keras.Model:
        """Returns the encoder with its CTC heads for a recognition model, all for a model of this task."""
        if source.name == self.name:
            return model
        heads = {name: model.output[name] for name in (LOGITS, "intermediate") if name in model.output}
        return keras.Model(model.inputs[:2], heads)

    def dev_metric(self, model: keras.Model, tokenizer: Tokenizer) -> DevMetric:
        """Returns the function from a dev set to the sum of absolute errors with teacher forcing, and its divisor."""
        output = REFINED if REFINED in model.output else SPECTROGRAM
        predict = tf.function(lambda inputs: model(inputs, training=False)[output], reduce_retracing=True)

        def score(batches: tf.data.Dataset) -> tuple[float, float]:
            errors = values = 0.0
            for inputs, target, _ in batches:
                difference = tf.abs(predict((*inputs, target.spectrogram)) - target.spectrogram)
                valid = tf.sequence_mask(target.steps, tf.shape(difference)[1], tf.float32)
                errors += float(tf.reduce_sum(tf.reduce_mean(difference, axis=-1) * valid))
                values += float(tf.reduce_sum(valid))
            return errors, values

        return score

    def exported_part(self, trained: keras.Model, streaming: bool) -> keras.Model:
        raise NotImplementedError

    def graphs(self, exported: keras.Model):
        raise NotImplementedError

    def describe(self, exported: keras.Model) -> dict[str, int | float | str]:
        raise NotImplementedError


TASK = SpeechToSpeech()
