"""Stage 1 of the export of a transducer: its prediction and joint network become graphs beside that of the encoder.

Both take one step of one hypothesis: shapes are static, and the state goes in and out.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from converters.placeholders import with_placeholders
from converters.stream_description import LOGITS
from converters.transducer_description import (
    ENCODING,
    JOIN,
    LABEL,
    PREDICT,
    PREDICTION,
    STATE,
    TransducerDescription,
)
from tfconformer.models.conformer_transducer import TransducerParts


@dataclass(frozen=True)
class FrozenDecoder:
    """The decoder as functions that can be converted.

    Attributes:
      functions: by signature.
      variables: what they read.
    """

    functions: dict[str, Any]
    variables: list[tf.Variable]


def describe_decoder(parts: TransducerParts) -> TransducerDescription:
    """How the signatures of an exported transducer are used."""
    joint = parts.joint
    return TransducerDescription(
        vocabulary=int(joint.output.shape[-1]) - 1,
        joint=int(joint.inputs[0].shape[-1]),
        state=(1, 2, parts.units),
    )


def freeze_decoder(parts: TransducerParts, placeholders: Collection[str] = ()) -> FrozenDecoder:
    """Prepares the prediction and the joint network of a float model for `freeze.convert`.

    Args:
      parts: of the model.
      placeholders: names of the dense layers that become placeholders.
    """
    prediction, joint = (with_placeholders(part, placeholders) for part in (parts.prediction, parts.joint))
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

    return FrozenDecoder({PREDICT: predict, JOIN: join}, [*prediction.variables, *joint.variables])
