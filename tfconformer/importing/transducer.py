"""The weights of a transducer's prediction and joint networks, from tensors with the names that transformers has.

Two of a checkpoint's constants have no layer here, and are folded exactly into biases: the embedding of the blank, with
which a transcript begins, into the first LSTM's, and the bias of the prediction into that of the encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

from tfconformer.importing import layers
from tfconformer.importing.architecture import LayerWeights
from tfconformer.importing.tensors import Tensors
from tfconformer.models.config import TransducerConfig
from tfconformer.models.transducer import of_lstm

_FORGET_BIAS = 1.0  # of `Recurrence`, besides the trained one


def transducer_layers(
    tensors: Tensors, config: TransducerConfig, dim: int, symbols: int, blank: int
) -> Iterator[LayerWeights]:
    """Yields the weights of the layers after the encoder.

    Args:
      tensors: the checkpoint.
      config: the sizes of the networks.
      dim: width of the encoder.
      symbols: number of labels, the blank among them.
      blank: index of the blank among them.
    """
    order = layers.blank_first(symbols, blank)
    embedding = tensors.take("decoder.embedding.weight", symbols, config.embedding)[order]
    first = embedding[0]
    yield "prediction_embedding", [embedding[1:] - first]
    units = config.lstm_units
    for index in range(config.lstm_layers):
        width = units if index else config.embedding
        kernel = tensors.take(f"decoder.lstm.weight_ih_l{index}", 4 * units, width).T
        bias = tensors.take(f"decoder.lstm.bias_ih_l{index}", 4 * units)
        bias = bias + tensors.take(f"decoder.lstm.bias_hh_l{index}", 4 * units)
        bias[units : 2 * units] -= _FORGET_BIAS
        yield of_lstm("prediction_lstm_input", index), [kernel, bias if index else bias + first @ kernel]
        recurrent = tensors.take(f"decoder.lstm.weight_hh_l{index}", 4 * units, units).T
        yield of_lstm("prediction_lstm_recurrent", index), [recurrent]
    kernel, prediction_bias = layers.dense(tensors, "decoder.decoder_projector", units, config.joint)
    yield "joint_prediction", [kernel]
    kernel, bias = layers.dense(tensors, "encoder_projector", dim, config.joint)
    yield "joint_encoder", [kernel, bias + prediction_bias]
    durations = range(symbols, symbols + len(config.durations))
    kernel, bias = layers.dense(tensors, "joint.head", config.joint, symbols + len(durations))
    yield "joint_head", [kernel[:, [*order, *durations]], bias[[*order, *durations]]]
