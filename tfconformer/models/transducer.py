r"""The Conformer transducer (2005.08100): the encoder of `conformer_ctc`, LSTMs that read labels, a joint network.

    joint_encoder -------------------------------------------------------------\
    prediction_embedding, _lstm_input, _lstm_recurrent -> joint_prediction ----- joint_head

For training it is one flat functional model, as the CTC model is and for the same reason. `transducer_parts` takes it
apart into the models that a search calls and export freezes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from tfconformer.models.config import ModelConfig, TransducerConfig
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
      {"scores": [B, ceil(T/4), U + 1, steps]}, see `TransducerLattice`, and with `intermediate_ctc` "intermediate", the
      logits of the auxiliary CTC head.
    """
    assert config.transducer is not None
    sizes = config.transducer
    features, lengths = encoder_inputs(mel_bins)
    labels = keras.Input([None], dtype=tf.int32, name="labels")
    encoded = encoder(config, features, lengths, vocabulary)
    layers = {layer.name: layer for layer in _prediction_layers(sizes, config.dropout, vocabulary)}
    history = LabelHistory(name="label_history")(labels)
    state = ZeroState((sizes.lstm_units,) * 2 * sizes.lstm_layers, name="prediction_start")(history)
    prediction, _ = prediction_network(layers, history, state)
    encoding = Dense(sizes.joint, name="joint_encoder")(encoded.blocks[-1])
    units = vocabulary + 1 + len(sizes.durations)
    of_joint = sizes.joint_activation, sizes.durations, sizes.max_symbols
    lattice = TransducerLattice(units, *of_joint, name="joint_head")
    outputs = {**encoded.heads, SCORES: lattice([encoding, prediction, labels, encoded.mask])}
    return keras.Model([features, lengths, labels], outputs, name="conformer_transducer")


def shared_with_ctc(model: keras.Model) -> keras.Model:
    """Returns the part of a float transducer that a CTC model of the same encoder has too, to copy weights into."""
    shared = {name: output for name, output in model.output.items() if name != SCORES}
    return keras.Model(model.inputs[:2], {**shared, "encoder": model.get_layer("joint_encoder").input})


def _prediction_layers(sizes: TransducerConfig, dropout: float, vocabulary: int) -> Iterator[keras.layers.Layer]:
    yield OneHotLabels(vocabulary, name="prediction_labels")
    yield Dense(sizes.embedding, use_bias=False, name="prediction_embedding")
    for index in range(sizes.lstm_layers):
        yield Dense(4 * sizes.lstm_units, name=of_lstm("prediction_lstm_input", index))
        yield Recurrence(sizes.lstm_units, name=of_lstm("prediction_lstm_recurrent", index))
        yield Dropout(dropout, name=of_lstm("prediction_dropout", index))
    yield Dense(sizes.joint, use_bias=False, name="joint_prediction")


def of_lstm(name: str, index: int) -> str:
    """Returns the name of a part of the LSTM of an index; the first one's is the name itself."""
    return f"{name}_{index}" if index else name


def prediction_network(
    layers: dict[str, keras.layers.Layer], labels: tf.Tensor, state: Sequence[tf.Tensor]
) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
    """Applies the prediction network.

    Args:
      layers: its layers by name.
      labels: [B, U] int32.
      state: hidden state and cell of every LSTM in turn, [B, lstm_units] each.

    Returns:
      The predictions [B, U, joint], and the state after the labels.
    """
    x = layers["prediction_embedding"](layers["prediction_labels"](labels))
    after: list[tf.Tensor] = []
    for index, (hidden, cell) in enumerate(zip(state[::2], state[1::2], strict=True)):
        gates = layers[of_lstm("prediction_lstm_input", index)](x)
        x, *of_one = layers[of_lstm("prediction_lstm_recurrent", index)]([gates, hidden, cell])
        after += of_one
        x = layers[of_lstm("prediction_dropout", index)](x)
    return layers["joint_prediction"](x), tuple(after)


