"""Damaged files must be recognized before a runtime sees them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.flatbuffer.reader import Signature, read_tflite
from tests.support.packed_layer import random_layer
from tests.support.tflite_builder import ModelBuilder, RecognizerBuilder
from tfconformer.errors import InputError


@pytest.fixture(scope="module")
def content() -> bytes:
    layer = random_layer(np.random.default_rng(0), 4, 40, 8, symmetric=False, block_size=16)
    return RecognizerBuilder([layer], metadata={"format": 1}).finish()


def read(content: bytes, folder: Path) -> object:
    path = folder / "model.tflite"
    path.write_bytes(content)
    return read_tflite(path)


def test_says_what_is_in_the_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    file = read_tflite(path)
    assert file.custom_operations == {"TfconformerFullyConnected": 1}
    assert file.signatures == {"transcribe": Signature(frozenset({"waveform"}), frozenset({"logits"}))}
    assert file.metadata == {"TFCONFORMER": b'{"format": 1}'}


def test_reads_buffers_behind_the_tables(content: bytes, tmp_path: Path) -> None:
    """As LiteRT's quantizer writes them: a buffer without data, but with the place of its bytes in the file."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    (entry,) = model.metadata
    buffer = model.buffers[entry.buffer]
    expected, buffer.data = bytes(buffer.data), None
    buffer.offset, buffer.size = 1 << 20, len(expected)  # no scalar may be zero, or it would not be stored at all

    def pack() -> bytes:
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    buffer.offset = len(pack())
    assert read(pack() + expected, tmp_path).metadata == {"TFCONFORMER": expected}
    with pytest.raises(InputError, match="a buffer ends after the file"):
        read(pack() + expected[:-1], tmp_path)


def test_truncations_are_noticed(content: bytes, tmp_path: Path) -> None:
    for length in [*range(0, len(content), 11), *range(len(content) - 64, len(content))]:
        with pytest.raises(InputError, match=r"not a \.tflite file"):
            read(content[:length], tmp_path)


def test_damaged_bytes_give_an_error_or_a_description(content: bytes, tmp_path: Path) -> None:
    """Any other exception would be a hole in the checks."""
    refused = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        damaged = np.frombuffer(content, np.uint8).copy()
        damaged[rng.integers(0, len(damaged), 3)] = rng.integers(0, 256, 3)
        print(f"seed {seed}")
        try:
            read(damaged.tobytes(), tmp_path)
        except InputError:
            refused += 1
    assert refused > 100  # most bytes of such a small file are structure


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "cannot be read"),
        (lambda path: path.mkdir(), "cannot be read"),
        (lambda path: path.write_bytes(b""), r"not a \.tflite file"),
        (lambda path: path.write_bytes(b"RIFF" * 100), "identifier TFL3"),
        (lambda path: path.write_bytes(b"\0\0\0\0TFL3" + bytes(100)), r"not a \.tflite file"),
    ],
    ids=["missing", "directory", "empty", "other format", "zeros"],
)
def test_what_is_no_model(make: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    make(path)
    with pytest.raises(InputError, match=message):
        read_tflite(path)


def test_tables_that_refer_to_the_same_ones_do_not_take_forever(tmp_path: Path) -> None:
    """Ten thousand graphs that are one, with ten thousand tensors that are one."""

    def repeated(table: int) -> int:
        builder.StartVector(4, 10_000, 4)
        for _ in range(10_000):
            builder.PrependUOffsetTRelative(table)
        return int(builder.EndVector())

    builder = flatbuffers.Builder(1 << 16)
    schema.TensorStart(builder)
    tensors = repeated(schema.TensorEnd(builder))
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensors)
    graphs = repeated(schema.SubGraphEnd(builder))
    schema.ModelStart(builder)
    schema.ModelAddSubgraphs(builder, graphs)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    with pytest.raises(InputError, match="again and again"):
        read(bytes(builder.Output()), tmp_path)


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ([-1, 1], [2], "the built-in operation 22 lacks its input 0"),
        ([0, -1], [2], "the built-in operation 22 lacks its input 1"),
        ([], [2], "the built-in operation 22 has 0 inputs, needs 1"),
        ([0, 1], [2, 3], "the built-in operation 22 has 2 outputs, expected 1"),
        ([0, 1], [], "the built-in operation 22 has 0 outputs, expected 1"),
        ([0, 1], [1], "the built-in operation 22 writes a constant"),
    ],
)
def test_built_in_operations_have_the_inputs_and_outputs_that_they_know(
    inputs: list[int], outputs: list[int], message: str, tmp_path: Path
) -> None:
    """The runtimes crash on others."""
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 4])
    builder.reshape(x, [2, 2], "y")
    extra = builder.tensor("extra", [2, 2])
    (operator,) = builder.subgraph.operators
    operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
    with pytest.raises(InputError, match=message):
        read(builder.build([x], [extra]), tmp_path)


