"""Stage 1 of export: the parts of a model that become graphs of a file.

That is its encoder, and of a transducer the prediction and the joint network too. These take one step of one
hypothesis: shapes are static, and the state goes in and out.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf
import tf_keras as keras

from converters.exporter.placeholders import with_placeholders
from converters.flatbuffer.stream_description import ENCODED, LOGITS
from converters.flatbuffer.transducer_description import (
    ENCODING,
    JOIN,
    LABEL,
    PREDICT,
    PREDICTION,
    STATE,
    TransducerDescription,
)
from tfconformer.models.transducer import TransducerParts, is_transducer, transducer_parts


@dataclass(frozen=True)
class FrozenParts:
    """A float model, ready to be converted.

    Attributes:
      encoder: (features [1, T, mel_bins], lengths [1]) -> `output`.
      output: "logits", or "encoded" if there is a decoder that makes logits of it.
      decoder: functions of a transducer's decoder by signature; empty if the model is one of CTC.
      decoder_variables: that they read.
    """

    encoder: keras.Model
    output: str
    decoder: dict[str, Any] = field(default_factory=dict)
    decoder_variables: tuple[tf.Variable, ...] = ()

    @property
    def variables(self) -> list[tf.Variable]:
        """All that is read."""
        return [*self.encoder.variables, *self.decoder_variables]


def describe_decoder(parts: TransducerParts) -> TransducerDescription:
    """How the signatures of an exported transducer are used."""
    joint = parts.joint
    return TransducerDescription(
        vocabulary=int(joint.output.shape[-1]) - 1,
        joint=int(joint.inputs[0].shape[-1]),
        state=(1, 2, parts.units),
    )


def freeze_parts(model: keras.Model, placeholders: Collection[str] = (), random: bool = False) -> FrozenParts:
    """Takes a model of `freeze.inference_model` or `freeze.single_head_model` apart.

    Args:
      model: quantized or not.
      placeholders: names of the dense layers that become placeholders.
      random: as of `freeze.freeze`.
    """
    model = with_placeholders(model, placeholders, random)
    if not is_transducer(model):
        return FrozenParts(model, LOGITS)
    parts = transducer_parts(model)
    encoder, prediction, joint = parts.encoder, parts.prediction, parts.joint
    sizes = describe_decoder(parts)
    label_and_state = [tf.TensorSpec([1], tf.int32, LABEL), tf.TensorSpec(sizes.state, tf.float32, STATE)]
    pair = [tf.TensorSpec([1, sizes.joint], tf.float32, name) for name in (ENCODING, PREDICTION)]

    @tf.function(input_signature=label_and_state)
    def predict(label: tf.Tensor, state: tf.Tensor) -> dict[str, tf.Tensor]:
        predicted, *after = prediction([label[:, tf.newaxis], *tf.unstack(state, axis=1)])
        return {PREDICTION: tf.reshape(predicted, [1, sizes.joint]), STATE: tf.stack(after, axis=1)}

    @tf.function(input_signature=pair)
    def join(encoding: tf.Tensor, prediction: tf.Tensor) -> dict[str, tf.Tensor]:
        return {LOGITS: joint([encoding, prediction])}

    variables = (*prediction.variables, *joint.variables)
    return FrozenParts(encoder, ENCODED, {PREDICT: predict, JOIN: join}, variables)
