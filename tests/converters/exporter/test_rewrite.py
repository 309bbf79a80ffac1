"""The finished file as a structure: operations, constants, alignment, metadata, nothing left behind."""

import base64
import json

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

from converters.custom_ops import ATTENTION, DEPTHWISE_CONVOLUTION, FULLY_CONNECTED, LAYER_NORMALIZATION
from converters.exporter.rewrite import operation_histogram, rewrite
from converters.flatbuffer.editor import ALIGNMENT
from converters.flatbuffer.reader import Signature, read_tflite
from tests.support.tiny_conformer import tiny_tokenizer
from tfconformer.config import Config
from tfconformer.layers.dense import float_layer, float_layers


@pytest.fixture(scope="module")
def content(weights_only):
    return weights_only.path.read_bytes()


@pytest.fixture(scope="module")
def model(content):
    return schema.ModelT.InitFromPackedBuf(content)


def custom_operators(model):
    graph = model.subgraphs[0]
    return [o for o in graph.operators if model.operatorCodes[o.opcodeIndex].customCode == FULLY_CONNECTED.encode()]


def test_placeholders_are_gone_and_packed_layers_are_there(weights_only, content):
    before, after = operation_histogram(weights_only.frozen.content), operation_histogram(content)
    assert after.pop(FULLY_CONNECTED) == len(weights_only.prepared.packed)
    assert after.pop(DEPTHWISE_CONVOLUTION) == 2
    assert after.pop(ATTENTION) == 2
    assert after.pop(LAYER_NORMALIZATION) == len(weights_only.prepared.float_operations) - 4
    assert before.pop("TfconformerPlaceholder") == len(weights_only.prepared.constants)
    assert after == before
    assert after["FULLY_CONNECTED"] == 3  # mel filter bank, the layer whose rule says float, head


def test_constants_of_an_operation_are_those_of_its_layer(weights_only, model):
    graph = model.subgraphs[0]
    for operator in custom_operators(model):
        options = flexbuffers.Loads(bytes(operator.customOptions))
        packed = weights_only.prepared.packed[options.pop("layer")]
        bias = float_layers(weights_only.trained)[layer_name(graph, operator)].bias
        params = np.array([*packed.attributes(has_bias=bias is not None).values()], np.int32)
        expected = [packed.codes, params, packed.scales, packed.offsets, packed.sparsity_indices]
        expected.append(None if bias is None else bias.numpy())
        expected = [value for value in expected if value is not None]
        tensors = [graph.tensors[index] for index in operator.inputs[1:]]
        types = {np.uint8: "UINT8", np.int32: "INT32", np.float16: "FLOAT16", np.float32: "FLOAT32"}
        for tensor, value in zip(tensors, expected, strict=True):
            assert list(tensor.shape) == list(value.shape)
            assert tensor.type == getattr(schema.TensorType, types[value.dtype.type])
            assert bytes(model.buffers[tensor.buffer].data) == value.tobytes()
        assert sorted(options.values()) == sorted(params.tolist())


def layer_name(graph, operator) -> str:
    return graph.tensors[operator.inputs[1]].name.decode().removesuffix("/codes")


def test_nothing_is_left_behind(model):
    graph = model.subgraphs[0]
    used = {int(i) for o in graph.operators for i in [*o.inputs, *o.outputs]} | {*graph.inputs, *graph.outputs}
    assert used - {-1} == set(range(len(graph.tensors)))
    filled = {tensor.buffer for tensor in graph.tensors} | {entry.buffer for entry in model.metadata}
    assert filled == set(range(len(model.buffers)))
    assert model.buffers[0].data is None
    assert {o.opcodeIndex for o in graph.operators} == set(range(len(model.operatorCodes)))


def test_the_file_is_as_small_as_its_constants(weights_only, content, model):
    constants = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    structure = len(content) - constants
    # Tensors, operators, names and alignment: some hundred bytes each.
    assert structure < 300 * (len(model.subgraphs[0].tensors) + len(model.buffers))
    packed = weights_only.prepared.packed.values()
    metadata = read_tflite(weights_only.path).metadata["TFCONFORMER"]
    added = sum(layer.bytes for layer in packed) + len(metadata)
    assert constants < len(weights_only.frozen.content) + added + 40 * len(packed)  # their params


def test_constants_are_aligned_in_the_file(content):
    model = schema.Model.GetRootAs(content)
    start = np.frombuffer(content, np.uint8).ctypes.data
    offsets = [
        model.Buffers(i).DataAsNumpy().ctypes.data - start
        for i in range(model.BuffersLength())
        if model.Buffers(i).DataLength()
    ]
    assert len(offsets) > 100
    assert not [offset for offset in offsets if offset % ALIGNMENT]


def test_signature_and_metadata_survive(weights_only):
    file = read_tflite(weights_only.path)
    assert file.signatures == {"transcribe": Signature(frozenset({"waveform"}), frozenset({"logits"}))}
    assert file.metadata["min_runtime_version"].startswith(b"2.")
    metadata = json.loads(file.metadata["TFCONFORMER"])
    assert metadata["format"] == 2
    assert base64.b64decode(metadata["tokenizer"]) == tiny_tokenizer().to_bytes()
    assert Config.model_validate(metadata["config"]) == weights_only.config
    layers = {layer["name"]: layer for layer in metadata["layers"]}
    assert sum(layer["parameters"] for layer in layers.values()) == sum(
        layer.count_params() for layer in map(float_layer, weights_only.prepared.model.layers)
    )
    conv = layers["block_00_conv_contract"]
    assert (conv["kind"], conv["k"], conv["n"], conv["spec"]["bits"]) == ("dense", 32, 32, 2)
    # Two tiles of 16 channels; two blocks, of 24 weights in two cells and of 8 in one, with a float16 scale and offset
    # for each channel; 32 biases.
    assert (conv["code_bytes"], conv["scale_bytes"], conv["offset_bytes"], conv["float_bytes"]) == (384, 128, 128, 128)
    assert "spec" not in layers["ctc_head"]
    assert layers["subsampling"]["kind"] == "convolution"


def test_more_bits_give_less_error(weights_only):
    layers = {layer.name: layer.sqnr_db for layer in weights_only.prepared.layers}
    # Six decibels a bit, the textbook's rule for a uniform quantizer; the ranges of these layers differ somewhat.
    assert layers["block_00_ff1_expand"] > layers["block_00_attention_query"] + 18
    assert layers["block_00_attention_query"] > layers["block_01_conv_expand"] + 6


def test_every_layer_needs_its_placeholder(weights_only):
    packed = dict(weights_only.prepared.constants)
    layer = packed.pop("block_00_ff1_expand")
    with pytest.raises(ValueError, match="not both: block_00_ff1_expand"):
        rewrite(weights_only.frozen, packed, b"{}")
    with pytest.raises(ValueError, match="not both: nobody"):
        rewrite(weights_only.frozen, {**weights_only.prepared.constants, "nobody": layer}, b"{}")
    other = weights_only.prepared.packed["block_00_ff1_contract"]
    with pytest.raises(ValueError, match=r"kernel of block_00_ff1_expand .*\(128, 32\)"):
        rewrite(weights_only.frozen, {**packed, "block_00_ff1_expand": other}, b"{}")
