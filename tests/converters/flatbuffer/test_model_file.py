import json

import numpy as np
import pytest

from converters.flatbuffer.model_file import Scheme, WeightMatrix, read_model_file
from tests.support.model_metadata import dense, metadata, packed_dense
from tests.support.packed_layer import random_layer
from tests.support.tflite_builder import ModelBuilder, RecognizerBuilder, schema
from tfconformer.errors import InputError
from tfconformer.reports.rows import Quantization, Size, Training


@pytest.fixture
def generator():
    return np.random.default_rng(0)


def recognizer(*layers, **more) -> bytes:
    described = (packed_dense(f"dense_{i}", layer) for i, layer in enumerate(layers))
    return RecognizerBuilder(list(layers), metadata(*described, **more)).finish()


@pytest.fixture
def written(tmp_path):
    def write(content: bytes):
        path = tmp_path / "m.tflite"
        path.write_bytes(content)
        return path

    return write


def test_packed_matrices_are_counted_in_the_tensors(written, generator):
    layers = [
        random_layer(generator, 2, 40, 24, symmetric=False, block_size=16),
        random_layer(generator, 4, 24, 9, int8_activations=True, bias=False),
    ]
    path = written(recognizer(*layers))
    file = read_model_file(path)
    # Two tiles of 16 channels, three blocks: a cell of 64 bytes each, with float16 scales and offsets. Then one tile,
    # whose 24 codes are three cells, with a scale for each channel.
    assert file.matrices == (
        WeightMatrix("dense_0", 40, 24, Scheme(2, False, 16, None), 2 * 3 * (64 + 2 * 16 * 2)),
        WeightMatrix("dense_1", 24, 9, Scheme(4, True, None, 8), 3 * 64 + 16 * 2),
    )
    assert file.weights == 40 * 24 + 24 * 9
    assert file.file_bytes == path.stat().st_size


def test_the_row_leaves_out_in_what_the_layers_differ(written, generator):
    mixed = [random_layer(generator, 2, 40, 24, block_size=8), random_layer(generator, 4, 24, 9, block_size=8)]
    file = read_model_file(written(recognizer(*mixed)))
    shared = file.quantization
    assert shared.weight_bits is None
    assert (shared.granularity, shared.block_size, shared.symmetric, shared.clip) == ("block", 8, True, 1.0)
    assert shared.activation_bits == 32
    assert file.size.bits_per_weight == pytest.approx(8 * file.weight_bytes / (40 * 24 + 24 * 9))
    assert file.size.weight_bytes == file.weight_bytes


def test_the_row_says_how_the_model_was_trained(written, generator):
    training = {"training": {"seed": 3, "epochs": 4, "steps_per_epoch": 50}}
    file = read_model_file(written(recognizer(random_layer(generator, 8, 40, 9), config=training)))
    assert file.training == Training(method="qat", seed=3, steps=200)


def test_per_channel_has_no_block_size(written, generator):
    quantization = read_model_file(written(recognizer(random_layer(generator, 8, 40, 9)))).quantization
    assert quantization.granularity == "channel"
    assert quantization.block_size is None


def builtin_model(*layers) -> bytes:
    """A float matrix of the front end, two float layers, one of int8 with scales per channel, one computed."""
    builder = ModelBuilder()
    x, computed = builder.tensor("x", [1, 8]), builder.tensor("computed", [8, 8])
    quantized = builder.constant("int8", np.zeros((6, 8), np.uint8))
    tensor = builder.subgraph.tensors[quantized]
    tensor.type = schema.TensorType.INT8
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.scale = np.ones(6, np.float32)
    filters, one, other = (builder.constant(f"w{n}", np.zeros((n, 8), np.float32)) for n in (99, 8, 8))
    for weights in (filters, one, other, quantized, computed):
        y = builder.tensor("y", [1, 8])
        builder.operator(schema.BuiltinOperator.FULLY_CONNECTED, [x, weights, -1], y)
    builder.metadata("TFCONFORMER", metadata(*layers))
    return builder.build([x, computed], [y])


