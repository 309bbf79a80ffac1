"""Stage 1 of export: a trained Keras model becomes a float `.tflite` graph from waveform to logits.

Layers that will be packed must reach the file as they are. The TFLite converter would fold neighboring multiplications
into their weights (the gain of a layer normalization, the scale of the attention queries, the half of a macaron
residual), and no quantized code would survive that. So each of them is handed to the converter as one operation it
cannot look into, the *placeholder*, which carries the name of its layer; `rewrite.py` puts the real operation there.
All other layers become built-in operations, with whatever folding the converter likes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from converters.runtimes import SIGNATURE
from tfconformer.config import Config, FeatureConfig
from tfconformer.errors import InputError
from tfconformer.features.log_mel import log_mel
from tfconformer.layers.dense import Dense
from tfconformer.models.conformer_ctc import conformer_ctc
from tfconformer.quantization.apply import copy_float_weights

PLACEHOLDER = "TfconformerDense"
PLACEHOLDER_LAYER = "layer"  # its attribute: the name of the layer that it stands for
HEAD = "ctc_head"


def inference_model(trained: keras.Model, config: Config, vocabulary: int) -> keras.Model:
    """The float model that is exported, with the weights of `trained`.

    Args:
      trained: a model of `conformer_ctc`, quantized or not; codes are not applied, the weights are the latent ones.
      config: what it was built with.
      vocabulary: number of tokenizer pieces.

    Returns:
      A model of (features [B, T, mel_bins], lengths [B]) -> logits [B, ceil(T/4), vocabulary + 1], without the
      intermediate head and without masking of padded frames, of which an utterance on its own has none.

    Raises:
      InputError: `trained` does not fit `config`, or is a transducer.
    """
    model = single_head_model(trained, config, vocabulary)
    return keras.Model(model.inputs, model.get_layer(HEAD).output, name=model.name)


def single_head_model(trained: keras.Model, config: Config, vocabulary: int) -> keras.Model:
    """As `inference_model`, but padded frames are certain blanks: what is exported for streams."""
    if config.model.transducer is not None:
        raise InputError("a transducer cannot be exported to a .tflite file yet: `tfconformer evaluate` scores its run")
    single_head = config.model.model_copy(update={"intermediate_ctc": None})
    model = conformer_ctc(single_head, config.features.mel_bins, vocabulary)
    copy_float_weights(trained, model)
    return keras.Model(model.inputs, model.output["logits"], name=model.name)


def freeze(model: keras.Model, features: FeatureConfig, placeholders: Collection[str] = ()) -> bytes:
    """Converts a model of `inference_model`, log-mel front end included.

    Args:
      model: the float model.
      features: the front end it was trained with.
      placeholders: names of the dense layers that become placeholders.

    Returns:
      The content of a `.tflite` file with one signature, "transcribe": waveform [1, samples] in [-1, 1] -> logits
      [1, frames, vocabulary + 1], float32. A placeholder has the inputs x [..., K] and, if the layer has one, bias [N];
      its output is [..., N].
    """
    encoder = with_placeholders(model, placeholders)

    @tf.function(input_signature=[tf.TensorSpec([1, None], tf.float32, name="waveform")])
    def transcribe(waveform: tf.Tensor) -> dict[str, tf.Tensor]:
        mel = log_mel(waveform, features)
        return {"logits": encoder([mel, tf.shape(mel)[1:2]])}

    return convert(transcribe, SIGNATURE, encoder.variables, bool(placeholders))


def convert(function: Any, signature: str, variables: Sequence[tf.Variable], has_placeholders: bool) -> bytes:
    """Converts a `tf.function` that reads `variables` to a `.tflite` file of built-in operations and placeholders."""
    # The module owns the variables but not the Keras model, whose layers would each be traced and saved too.
    module = tf.Module()
    module.weights = variables
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={signature: function})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[signature])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        converter.allow_custom_ops = has_placeholders
        return bytes(converter.convert())


class _Placeholder(Dense):
    """A dense layer that the converter turns into one custom operation of x and the bias.

    It has no kernel, since the file will hold other constants in its place: the large matrices of a model never enter
    the converter.
    """

    def build(self, input_shape: tf.TensorShape) -> None:
        self.kernel_shape = [int(input_shape[-1]), self.units]
        self.bias = self.add_weight("bias", [self.units]) if self.use_bias else None
        keras.layers.Layer.build(self, input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        attributes = f'attr {{ key: "{PLACEHOLDER_LAYER}" value {{ s: "{self.name}" }} }}'
        keep_whole = 'attr { key: "tfl_fusable_op" value { b: true } }'

        @tf.function(experimental_implements=f'name: "{PLACEHOLDER}" {keep_whole} {attributes}')
        def operation(x: tf.Tensor, *bias: tf.Tensor) -> tf.Tensor:
            product = tf.matmul(x, tf.zeros(self.kernel_shape))  # nobody looks into it but for the shape
            return tf.nn.bias_add(product, *bias) if bias else product

        return operation(inputs, *([] if self.bias is None else [self.bias]))


def with_placeholders(model: keras.Model, names: Collection[str]) -> keras.Model:
    """A copy of a model, weights included, whose dense layers named are placeholders."""

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        kind: Any = _Placeholder if layer.name in names else type(layer)
        return kind.from_config(layer.get_config())

    clone = keras.models.clone_model(model, clone_function=copy)
    for layer in clone.layers:
        original = model.get_layer(layer.name)
        if not isinstance(layer, _Placeholder):
            layer.set_weights(original.get_weights())
        elif layer.bias is not None:
            layer.bias.assign(original.bias)
    return clone
