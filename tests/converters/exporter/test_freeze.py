"""The frozen graph: one signature, built-in operations, quantized layers untouched, any length, every runtime."""

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from flatbuffers import flexbuffers
from tensorflow.lite.python import schema_py_generated as schema

from converters.custom_ops import OPERATIONS
from converters.exporter.float_operations import FloatOperation
from converters.exporter.freeze import freeze
from converters.exporter.operators import input_width, output_width
from converters.exporter.placeholders import with_placeholders
from converters.exporter.rewrite import operation_histogram
from converters.exporter.verify import keras_references
from converters.runtime.model import RUNTIMES, open_model
from tests.support.tiny_conformer import tiny_config, tiny_model
from tfconformer.layers.convolution import Convolution, Patches
from tfconformer.layers.dense import float_layer, float_layers
from tfconformer.tasks import find_task

BLOCKS = 2
TASK = find_task("recognition_ctc")


@pytest.fixture(scope="module")
def float_model():
    return tiny_model(tiny_config())


@pytest.fixture(scope="module")
def float_file(float_model, tmp_path_factory):
    config = tiny_config()
    path = tmp_path_factory.mktemp("float") / "float.tflite"
    path.write_bytes(freeze(TASK, TASK.exported_part(float_model, streaming=False), config.features).content)
    return path


def test_the_inference_model_has_one_head_and_the_logits_of_the_trained_one(float_model, monkeypatch):
    config = tiny_config()
    # In a file it is no matmul of patches, and sums its terms in another order on some processors.
    for layer_class in (Patches, Convolution):
        monkeypatch.setattr(layer_class, "exported_as", None)
    model = with_placeholders(TASK.exported_part(float_model, streaming=False), ())
    assert not [layer.name for layer in model.layers if "intermediate" in layer.name]
    mel = tf.random.stateless_normal([1, 57, config.features.mel_bins], seed=[0, 0])
    inputs = [mel, tf.constant([57])]
    # Multiplying by a mask of ones and adding zeros changes no bit.
    np.testing.assert_array_equal(model(inputs), float_model(inputs)["logits"])


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_float_graph_runs_at_any_length(float_model, float_file, waveforms, runtime):
    config = tiny_config()
    model = open_model(float_file, runtime)
    one_frame = waveforms[0][: config.features.frame_length]
    utterances = [waveforms[2], waveforms[0], one_frame, waveforms[1]]
    for reference in keras_references(TASK, float_model, config, utterances):
        actual, expected = model.run(reference.waveform), reference.trace.values
        assert actual.shape == expected.shape
        # Float32 sums of a hundred terms in another order, through some thirty layers.
        np.testing.assert_allclose(actual, expected, atol=1e-4 * np.abs(expected).max())


def test_the_float_graph_is_built_in_and_tidy(float_file):
    operations = operation_histogram(float_file.read_bytes())
    assert operations.keys() <= {name for name in vars(schema.BuiltinOperator) if name != "CUSTOM"}
    dense_layers = 1 + BLOCKS * 11 + 1
    mel_filter_bank = 1
    assert operations["FULLY_CONNECTED"] == dense_layers + mel_filter_bank
    assert operations["BATCH_MATMUL"] == BLOCKS * 3
    assert operations["CONV_2D"] == 2
    assert operations["DEPTHWISE_CONV_2D"] == BLOCKS
    # 81 for front end, subsampling and head, and 103 for each block, 54 of them its six normalizations. Indexing with
    # None or with computed ends, where there is another way, brought it to 331.
    assert sum(operations.values()) <= 85 + BLOCKS * 105


def test_placeholders_stand_for_their_layers(weights_only):
    """Of the right shapes, with their biases and nothing folded into these, and without the large matrices."""
    model = schema.ModelT.InitFromPackedBuf(weights_only.frozen.content)
    (graph,) = model.subgraphs
    found = Counter()
    for operator in graph.operators:
        if model.operatorCodes[operator.opcodeIndex].customCode is None:
            continue
        name = flexbuffers.Loads(bytes(operator.customOptions))["layer"]
        layer = float_layers(weights_only.trained)[name]
        x, *others = (graph.tensors[index] for index in operator.inputs)
        (y,) = (graph.tensors[index] for index in operator.outputs)
        constants = weights_only.prepared.constants[name]
        assert (x.shape[-1], y.shape[-1]) == (input_width(constants), output_width(constants))
        if isinstance(constants, FloatOperation):
            assert len(others) == OPERATIONS[constants.operation] - 1
        else:
            assert len(others) == (layer.bias is not None)
            for tensor in others:
                assert bytes(model.buffers[tensor.buffer].data) == layer.bias.numpy().tobytes()
        found[name] += 1
    assert found == Counter(weights_only.prepared.constants.keys())
    quantized = sum(4 * layer.k * layer.n for layer in weights_only.prepared.packed.values())
    everything = 4 * sum(layer.count_params() for layer in map(float_layer, weights_only.prepared.model.layers))
    constants = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    mel_filter_bank = 257 * 80 * 4
    assert constants < everything - quantized + mel_filter_bank + 20_000  # shapes, positions, metadata
