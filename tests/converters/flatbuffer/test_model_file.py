import json

import numpy as np
import pytest

from converters.flatbuffer.model_file import Scheme, WeightMatrix, read_model_file
from tests.support.model_metadata import dense, metadata, packed_dense
from tests.support.packed_layer import random_layer
from tests.support.tflite_builder import ModelBuilder, RecognizerBuilder, schema
from tests.support.tiny_conformer import tiny_config
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


def test_half_integers_have_a_scheme_of_their_own(written, generator):
    file = read_model_file(written(recognizer(random_layer(generator, 2, 40, 24, symmetric=None, block_size=16))))
    (matrix,) = file.matrices
    assert matrix.scheme == Scheme(2, True, 16, None, half_integer=True)
    assert matrix.bytes == 2 * 3 * (64 + 16 * 2)  # scales alone
    assert (file.quantization.symmetric, file.quantization.half_integer) == (True, True)


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


@pytest.mark.parametrize(
    ("section", "wrong"),
    [
        ("model", {}),
        ("features", {"mel_bins": 2**31 - 1}),
        ("features", {"mel_bins": 2**31 - 1, "fft_length": 2**31 - 1}),
        ("features", {"mel_bins": 2**70}),
        ("features", {"sample_rate": 2**70}),
        ("model", {"blocks": 1, "dim": 2**70, "heads": 1}),
    ],
)
def test_layer_rows_need_a_valid_configuration(written, generator, section, wrong):
    config = tiny_config().model_dump(mode="json") | {section: wrong}
    file = read_model_file(written(recognizer(random_layer(generator, 8, 40, 9), config=config)))
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


STREAM = {
    "sample_rate": 16000, "step_samples": 640, "frame_samples": 640, "delay_frames": 0, "flush_samples": 0,
    "flush_signature": "flush",
}  # fmt: skip
AUDIO_GRAPH = {
    "signature": "transcribe",
    "inputs": [{"name": "waveform", "shape": [1, -1], "dtype": "float32"}],
    "outputs": [{"name": "logits", "shape": [1, -1, -1], "dtype": "float32"}],
}
NORM = {"name": "norm", "kind": "normalization", "parameters": 80, "float_bytes": 320}


