"""Placeholders of layer classes that the exporter does not name, and of weights that two graphs share."""

import numpy as np
import tensorflow as tf
import tf_keras as keras

from converters.custom_ops import FULLY_CONNECTED, LAYER_NORMALIZATION
from converters.exporter.float_operations import float_operations
from converters.exporter.freeze import freeze
from converters.exporter.pipeline import freeze_prepared, pack_layer, prepare
from converters.exporter.plan import plan
from converters.exporter.rewrite import operation_histogram, rewrite
from converters.runtime.model import open_model
from tests.support.tiny_conformer import TRANSDUCER, tiny_config, tiny_model, tiny_tokenizer, tiny_waveforms
from tfconformer.features.config import FeatureConfig
from tfconformer.features.log_mel import log_mel
from tfconformer.layers.dense import Dense, float_matmul
from tfconformer.layers.normalization import LayerNormalization
from tfconformer.models.transducer import Transducer
from tfconformer.quantization.apply import QuantizedLayers, quantize_model
from tfconformer.quantization.spec import QuantSpec


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
    content = rewrite(freeze(trained, config, constants.keys()), constants, b"{}")
    operations = operation_histogram(content)
    assert (operations[FULLY_CONNECTED], operations[LAYER_NORMALIZATION]) == (1, 1)

    path = tmp_path / "new.tflite"
    path.write_bytes(content)
    waveform = tiny_waveforms()[0]
    mel = log_mel(tf.constant(waveform[np.newaxis]), config)
    expected = trained([mel, tf.constant([mel.shape[1]])]).numpy()[0]
    # Float32 sums in another order, of values around 1.
    np.testing.assert_allclose(open_model(path, "ai-edge-litert").run(waveform), expected, rtol=0, atol=1e-4)


def test_a_packed_joint_network_is_the_one_of_the_search(tmp_path):
    config = tiny_config([{"layers": "joint_head", "spec": {"bits": 8}}], TRANSDUCER)
    trained = tiny_model(config)
    prepared = prepare(trained)
    frozen = freeze_prepared(prepared, config, tiny_tokenizer())
    path = tmp_path / "transducer.tflite"
    path.write_bytes(rewrite(frozen.content, prepared.constants, frozen.metadata, frozen.further_names))
    assert operation_histogram(path.read_bytes())[FULLY_CONNECTED] == 1
    random = np.random.default_rng(0)
    pair = [random.normal(size=(1, TRANSDUCER["transducer"]["joint"])).astype(np.float32) for _ in range(2)]
    # Float32 sums in another order, of values around 1.
    decoder = open_model(path, "ai-edge-litert").decoder
    np.testing.assert_allclose(decoder.join(*pair), Transducer(trained).join(*pair), rtol=0, atol=1e-5)