def test_a_slice_with_steps_has_four_inputs(tmp_path: Path) -> None:
    builder = ModelBuilder()
    x, y = builder.tensor("x", [1, 4]), builder.tensor("y", [1, 2])
    limits = [builder.constant(name, np.array([0, 1], np.int32)) for name in ("begin", "end", "strides")]
    builder.operator(schema.BuiltinOperator.STRIDED_SLICE, [x, *limits], y)
    read(builder.build([x], [y]), tmp_path)
    builder.subgraph.operators[0].inputs = np.array([x, *limits[:2]], np.int32)
    with pytest.raises(InputError, match="the built-in operation 45 has 3 inputs, needs 4"):
        read(builder.build([x], [y]), tmp_path)


def test_a_split_has_as_many_outputs_as_its_options_say(tmp_path: Path) -> None:
    builder = ModelBuilder()
    axis, x = builder.constant("axis", np.array(1, np.int32)), builder.tensor("x", [1, 4])
    halves = [builder.tensor(f"half {i}", [1, 2]) for i in range(3)]
    builder.operator(schema.BuiltinOperator.SPLIT, [axis, x], halves[0])
    (operator,) = builder.subgraph.operators
    operator.builtinOptionsType = schema.BuiltinOptions.SplitOptions
    operator.builtinOptions = schema.SplitOptionsT()
    operator.builtinOptions.numSplits = 2
    operator.outputs = np.array(halves[:2], np.int32)
    read(builder.build([x], [halves[0]]), tmp_path)
    operator.outputs = np.array(halves, np.int32)
    with pytest.raises(InputError, match="49 has 3 outputs, expected 2"):
        read(builder.build([x], [halves[0]]), tmp_path)
    operator.outputs = np.array([halves[0], halves[0]], np.int32)
    builder.reshape(x, [1, 2], "other")
    builder.subgraph.operators[-1].outputs = np.array([halves[0]], np.int32)
    with pytest.raises(InputError, match="22 writes a constant, or what another one writes"):
        read(builder.build([x], [halves[0]]), tmp_path)


def test_what_is_written_before_a_call_is_no_constant(tmp_path: Path) -> None:
    """It is mapped from the file: the runtimes do not notice, and the process is killed."""
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 4])
    y = builder.reshape(x, [2, 2], "y")
    constant = builder.constant("constant", np.zeros([1, 4], np.float32))
    builder.signature("call", {"x": x}, {"y": y})
    read(builder.build([x], [y]), tmp_path)
    with pytest.raises(InputError, match="an input of a graph is a constant"):
        read(builder.build([x, constant], [y]), tmp_path)
    builder.model.signatureDefs[0].inputs[0].tensorIndex = constant
    with pytest.raises(InputError, match="an input of a signature is a constant"):
        read(builder.build([x], [y]), tmp_path)


def test_the_name_of_a_built_in_operation_does_not_make_it_ours(tmp_path: Path) -> None:
    """The runtimes choose by the code, and the name counts with the code of custom operations alone."""
    builder = RecognizerBuilder([random_layer(np.random.default_rng(0), 4, 40, 8)], metadata={"format": 1})
    code = builder.model.operatorCodes[-1]
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.SPLIT
    with pytest.raises(InputError, match="the built-in operation 49 has 1 outputs, expected 0"):
        read(builder.finish(), tmp_path)


def test_names_are_unicode(tmp_path: Path) -> None:
    """The runtimes for Python decode the names of tensors and operations, of inner ones too."""
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 4])
    middle = builder.reshape(x, [2, 2], "middle")
    y = builder.reshape(middle, [4, 1], "y")
    builder.signature("call", {"x": x}, {"y": y})
    read(builder.build([x], [y]), tmp_path)
    builder.subgraph.tensors[middle].name = b"mid\x87dle"
    with pytest.raises(InputError, match=r"the name b'mid\\x87dle' is no Unicode text"):
        read(builder.build([x], [y]), tmp_path)


def test_outputs_are_written(tmp_path: Path) -> None:
    """The runtimes have no memory for others, and return nothing for a state, or a null pointer."""
    builder = ModelBuilder()
    x = builder.tensor("x", [1, 4])
    y, never = builder.reshape(x, [2, 2], "y"), builder.tensor("never", [2, 2])
    builder.signature("call", {"x": x}, {"y": y})
    read(builder.build([x], [y]), tmp_path)
    with pytest.raises(InputError, match="the tensor 'never' is an output, and nothing writes it"):
        read(builder.build([x], [y, never]), tmp_path)
    builder.model.signatureDefs[0].outputs[0].tensorIndex = never
    with pytest.raises(InputError, match="the tensor 'never' is an output, and nothing writes it"):
        read(builder.build([x], [y]), tmp_path)