def test_float_layers_are_told_from_the_front_end(written):
    file = read_model_file(written(builtin_model(dense("a", 8, 8), dense("b", 8, 8))))
    assert file.matrices == (WeightMatrix("a", 8, 8, Scheme(), 256), WeightMatrix("b", 8, 8, Scheme(), 256))
    assert file.parameters == 2 * 72
    assert file.size == Size(file_bytes=file.file_bytes, weight_bytes=512, bits_per_weight=32.0)
    assert file.quantization == Quantization(weight_bits=32, activation_bits=32)
    assert file.training == Training()


def test_a_layer_left_in_float_shows_in_the_bits_per_weight(written):
    builtin = {**dense("b", 8, 6, spec={"bits": 8, "clip": 1.0}), "target": "litert"}
    content = builtin_model(dense("a", 8, 8), builtin)
    file = read_model_file(written(content))
    assert file.quantization.weight_bits == 8
    # 64 floats; 48 bytes and 6 float32 scales.
    assert file.size.bits_per_weight == pytest.approx(8 * (256 + 48 + 24) / (64 + 48))


@pytest.mark.parametrize(
    "layer",
    [
        dense("c", 8, 7),
        dense("c", 8, 8, spec={"bits": 4, "clip": 1.0}),
        dense("c", 8, 6, spec={"bits": 8, "block_size": 8, "clip": 1.0}),
        dense("c", 8, 6, spec={"bits": 8, "clip": 1.0}),  # with float activations, which LiteRT's have not
    ],
)
def test_a_layer_that_is_not_what_it_claims_is_refused(written, layer):
    with pytest.raises(InputError, match=r"describe the layer c as 8 x . weights of .* no operation"):
        read_model_file(written(builtin_model(dense("a", 8, 8), layer)))


def test_a_matrix_serves_one_layer_only(written):
    with pytest.raises(InputError, match="layer c "):
        read_model_file(written(builtin_model(*(dense(name, 8, 8) for name in "abc"))))


def test_parameters_are_those_of_all_layers(written, generator):
    layer = random_layer(generator, 8, 40, 9)
    norm = {"name": "norm", "kind": "normalization", "parameters": 80, "float_bytes": 320}
    content = RecognizerBuilder([layer], metadata(norm, packed_dense("dense_0", layer))).finish()
    file = read_model_file(written(content))
    assert [matrix.name for matrix in file.matrices] == ["dense_0"]
    assert file.parameters == 80 + 40 * 9 + 9


def test_layer_rows_need_a_valid_configuration(written, generator):
    file = read_model_file(written(recognizer(random_layer(generator, 8, 40, 9), config={"model": {}})))
    with pytest.raises(InputError, match="configuration in its metadata is wrong"):
        file.layer_rows()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "not written by `tfconformer export`"),
        ({"format": 99}, "format 99, expected 1 or 2"),
        ({}, "format None, expected 1 or 2"),
        ([], "should be a JSON object"),
        (metadata(dense("d", 40, 9, spec={"bits": 5})), "spec of the layer d .* wrong"),
    ],
)
def test_metadata_of_others_are_refused(written, generator, content, message):
    with pytest.raises(InputError, match=message):
        read_model_file(written(RecognizerBuilder([random_layer(generator, 8, 40, 9)], content).finish()))


def test_damaged_files_are_refused(written, generator, tmp_path):
    whole = recognizer(random_layer(generator, 8, 40, 9))
    for size in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        with pytest.raises(InputError, match=r"m\.tflite"):
            read_model_file(written(whole[:size]))
    with pytest.raises(InputError, match=r"m\.tflite"):
        read_model_file(written(json.dumps({"format": 1}).encode()))
    with pytest.raises(InputError, match="cannot be read"):
        read_model_file(tmp_path / "missing.tflite")


def test_parameters_that_are_no_parameters_are_refused(written, generator):
    builder = RecognizerBuilder([random_layer(generator, 8, 40, 9)], metadata())
    params = next(tensor for tensor in builder.subgraph.tensors if tensor.name == b"layer0/params")
    builder.model.buffers[params.buffer].data = np.zeros(5, np.uint8)
    with pytest.raises(InputError, match="attributes of layer layer0 are incomplete"):
        read_model_file(written(builder.finish()))
