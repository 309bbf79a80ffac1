"""The target `litert`: trained codes in LiteRT's own weight formats, and nothing of ours in the file."""

import logging

import numpy as np
import pytest
import tf_keras as keras
from ai_edge_litert import schema_py_generated as schema

from converters.exporter.pack_builtin import builtin_weights
from converters.exporter.plan import plan
from converters.exporter.rewrite import operation_histogram
from converters.exporter.verify import (
    RELATIVE_RMS_LIMIT,
    VerificationError,
    keras_references,
    verify_outputs,
    verify_weights,
)
from converters.flatbuffer.builtin_layers import read_builtin_layers
from converters.flatbuffer.model_file import Scheme, read_model_file
from converters.flatbuffer.reader import read_tflite
from tests.support.tiny_conformer import tiny_config, tiny_model
from tfconformer.errors import InputError
from tfconformer.layers.dense import Dense
from tfconformer.quantization.spec import QuantSpec
from tfconformer.tasks import find_task


@pytest.fixture(scope="module")
def model():
    x, odd = keras.Input([None, 64]), keras.Input([None, 63])
    return keras.Model([x, odd], [Dense(5, name="layer")(x), Dense(5, name="odd")(odd)])


@pytest.mark.parametrize(
    ("name", "spec", "reason"),
    [
        ("layer", QuantSpec(bits=3), "weights of 2, 4 or 8 bits"),
        ("layer", QuantSpec(bits=4, activation_bits=4), "quantizes activations to 8 bits"),
        ("layer", QuantSpec(bits=2, symmetric=False), "LiteRT has no offsets, and its integer zero points must be 0"),
        ("layer", QuantSpec(bits=4, block_size=32, scale_dtype="float32"), "scales of blocks in float16"),
        ("layer", QuantSpec(bits=4, block_size=16), "was not probed"),
        ("layer", QuantSpec(bits=2, block_size=32), r"ai-edge-litert 2\.3\.0 refuses it \(.*INT2"),
        ("layer", QuantSpec(bits=8, block_size=64), r"ai-edge-litert 2\.3\.0 refuses it"),
        ("odd", QuantSpec(bits=4, block_size=32), r"ai-edge-litert 2\.3\.0 computes it wrongly"),
    ],
)
def test_a_refusal_names_layer_and_reason(model, name, spec, reason):
    with pytest.raises(InputError, match=rf"layer {name} .*{reason}"):
        plan(model, {name: spec}, "litert")


def test_a_convolution_stays_in_float():
    model = find_task("recognition_ctc").exported_part(tiny_model(tiny_config()), streaming=False)
    with pytest.raises(
        InputError, match="no convolution with packed weights: set the spec of subsampling_convolution to null"
    ):
        plan(model, {"subsampling_convolution": QuantSpec(bits=4)}, "litert")


@pytest.mark.parametrize(
    ("spec", "caveats"),
    [
        (QuantSpec(bits=2, activation_bits=8), []),
        (QuantSpec(bits=4, activation_bits=8, scale_dtype="float32"), []),
        (QuantSpec(bits=4), ["activations to 8 bits at run time"]),
        (QuantSpec(bits=4, block_size=32, activation_bits=8), ["rounds the scales of blocks to bfloat16"]),
    ],
)
def test_what_a_user_should_know_is_logged(model, spec, caveats, caplog):
    with caplog.at_level(logging.WARNING):
        plans = plan(model, {"layer": spec}, "litert")
    assert [one.target for one in plans if one.spec] == ["litert"]
    assert len(caplog.messages) == len(caveats)
    for message, expected in zip(caplog.messages, caveats, strict=True):
        assert expected in message
        assert message.endswith("(1 layers)")


def test_the_file_needs_nothing_of_ours(litert):
    assert not read_tflite(litert.path).custom_operations
    histogram = operation_histogram(litert.path.read_bytes())
    quantized = [layer for layer in litert.prepared.plans if layer.spec]
    assert histogram["FULLY_CONNECTED"] == len(quantized) + 2  # mel filter bank and head
    graph = schema.ModelT.InitFromPackedBuf(litert.path.read_bytes()).subgraphs[0]
    types = [tensor.type for tensor in graph.tensors]
    for bits, expected in ((2, schema.TensorType.INT2), (4, schema.TensorType.INT4), (8, schema.TensorType.INT8)):
        assert types.count(expected) == sum(layer.spec.bits == bits for layer in quantized)


