r"""The Conformer transducer (2005.08100): the encoder of `conformer_ctc`, an LSTM that reads labels, a joint network.

    joint_encoder -------------------------------------------------------------\
    prediction_embedding, _lstm_input, _lstm_recurrent -> joint_prediction ----- joint_head

For training it is one flat functional model, as the CTC model is and for the same reason. `transducer_parts` takes it
apart into what a search calls, and export.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import NDArray

from tfconformer.decoding.transducer import Floats
from tfconformer.layers.dense import Dense, float_layer
from tfconformer.layers.dropout import Dropout
from tfconformer.layers.transducer import JointHead, LabelHistory, OneHotLabels, Recurrence, ZeroState
from tfconformer.models.config import ModelConfig
from tfconformer.models.encoder import encoder, encoder_inputs

SCORES = "scores"  # the output that only a transducer has


def conformer_transducer(config: ModelConfig, mel_bins: int, vocabulary: int) -> keras.Model:
    """Builds the training model.

    Args:
      config: sizes and context, those of the transducer among them.
      mel_bins: width of the features.
      vocabulary: number of tokenizer pieces.

    Returns:
      A model of (features [B, T, mel_bins], lengths [B] int32, labels [B, U] int32 padded with -1) ->
      {"scores": [B, ceil(T/4), U + 1, 2]}, see `JointHead`, and with `intermediate_ctc` "intermediate", the logits of
      the auxiliary CTC head.
    """
    assert config.transducer is not None
    sizes = config.transducer
    features, lengths = encoder_inputs(mel_bins)
    labels = keras.Input([None], dtype=tf.int32, name="labels")
    x, mask, outputs = encoder(config, features, lengths, vocabulary)
    layers = {
        layer.name: layer
        for layer in (
            OneHotLabels(vocabulary, name="prediction_labels"),
            Dense(sizes.embedding, use_bias=False, name="prediction_embedding"),
            Dense(4 * sizes.lstm_units, name="prediction_lstm_input"),
            Recurrence(sizes.lstm_units, name="prediction_lstm_recurrent"),
            Dropout(config.dropout, name="prediction_dropout"),
            Dense(sizes.joint, use_bias=False, name="joint_prediction"),
        )
    }
    history = LabelHistory(name="label_history")(labels)
    state = ZeroState(sizes.lstm_units, name="prediction_start")(history)
    prediction, _ = prediction_network(layers, history, state)
    encoding = Dense(sizes.joint, name="joint_encoder")(x)
    outputs[SCORES] = JointHead(vocabulary + 1, name="joint_head")([encoding, prediction, labels, mask])
    return keras.Model([features, lengths, labels], outputs, name="conformer_transducer")


def shared_with_ctc(model: keras.Model) -> keras.Model:
    """The part of a float transducer that a CTC model of the same encoder has too, so that it can start from one."""
    shared = {name: output for name, output in model.output.items() if name != SCORES}
    return keras.Model(model.inputs[:2], {**shared, "encoder": model.get_layer("joint_encoder").input})


def is_transducer(model: keras.Model) -> bool:
    """Whether a model is one of `conformer_transducer`, quantized or not."""
    return isinstance(model.output, Mapping) and SCORES in model.output


def prediction_network(
    layers: dict[str, keras.layers.Layer], labels: tf.Tensor, state: tuple[tf.Tensor, tf.Tensor]
) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
    """The prediction network: labels [B, U] and the LSTM's state -> ([B, U, joint], the state behind them)."""
    x = layers["prediction_embedding"](layers["prediction_labels"](labels))
    x, hidden, cell = layers["prediction_lstm_recurrent"]([layers["prediction_lstm_input"](x), *state])
    return layers["joint_prediction"](layers["prediction_dropout"](x)), (hidden, cell)


@dataclass(frozen=True)
class TransducerParts:
    """What a search calls: three models, which share the weights of the one that they are parts of.

    Attributes:
      encoder: (features [B, T, mel_bins], lengths [B]) -> encodings [B, ceil(T/4), joint]. It streams.
      prediction: (labels [B, 1], hidden [B, lstm_units], cell [B, lstm_units]) -> (prediction [B, 1, joint], hidden,
        cell behind the label).
      joint: (encodings [B, joint], predictions [B, joint]) -> logits [B, vocabulary + 1].
    """

    encoder: keras.Model
    prediction: keras.Model
    joint: keras.Model

    @property
    def units(self) -> int:
        """Width of the LSTM's two states."""
        return int(self.prediction.inputs[1].shape[-1])


def transducer_parts(model: keras.Model) -> TransducerParts:
    """The parts of a model of `conformer_transducer`, quantized or not."""
    layers = {float_layer(layer).name: layer for layer in model.layers}
    units, joint = (float_layer(layers[name]).units for name in ("prediction_start", "joint_encoder"))
    labels = keras.Input([1], dtype=tf.int32, name="labels")
    state = keras.Input([units], name="hidden"), keras.Input([units], name="cell")
    prediction, new_state = prediction_network(layers, labels, state)
    pair = [keras.Input([joint], name="encoding"), keras.Input([joint], name="prediction")]
    return TransducerParts(
        encoder=keras.Model(model.inputs[:2], layers["joint_encoder"].output, name="encoder"),
        prediction=keras.Model([labels, *state], [prediction, *new_state], name="prediction"),
        joint=keras.Model(pair, layers["joint_head"](pair), name="joint"),
    )


class Transducer:
    """A model of `conformer_transducer`, quantized or not, as a search uses it; its weights are shared, not copied.

    Attributes:
      encoder: as of `TransducerParts`.
    """

    def __init__(self, model: keras.Model):
        parts = transducer_parts(model)
        self.encoder = parts.encoder
        self._units = parts.units
        self._encode, self._joint = (tf.function(part, reduce_retracing=True) for part in (parts.encoder, parts.joint))
        self._prediction = parts.prediction
        self._predict = tf.function(self._predict_one, reduce_retracing=True)

    def encode(self, features: Floats, lengths: NDArray[np.int32]) -> Floats:
        """Encodings [B, ceil(T/4), joint] of features [B, T, mel_bins]."""
        return self._encode([features, lengths]).numpy()

    def start(self, count: int) -> Floats:
        """As `decoding.transducer.Network.start`."""
        return np.zeros([count, 2, self._units], np.float32)

    def predict(self, labels: NDArray[np.int32], state: Floats) -> tuple[Floats, Floats]:
        """As `decoding.transducer.Network.predict`."""
        prediction, after = self._predict(labels, state)
        return prediction.numpy(), after.numpy()

    def join(self, encodings: Floats, predictions: Floats) -> Floats:
        """As `decoding.transducer.Network.join`."""
        return self._joint([encodings, predictions]).numpy()

    def _predict_one(self, labels: tf.Tensor, state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        prediction, *after = self._prediction([labels[:, tf.newaxis], *tf.unstack(state, axis=1)])
        return prediction[:, 0], tf.stack(after, axis=1)
