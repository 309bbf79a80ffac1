"""Quantized embeddings in a file: what is looked up is what training dequantizes, and nothing else passes."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import converters
import tfconformer
from converters.exporter import keras_model
from converters.exporter.lookup import Lookup, pack_table
from converters.exporter.verify import VerificationError
from converters.flatbuffer.lookup_tables import decode_rows, read_tables
from tfconformer import QuantSpec
from tfconformer.errors import InputError
from tfconformer.quantization.apply import QuantizedLayers
from tfconformer.quantization.quantizers.weights import quantize_weights

COUNT = 9
INDICES = np.array([[8, 0, 3, 3, 5]], np.int32)


@pytest.mark.parametrize(("bits", "symmetric"), itertools.product((2, 3, 4, 8), (True, False)))
def test_a_lookup_gives_the_bits_of_training(bits, symmetric):
    for width, block_size in ((7, None), (20, 8), (1, None)):
        spec = QuantSpec(bits=bits, symmetric=symmetric, block_size=block_size)
        weights = tf.constant(np.random.default_rng(bits).normal(size=[width, COUNT]).astype(np.float32))
        quantized = quantize_weights(weights, spec)
        table = pack_table(quantized)
        np.testing.assert_array_equal(decode_rows(table.packed, bits, width), quantized.codes.numpy().T)
        assert table.packed.nbytes == COUNT * -(-width // (8 // bits))
        expected = quantized.dequantize().numpy().T[INDICES]
        np.testing.assert_array_equal(Lookup(table)(INDICES), expected)


def embedding(**options: object) -> keras.Model:
    layers = [keras.layers.Embedding(COUNT, 12, name="table", **options), keras.layers.Dense(2, name="head")]
    return keras.Sequential([keras.Input([None], dtype="int32", name="x"), *layers])


def test_a_file_for_litert_alone_has_a_table_of_packed_rows(tmp_path, monkeypatch):
    quantized = tfconformer.quantize(embedding(), {"head": None, "table": QuantSpec(bits=4, block_size=8)})
    path = tmp_path / "m.tflite"
    report = converters.export(quantized, path, verify_with=INDICES, target="litert")
    assert not [name for name in report.operations if name.startswith("Tfconformer")]
    (layer,) = [layer for layer in report.layers if layer.spec]
    assert (layer.name, layer.kind, layer.target) == ("table_embeddings", "embedding", "lookup")
    assert (layer.code_bytes, layer.scale_bytes) == (COUNT * 6, 4 * COUNT * 2)
    weights = QuantizedLayers(quantized)["table_embeddings"]
    (packed,) = read_tables(path).packed
    np.testing.assert_array_equal(decode_rows(packed, 4, 12), weights.codes.numpy().T)

    pack = keras_model.prepare_part

    def changed(*args, **options):
        prepared = pack(*args, **options)
        prepared.lookups["table_embeddings"].packed[3, 0] ^= 1
        return prepared

    monkeypatch.setattr(keras_model, "prepare_part", changed)
    with pytest.raises(VerificationError, match="the codes of table_embeddings are not those of the trained model"):
        converters.export(quantized, tmp_path / "changed.tflite", verify_with=INDICES)


def test_embeddings_that_a_file_cannot_hold_are_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"the layer table \(Embedding\) cannot be quantized with mask_zero: set it to"
    ):
        tfconformer.quantize(embedding(mask_zero=True), {"head": None, "table": QuantSpec(bits=4)})
    sparse = QuantSpec(bits=4, symmetric=False, sparsity="2:4")
    quantized = tfconformer.quantize(embedding(), {"head": None, "table": sparse})
    with pytest.raises(
        InputError, match=r"layer table_embeddings cannot be exported as .*sparsity: 2:4.*: set symmetric to true"
    ):
        converters.export(quantized, tmp_path / "m.tflite", verify_with=INDICES)