def test_the_file_holds_the_codes_of_training(litert):
    verify_weights(litert.path, litert.trained, litert.prepared.plans)
    stored = {constants.name: layer for constants, layer in read_builtin_layers(litert.path)}
    for layer in litert.prepared.plans:
        if layer.spec and layer.spec.clip != 1.0:
            assert stored[layer.name].codes.min() == -(2 ** (layer.spec.bits - 1))


@pytest.mark.parametrize("role", ["codes", "scales", "biases"])
@pytest.mark.parametrize("layer", ["block_01_ff1_expand", "block_00_attention_query"])  # per channel, in blocks
def test_one_wrong_bit_is_found(litert, layer, role, tmp_path):
    content = bytearray(litert.path.read_bytes())
    model = schema.Model.GetRootAs(content)
    graph = model.Subgraphs(0)
    for operator in (graph.Operators(i) for i in range(graph.OperatorsLength())):
        weights = graph.Tensors(operator.Inputs(1)) if operator.InputsLength() > 2 else None
        if weights is None or weights.Name() != f"{layer}/codes".encode():
            continue
        scales = weights.Quantization().ScaleAsNumpy() if weights.Quantization().ScaleLength() else None
        if role == "scales" and scales is None:
            (tensor,) = (
                one
                for one in map(graph.Tensors, range(graph.TensorsLength()))
                if one.Name() == f"{layer}/scales".encode()
            )
            model.Buffers(tensor.Buffer()).DataAsNumpy()[0] ^= 1
        elif role == "scales":
            scales.view(np.uint8)[0] ^= 1
        else:
            tensor = weights if role == "codes" else graph.Tensors(operator.Inputs(2))
            model.Buffers(tensor.Buffer()).DataAsNumpy()[0] ^= 1
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(content)
    with pytest.raises(VerificationError, match=f"{role} of {layer}"):
        verify_weights(damaged, litert.trained, litert.prepared.plans)


def test_logits_are_the_models(litert, waveforms):
    references = keras_references(litert.prepared.task, litert.trained, litert.config, waveforms)
    parity = verify_outputs(litert.path, litert.prepared.task, references, litert.prepared.plans, "ai-edge-litert")
    # The limit of the export for 8-bit activations; without them it would be a hundred times less.
    assert RELATIVE_RMS_LIMIT[None] < parity.relative_rms < RELATIVE_RMS_LIMIT[8]
    assert parity.kernel == "xnnpack"


def test_the_file_describes_itself(litert):
    schemes = {matrix.name: matrix.scheme for matrix in read_model_file(litert.path).matrices}
    assert schemes["block_01_ff1_expand"] == Scheme(2, True, None, 8)
    assert schemes["block_00_attention_query"] == Scheme(4, True, 32, 8)
    assert schemes["block_00_conv_expand"] == Scheme(8, True, None, 8)
    assert schemes["subsampling_projection"] == Scheme(4, True, None, 8)
    assert schemes["ctc_head"] == Scheme()


def test_frames_after_a_stacker_are_as_long_as_they_are(litert):
    assert read_model_file(litert.path).metadata.frame_seconds == 0.08


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("block_size", [None, 32])
def test_stored_weights_stand_for_the_numbers(bits, block_size):
    rng = np.random.default_rng(bits)
    spec = QuantSpec(bits=bits, block_size=block_size)
    low, high = spec.code_range
    codes = rng.integers(low, high + 1, (65, 7)).astype(np.float32)  # rows that begin within a byte
    scales = rng.uniform(0.01, 1, (spec.blocks(65), 7)).astype(np.float16).astype(np.float32)
    stored = builtin_weights(codes, scales, spec)
    assert stored.codes.size == -(-65 * 7 * bits // 8)
    block = np.arange(65) // (block_size or 65)
    np.testing.assert_array_equal(stored.dequantize(), codes * scales[block])


@pytest.mark.parametrize(
    ("codes", "scale", "spec", "message"),
    [
        (2.0, 1.0, QuantSpec(bits=2), "not an integer in"),
        (0.5, 1.0, QuantSpec(bits=2), "not an integer in"),
        (1.0, 0.0, QuantSpec(bits=2), "above zero"),
        (1.0, np.nan, QuantSpec(bits=2), "finite float32 number"),
        (1.0, 1 + 2.0**-12, QuantSpec(bits=4, block_size=32), "finite float16 number"),
        (1.0, 1e6, QuantSpec(bits=4, block_size=32), "finite float16 number"),
        (1.0, 1.0, QuantSpec(bits=2, symmetric=False), "symmetric"),
    ],
)
def test_what_cannot_be_stored_is_refused(codes, scale, spec, message):
    with pytest.raises(ValueError, match=message):
        builtin_weights(np.full((8, 2), codes, np.float32), np.full((1, 2), scale, np.float32), spec)
