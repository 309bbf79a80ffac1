"""Placeholders of layer classes that the exporter does not name, and of weights that two graphs share."""

from types import SimpleNamespace

import numpy as np
import tensorflow as tf
import tf_keras as keras

from converters.custom_ops import FULLY_CONNECTED, LAYER_NORMALIZATION
from converters.exporter.float_operations import float_operations
from converters.exporter.freeze import freeze
from converters.exporter.pipeline import describe, freeze_prepared, pack_layer, prepare
from converters.exporter.plan import plan
from converters.exporter.rewrite import operation_histogram, rewrite
from converters.flatbuffer.reader import read_tflite
from converters.runtime.interpreters import load_file
from converters.runtime.model import Model, open_model
from tests.support.tiny_conformer import TRANSDUCER, tiny_config, tiny_model, tiny_tokenizer, tiny_waveforms
from tfconformer.features.config import FeatureConfig
from tfconformer.features.log_mel import log_mel
from tfconformer.layers.dense import Dense, float_matmul
from tfconformer.layers.normalization import LayerNormalization
from tfconformer.models.transducer import transducer_parts
from tfconformer.quantization.apply import QuantizedLayers, quantize_model
from tfconformer.quantization.spec import QuantSpec
from tfconformer.tasks import find_task
from tfconformer.tasks.graphs import AudioGraph


class HighwayDense(Dense):
    """A `Dense` layer with a call of its own, which uses its affine map between other operations."""

    def call(self, inputs, matmul=float_matmul):
        return inputs + tf.nn.relu(self.affine(2.0 * inputs, matmul))


class CenteredNormalization(LayerNormalization):
    """A normalization that inherits its operation."""


def test_a_new_layer_class_is_exported_by_the_operation_that_it_names(tmp_path):
    keras.utils.set_random_seed(1)
    config = FeatureConfig()
    features, lengths = keras.Input([None, config.mel_bins]), keras.Input([], dtype=tf.int32)
    x = CenteredNormalization(name="norm")(features)
    model = keras.Model([features, lengths], HighwayDense(config.mel_bins, name="highway")(x))
    model.get_layer("highway").bias.assign(np.linspace(-1, 1, config.mel_bins))
    trained = quantize_model(model, {"highway": QuantSpec(bits=4, block_size=16)})

    quantized = QuantizedLayers(trained)
    packed = {layer.name: pack_layer(layer, quantized[layer.name]) for layer in plan(trained, quantized.specs)}
    constants = {**packed, **float_operations(trained)}
    task = SimpleNamespace(graphs=lambda model: (AudioGraph("transcribe", model, "logits"), ()))
    frozen = freeze(task, trained, config, constants.keys())
    content = rewrite(frozen, constants, b"{}")
    operations = operation_histogram(content)
    assert (operations[FULLY_CONNECTED], operations[LAYER_NORMALIZATION]) == (1, 1)

    path = tmp_path / "new.tflite"
    path.write_bytes(content)
    waveform = tiny_waveforms()[0]
    mel = log_mel(tf.constant(waveform[np.newaxis]), config)
    expected = trained([mel, tf.constant([mel.shape[1]])]).numpy()[0]
    exported = Model(load_file(str(path), read_tflite(str(path)), frozen.graphs, "ai-edge-litert", 1))
    # Float32 sums in another order, of values around 1.
    np.testing.assert_allclose(exported.run(waveform), expected, rtol=0, atol=1e-4)


def test_a_packed_joint_network_is_the_one_of_the_search(tmp_path):
    config = tiny_config([{"layers": "joint_head", "spec": {"bits": 8}}], TRANSDUCER)
    trained = tiny_model(config)
    prepared = prepare(find_task(config.task), trained)
    frozen = freeze_prepared(prepared, config)
    metadata = describe(prepared, frozen, config, tiny_tokenizer())
    path = tmp_path / "transducer.tflite"
    path.write_bytes(rewrite(frozen, prepared.constants, metadata))
    assert operation_histogram(path.read_bytes())[FULLY_CONNECTED] == 1
    width = TRANSDUCER["transducer"]["joint"]
    encoding, prediction = np.random.default_rng(0).normal(size=(2, 1, width)).astype(np.float32)
    joint = transducer_parts(trained).joint
    logits = open_model(path, "ai-edge-litert").call("join", {"encoding": encoding, "prediction": prediction})["logits"]
    # Float32 sums in another order, of values around 1.
    np.testing.assert_allclose(logits, joint([encoding, prediction]), rtol=0, atol=1e-5)