@dataclass(frozen=True)
class TransducerParts:
    """The models that a search calls, which share the weights of the transducer that they are parts of.

    Attributes:
      encoder: (features [B, T, mel_bins], lengths [B]) -> encodings [B, ceil(T/4), joint]. It streams.
      prediction: (labels [B, 1], hidden [B, lstm_units], cell [B, lstm_units]) -> (prediction [B, 1, joint], hidden,
        cell after the label); with more LSTMs the states of each in turn.
      joint: (encodings [B, joint], predictions [B, joint]) -> logits [B, vocabulary + 1 + durations].
      durations: numbers of frames that the last logits choose from; empty without durations.
      max_symbols: largest number of labels that a search finds in a frame.
    """

    encoder: keras.Model
    prediction: keras.Model
    joint: keras.Model
    durations: tuple[int, ...]
    max_symbols: int

    @property
    def state_shape(self) -> tuple[int, int]:
        """The shape of the states of all LSTMs of one hypothesis: [2 * lstm_layers, lstm_units]."""
        _, *states = self.prediction.inputs
        return len(states), int(states[0].shape[-1])

    @property
    def vocabulary(self) -> int:
        """The number of labels, without the blank."""
        return int(self.joint.output.shape[-1]) - 1 - len(self.durations)


def transducer_parts(model: keras.Model) -> TransducerParts:
    """Takes a model of `conformer_transducer`, quantized or not, apart."""
    layers = {float_layer(layer).name: layer for layer in model.layers}
    joint, lattice = float_layer(layers["joint_encoder"]).units, layers["joint_head"]
    labels = keras.Input([1], dtype=tf.int32, name="labels")
    widths = layers["prediction_start"].widths
    state = [
        keras.Input([width], name=of_lstm(("hidden", "cell")[index % 2], index // 2))
        for index, width in enumerate(widths)
    ]
    prediction, new_state = prediction_network(layers, labels, state)
    pair = [keras.Input([joint], name="encoding"), keras.Input([joint], name="prediction")]
    return TransducerParts(
        encoder=keras.Model(model.inputs[:2], layers["joint_encoder"].output, name="encoder"),
        prediction=keras.Model([labels, *state], [prediction, *new_state], name="prediction"),
        joint=keras.Model(pair, JointHead(lattice)(pair), name="joint"),
        durations=float_layer(lattice).durations,
        max_symbols=float_layer(lattice).max_symbols,
    )


class Transducer:
    """The network of a search (`decoding.transducer.Network`), made of a Keras model whose weights it shares.

    Args:
      model: a model of `conformer_transducer`, quantized or not.

    Attributes:
      encoder: see `TransducerParts`.
      durations: see `TransducerParts`.
      max_symbols: see `TransducerParts`.
    """

    def __init__(self, model: keras.Model):
        parts = transducer_parts(model)
        self.encoder = parts.encoder
        self.durations = parts.durations
        self.max_symbols = parts.max_symbols
        self._state_shape = parts.state_shape
        self._encode, self._joint = (tf.function(part, reduce_retracing=True) for part in (parts.encoder, parts.joint))
        self._prediction = parts.prediction
        self._predict = tf.function(self._predict_one, reduce_retracing=True)

    def encode(self, features: Floats, lengths: NDArray[np.int32]) -> Floats:
        """Encodes features [B, T, mel_bins] -> [B, ceil(T/4), joint]."""
        return self._encode([features, lengths]).numpy()

    def start(self, count: int) -> Floats:
        """Returns the states [count, 2 * lstm_layers, lstm_units] of the LSTMs before the first label."""
        return np.zeros([count, *self._state_shape], np.float32)

    def predict(self, labels: NDArray[np.int32], state: Floats) -> tuple[Floats, Floats]:
        """Takes labels [n] and states of `start`; returns (predictions [n, joint], states after the labels)."""
        prediction, after = self._predict(labels, state)
        return prediction.numpy(), after.numpy()

    def join(self, encodings: Floats, predictions: Floats) -> Floats:
        """Joins encodings and predictions, [n, joint] each -> logits [n, vocabulary + 1 + durations]."""
        return self._joint([encodings, predictions]).numpy()

    def _predict_one(self, labels: tf.Tensor, state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        prediction, *after = self._prediction([labels[:, tf.newaxis], *tf.unstack(state, axis=1)])
        return prediction[:, 0], tf.stack(after, axis=1)
