"""Stage 1 of export: a trained Keras model becomes a float `.tflite` graph from waveform to logits.

Layers that will be packed must reach the file as they are. The TFLite converter would fold neighboring multiplications
into their weights (the gain of a layer normalization, the scale of the attention queries, the half of a macaron
residual), and no quantized code would survive that. So each of them is handed to the converter as a placeholder
(`placeholders.py`). All other layers become built-in operations, with whatever folding the converter likes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from converters.exporter.freeze_parts import freeze_parts
from converters.flatbuffer.transducer_description import ENCODE
from converters.runtime.model import SIGNATURE
from tfconformer.features.config import FeatureConfig
from tfconformer.features.log_mel import log_mel
from tfconformer.layers.dense import float_layer
from tfconformer.models.transducer import SCORES, is_transducer

HEAD = "ctc_head"


def inference_model(trained: keras.Model) -> keras.Model:
    """The part of a model that is exported for whole utterances; it shares the layers, quantized or not.

    Args:
      trained: a model of `conformer_ctc`, `conformer_transducer` or `abstract_conformer`.

    Returns:
      Without the intermediate head: a model of (features [B, T, mel_bins], lengths [B]) -> logits
      [B, ceil(T/4), vocabulary + 1] without masking of padded frames, of which an utterance on its own has none; or a
      model of `conformer_transducer`.
    """
    if is_transducer(trained):
        return single_head_model(trained)
    (head,) = (layer for layer in trained.layers if float_layer(layer).name == HEAD)
    return keras.Model(trained.inputs, head.output, name=trained.name)


def single_head_model(trained: keras.Model) -> keras.Model:
    """As `inference_model`, but padded frames are certain blanks: what is exported for streams."""
    scores = {SCORES: trained.output[SCORES]} if is_transducer(trained) else trained.output["logits"]
    return keras.Model(trained.inputs, scores, name=trained.name)


def freeze(
    model: keras.Model,
    features: FeatureConfig,
    placeholders: Collection[str] = (),
    random: bool = False,
) -> bytes:
    """Converts a model of `inference_model`, log-mel front end included.

    Args:
      model: whose latent weights all layers but the placeholders get.
      features: the front end it was trained with.
      placeholders: names of the dense layers that become placeholders.
      random: whether the model is abstract, and other layers get random weights.

    Returns:
      The content of a `.tflite` file. Its signature "transcribe" goes from waveform [1, samples] in [-1, 1] to logits
      [1, frames, vocabulary + 1], float32. That of a transducer has "encode" instead, to encoded [1, frames, joint],
      and the signatures of its decoder (`transducer_description.py`). A placeholder has the inputs x [..., K] and, if
      the layer has one, bias [N]; its output is [..., N].
    """
    parts = freeze_parts(model, placeholders, random)

    @tf.function(input_signature=[tf.TensorSpec([1, None], tf.float32, name="waveform")])
    def transcribe(waveform: tf.Tensor) -> dict[str, tf.Tensor]:
        mel = log_mel(waveform, features)
        return {parts.output: parts.encoder([mel, tf.shape(mel)[1:2]])}

    signature = ENCODE if parts.decoder else SIGNATURE
    return convert({signature: transcribe, **parts.decoder}, parts.variables, bool(placeholders))


def convert(functions: Mapping[str, Any], variables: Sequence[tf.Variable], has_placeholders: bool) -> bytes:
    """Converts `tf.function`s that read `variables` to a `.tflite` file of built-in operations and placeholders.

    The functions are given by signature, each of which gets a graph of its own, in alphabetical order.
    """
    # The module owns the variables but not the Keras model, whose layers would each be traced and saved too.
    module = tf.Module()
    module.weights = variables
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures=functions)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(functions))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        converter.allow_custom_ops = has_placeholders
        return bytes(converter.convert())