def deep(levels: int) -> dict:
    tree: dict = {}
    for _ in range(levels):
        tree = {"a": tree}
    return tree


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": deep(100)}, "more than 64 deep"),
        ({"layers": 5}, "layers in its TFCONFORMER metadata"),
        ({"layers": {"a": 1}}, "layers in its TFCONFORMER metadata"),
        ({"layers": [5]}, "layers.0"),
        ({"layers": [NORM | {"parameters": 1e308}]}, "layers.0.parameters"),
        ({"layers": [NORM | {"parameters": 2**70}]}, "layers.0.parameters"),
        ({"layers": [NORM | {"parameters": -1}]}, "layers.0.parameters"),
        ({"layers": [NORM | {"parameters": "80"}]}, "layers.0.parameters"),
        ({"layers": [NORM | {"sqnr_db": 1e308}]}, "layers.0.sqnr_db"),
        ({"layers": [NORM | {"name": 5}]}, "layers.0.name"),
        ({"layers": [NORM | {"name": "\ud800"}]}, "half of a pair of surrogates"),
        ({"layers": [NORM | {"spec": {"bits": 4, "clip": "wide"}}]}, "the spec of the layer norm is wrong"),
        ({"layers": [NORM | {"float_bytes": 2**31}]}, "describe 2,147,483,648 bytes of weights, it has"),
        ({"tokenizer": 5}, "tokenizer in its TFCONFORMER metadata"),
        ({"method": ["qat"]}, "method in its TFCONFORMER metadata"),
        ({"config": []}, "config in its TFCONFORMER metadata"),
        ({"config": {"training": 5}}, "config in its TFCONFORMER metadata: training"),
        ({"config": {"training": {"seed": "x", "epochs": 1, "steps_per_epoch": 1}}}, "'seed'"),
        (
            {"task": {"name": "recognition_transducer", "search": "transducer"}},
            "task.vocabulary should be",
        ),
        ({"task": {"name": "x", "search": "transducer", "vocabulary": 9, "max_symbols": 5}}, "the graph 'predict'"),
        (
            {"task": {"name": "x", "search": "transducer", "vocabulary": 9, "max_symbols": 5, "durations": [1]}},
            "settings of the search 'tdt'",
        ),
        ({"task": {"name": "x", "search": "tdt", "vocabulary": 9, "max_symbols": 5}}, "settings of the search 'tdt'"),
        ({"task": {"name": "x", "search": "tdt", "durations": [-1]}}, "task.durations.0"),
        ({"graphs": []}, "graphs in its TFCONFORMER metadata"),
        ({"graphs": [AUDIO_GRAPH | {"inputs": AUDIO_GRAPH["inputs"] * 2}]}, "two tensors have the same name"),
        (
            {"graphs": [AUDIO_GRAPH | {"states": [{"name": "s", "shape": [-1], "dtype": "float32"}]}]},
            "a free dimension",
        ),
        ({"graphs": [AUDIO_GRAPH | {"stream": STREAM}]}, "there is no int32 state 'position'"),
        ({"graphs": [AUDIO_GRAPH | {"stream": STREAM | {"flush_samples": 2**31}}]}, "graphs.0.stream.flush_samples"),
        ({"graphs": [AUDIO_GRAPH | {"stream": STREAM | {"sample_rate": True}}]}, "graphs.0.stream.sample_rate"),
        ({"format": [2]}, "have the format [2], expected 1 or 2"),
    ],
)
def test_hostile_metadata_are_one_sentence(written, generator, change, message):
    layer = random_layer(generator, 8, 40, 9)
    tree = {"format": 2, "task": {"name": "recognition_ctc", "search": "ctc"}, "graphs": [AUDIO_GRAPH]} | change
    with pytest.raises(InputError) as error:
        read_model_file(written(RecognizerBuilder([layer], tree).finish()))
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b'{"format": 2, "format": 1}', b'{"format": NaN}', b"\xff", b"1" * 9999]
)
def test_metadata_that_are_no_json_are_one_sentence(written, generator, content):
    builder = RecognizerBuilder([random_layer(generator, 8, 40, 9)], metadata())
    builder.model.buffers[builder.model.metadata[0].buffer].data = np.frombuffer(content, np.uint8)
    with pytest.raises(InputError, match="metadata are not JSON"):
        read_model_file(written(builder.finish()))


def test_sizes_are_measured_whatever_the_metadata_say(written, generator):
    layer = random_layer(generator, 8, 40, 9)
    claimed = packed_dense("dense_0", layer) | {
        "parameters": 10**9,
        "float_bytes": 7,
        "code_bytes": 3,
        "scale_bytes": 1,
    }
    file = read_model_file(written(RecognizerBuilder([layer], metadata(claimed)).finish()))
    assert file.parameters == 40 * 9 + 9
    (record,) = file.records
    assert (record.float_bytes, record.code_bytes, record.scale_bytes) == (4 * 9, file.weight_bytes, 0)


@pytest.mark.parametrize(
    ("operand", "value"), [("scales", np.nan), ("scales", 0), ("params", 0), ("params", 2**31 - 1)]
)
def test_damaged_constants_of_a_layer_are_one_sentence(written, generator, operand, value):
    builder = RecognizerBuilder([random_layer(generator, 8, 40, 9)], metadata())
    tensor = next(tensor for tensor in builder.subgraph.tensors if tensor.name == f"layer0/{operand}".encode())
    kind = np.float16 if operand == "scales" else np.int32
    content = np.array(builder.model.buffers[tensor.buffer].data).view(kind)
    content[1] = value  # of the op attributes, the bits
    builder.model.buffers[tensor.buffer].data = content.view(np.uint8)
    with pytest.raises(InputError, match="the constants of layer layer0 contradict its op attributes"):
        read_model_file(written(builder.finish()))
