r"""The Conformer transducer (2005.08100): the encoder of `conformer_ctc`, an LSTM that reads labels, a joint network.

    joint_encoder -------------------------------------------------------------\
    prediction_embedding, _lstm_input, _lstm_recurrent -> joint_prediction ----- joint_head

For training it is one flat functional model, as the CTC model is and for the same reason. `transducer_parts` takes it
apart into the models that a search calls and export freezes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import NDArray

from tfconformer.layers.dense import Dense, float_layer
from tfconformer.layers.dropout import Dropout
from tfconformer.layers.recurrence import Recurrence, ZeroState
from tfconformer.layers.transducer import (
    JointHead,
    LabelHistory,
    OneHotLabels,
    TransducerLattice,
)
from tfconformer.models.config import ModelConfig
from tfconformer.models.encoder import encoder, encoder_inputs

SCORES = "scores"  # the output that only a transducer has

Floats = NDArray[np.float32]


def conformer_transducer(config: ModelConfig, mel_bins: int, vocabulary: int) -> keras.Model:
    """Builds the training model.

    Args:
      config: sizes and context, those of the transducer among them.
      mel_bins: width of the features.
      vocabulary: number of the tokenizer's tokens.

    Returns:
      A model of (features [B, T, mel_bins], lengths [B] int32, labels [B, U] int32 padded with -1) ->
      {"scores": [B, ceil(T/4), U + 1, 2]}, see `TransducerLattice`, and with `intermediate_ctc` "intermediate", the
      logits of the auxiliary CTC head.
    """
    assert config.transducer is not None
    sizes = config.transducer
    features, lengths = encoder_inputs(mel_bins)
    labels = keras.Input([None], dtype=tf.int32, name="labels")
    encoded = encoder(config, features, lengths, vocabulary)
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
    state = ZeroState((sizes.lstm_units,) * 2, name="prediction_start")(history)
    prediction, _ = prediction_network(layers, history, state)
    encoding = Dense(sizes.joint, name="joint_encoder")(encoded.blocks[-1])
    lattice = TransducerLattice(vocabulary + 1, name="joint_head")
    outputs = {**encoded.heads, SCORES: lattice([encoding, prediction, labels, encoded.mask])}
    return keras.Model([features, lengths, labels], outputs, name="conformer_transducer")


def shared_with_ctc(model: keras.Model) -> keras.Model:
    """Returns the part of a float transducer that a CTC model of the same encoder has too, to copy weights into."""
    shared = {name: output for name, output in model.output.items() if name != SCORES}
    return keras.Model(model.inputs[:2], {**shared, "encoder": model.get_layer("joint_encoder").input})


def prediction_network(
    layers: dict[str, keras.layers.Layer], labels: tf.Tensor, state: tuple[tf.Tensor, tf.Tensor]
) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
    """Applies the prediction network: labels [B, U] and the LSTM's state -> ([B, U, joint], the state after them)."""
    x = layers["prediction_embedding"](layers["prediction_labels"](labels))
    x, hidden, cell = layers["prediction_lstm_recurrent"]([layers["prediction_lstm_input"](x), *state])
    return layers["joint_prediction"](layers["prediction_dropout"](x)), (hidden, cell)


@dataclass(frozen=True)
class TransducerParts:
    """The models that a search calls, which share the weights of the transducer that they are parts of.

    Attributes:
      encoder: (features [B, T, mel_bins], lengths [B]) -> encodings [B, ceil(T/4), joint]. It streams.
      prediction: (labels [B, 1], hidden [B, lstm_units], cell [B, lstm_units]) -> (prediction [B, 1, joint], hidden,
        cell after the label).
      joint: (encodings [B, joint], predictions [B, joint]) -> logits [B, vocabulary + 1].
    """

    encoder: keras.Model
    prediction: keras.Model
    joint: keras.Model

    @property
    def units(self) -> int:
        """The width of the LSTM's two states."""
        return int(self.prediction.inputs[1].shape[-1])


def transducer_parts(model: keras.Model) -> TransducerParts:
    """Takes a model of `conformer_transducer`, quantized or not, apart."""
    layers = {float_layer(layer).name: layer for layer in model.layers}
    units, joint = layers["prediction_start"].widths[0], float_layer(layers["joint_encoder"]).units
    labels = keras.Input([1], dtype=tf.int32, name="labels")
    state = keras.Input([units], name="hidden"), keras.Input([units], name="cell")
    prediction, new_state = prediction_network(layers, labels, state)
    pair = [keras.Input([joint], name="encoding"), keras.Input([joint], name="prediction")]
    return TransducerParts(
        encoder=keras.Model(model.inputs[:2], layers["joint_encoder"].output, name="encoder"),
        prediction=keras.Model([labels, *state], [prediction, *new_state], name="prediction"),
        joint=keras.Model(pair, JointHead(layers["joint_head"])(pair), name="joint"),
    )


class Transducer:
    """The network of a search (`decoding.transducer.Network`), made of a Keras model whose weights it shares.

    Args:
      model: a model of `conformer_transducer`, quantized or not.

    Attributes:
      encoder: see `TransducerParts`.
    """

    def __init__(self, model: keras.Model):
        parts = transducer_parts(model)
        self.encoder = parts.encoder
        self._units = parts.units
        self._encode, self._joint = (tf.function(part, reduce_retracing=True) for part in (parts.encoder, parts.joint))
        self._prediction = parts.prediction
        self._predict = tf.function(self._predict_one, reduce_retracing=True)

    def encode(self, features: Floats, lengths: NDArray[np.int32]) -> Floats:
        """Encodes features [B, T, mel_bins] -> [B, ceil(T/4), joint]."""
        return self._encode([features, lengths]).numpy()

    def start(self, count: int) -> Floats:
        """Returns the states [count, 2, units] of the LSTM before the first label."""
        return np.zeros([count, 2, self._units], np.float32)

    def predict(self, labels: NDArray[np.int32], state: Floats) -> tuple[Floats, Floats]:
        """Takes labels [n] and states [n, 2, units]; returns (predictions [n, joint], states after the labels)."""
        prediction, after = self._predict(labels, state)
        return prediction.numpy(), after.numpy()

    def join(self, encodings: Floats, predictions: Floats) -> Floats:
        """Joins encodings and predictions, [n, joint] each -> logits [n, vocabulary + 1]."""
        return self._joint([encodings, predictions]).numpy()

    def _predict_one(self, labels: tf.Tensor, state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        prediction, *after = self._prediction([labels[:, tf.newaxis], *tf.unstack(state, axis=1)])
        return prediction[:, 0], tf.stack(after, axis=1)
