"""Reading the structure of a `.tflite` file without trusting it.

The runtimes follow the offsets of a file unchecked, so that older ones crash on a truncated or damaged file.
`read_tflite` decodes the whole structure and checks every offset, length and index.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections import Counter
from collections.abc import Iterable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.flatbuffer.builtin_operations import CUSTOM, operand_fault
from tfconformer.errors import InputError

# The tables of TFLite's schema (version 3), fields in their order. `str` is a string, `[x]` a vector, `options` a
# union, of whose table only the extent is checked; other names are tables.
_SCHEMA = {
    "Model": "version:u32 operator_codes:[OperatorCode] subgraphs:[SubGraph] description:str buffers:[Buffer]"
    " metadata_buffer:[i32] metadata:[Metadata] signature_defs:[SignatureDef]",
    "OperatorCode": "deprecated_builtin_code:i8 custom_code:str version:i32 builtin_code:i32",
    "SubGraph": "tensors:[Tensor] inputs:[i32] outputs:[i32] operators:[Operator] name:str",
    "Tensor": "shape:[i32] type:i8 buffer:u32 name:str quantization:Quantization is_variable:u8 sparsity:Sparsity"
    " shape_signature:[i32] has_rank:u8 variant_tensors:[VariantSubType]",
    "Quantization": "min:[i32] max:[i32] scale:[i32] zero_point:[i64] details_type:u8 details:options"
    " quantized_dimension:i32",
    "Sparsity": "traversal_order:[i32] block_map:[i32] dim_metadata:[DimensionMetadata]",
    "DimensionMetadata": "format:i8 dense_size:i32 array_segments_type:u8 array_segments:options"
    " array_indices_type:u8 array_indices:options",
    "VariantSubType": "shape:[i32] type:i8 has_rank:u8",
    "Operator": "opcode_index:u32 inputs:[i32] outputs:[i32] builtin_options_type:u8 builtin_options:options"
    " custom_options:[u8] custom_options_format:i8 mutating_variable_inputs:[u8] intermediates:[i32]"
    " large_custom_options_offset:u64 large_custom_options_size:u64 builtin_options_2_type:u8"
    " builtin_options_2:options",
    "Buffer": "data:[u8] offset:u64 size:u64",
    "Metadata": "name:str buffer:u32",
    "SignatureDef": "inputs:[TensorMap] outputs:[TensorMap] signature_key:str deprecated_tag:str subgraph_index:u32",
    "TensorMap": "name:str tensor_index:u32",
    "options": "",
}
_FIELDS = {table: [field.split(":") for field in fields.split()] for table, fields in _SCHEMA.items()}
_SCALARS = {"i8": "b", "u8": "B", "i32": "i", "u32": "I", "i64": "q", "u64": "Q"}
# Limit of the decoded bytes, in sizes of the file. Writers share few tables; decoding a file whose tables all refer to
# the same ones would otherwise take far too long.
_MAX_SHARING = 4


@dataclass(frozen=True)
class Signature:
    """A signature of a file: a graph with names for its inputs and outputs.

    Attributes:
      inputs, outputs: names of its tensors.
      graph: index of the graph.
    """

    inputs: frozenset[str]
    outputs: frozenset[str]
    graph: int = 0


@dataclass(frozen=True)
class TfliteFile:
    """The facts of a model file that a program checks before it gives the file to a runtime.

    Attributes:
      custom_operations: number of nodes in all graphs by name of the custom operation.
      signatures: signatures by name.
      metadata: contents of the metadata entries by name.
    """

    custom_operations: dict[str, int]
    signatures: dict[str, Signature]
    metadata: dict[str, bytes]


class _BrokenFileError(Exception):
    """A damaged structure; the message names the fault."""


class _Decoder:
    """A decoder of tables to dictionaries of integers, strings, tuples of integers, and slices for vectors of bytes."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._budget = _MAX_SHARING * len(data)

    def model(self) -> dict[str, Any]:
        if self._data[4:8] != b"TFL3":
            raise _BrokenFileError("it lacks the identifier TFL3")
        return self._table(self._scalar("u32", 0), "Model")

    def _unpack(self, code: str, position: int) -> tuple[int, ...]:
        self._check(position, struct.calcsize(code))
        return struct.unpack_from(code, self._data, position)

    def _check(self, position: int, length: int) -> None:
        if position < 0 or position + length > len(self._data):
            raise _BrokenFileError(f"it refers to the bytes from {position} to {position + length}")

    def _spend(self, position: int, length: int) -> None:
        self._check(position, length)
        self._budget -= length
        if self._budget < 0:
            raise _BrokenFileError("its tables refer to the same ones again and again")

    def _scalar(self, kind: str, position: int) -> int:
        return self._unpack("<" + _SCALARS[kind], position)[0]

    def _table(self, position: int, name: str) -> dict[str, Any]:
        vtable = position - self._scalar("i32", position)
        vtable_size, table_size = self._unpack("<HH", vtable)
        if vtable_size < 4 or table_size < 4:
            raise _BrokenFileError(f"a table {name} is too small")
        self._spend(position, table_size)
        offsets = self._unpack(f"<{vtable_size // 2 - 2}H", vtable + 4)
        if max(offsets, default=0) >= table_size:
            raise _BrokenFileError(f"a field lies outside of its table {name}")
        if name == "options":
            return self._first_option(position + offsets[0]) if offsets and offsets[0] else {}
        fields = zip(_FIELDS[name], offsets, strict=False)  # either may be longer: fields come with schema versions
        return {field: self._field(kind, position + offset) for (field, kind), offset in fields if offset}

    def _first_option(self, position: int) -> dict[str, Any]:
        """Reads the first field of a union's table as an integer, which it may not be."""
        return {"first": self._scalar("i32", position)} if position + 4 <= len(self._data) else {}

    @staticmethod
    def _text(content: bytes) -> str:
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            raise _BrokenFileError(
                f"the name {content[:40]!r} is no Unicode text"
            ) from None  # the runtimes decode names

    def _field(self, kind: str, position: int) -> Any:
        if kind in _SCALARS:
            return self._scalar(kind, position)
        target = position + self._scalar("u32", position)
        if not kind.startswith("[") and kind != "str":
            return self._table(target, kind)
        item, length, first = kind.strip("[]"), self._scalar("u32", target), target + 4
        if item == "str":
            self._check(first, length)
            return self._text(self._data[first : first + length])
        if item == "u8":
            self._check(first, length)
            return slice(first, first + length) if length else slice(0, 0)
        if item in _SCALARS:
            self._spend(first, length * struct.calcsize(_SCALARS[item]))
            return self._unpack(f"<{length}{_SCALARS[item]}", first)
        self._spend(first, 4 * length)
        return [self._field(item, first + 4 * i) for i in range(length)]


def _check_indices(what: str, indices: tuple[int, ...], count: int, *, lowest: int = 0) -> None:
    for index in indices:
        if not lowest <= index < count:
            raise _BrokenFileError(f"{what} has the index {index}, but there are {count}")


def _check_references(model: dict[str, Any], file_size: int) -> None:
    """Checks the indices by which the tables refer to one another."""
    buffers, subgraphs = model.get("buffers", []), model.get("subgraphs", [])
    if not subgraphs:
        raise _BrokenFileError("it has no graph")
    for buffer in buffers:
        if buffer.get("offset", 0) + buffer.get("size", 0) > file_size:
            raise _BrokenFileError("a buffer ends after the file")
    codes = [_builtin_code(code) for code in model.get("operator_codes", [])]
    computed = []
    for subgraph in subgraphs:
        _check_tensors(subgraph, buffers)
        computed.append(_check_order(subgraph, buffers, codes))
        _check_written(subgraph.get("outputs", ()), computed[-1], subgraph.get("tensors", []))
    for entry in model.get("metadata", []):
        _check_indices("a metadata buffer", (entry.get("buffer", 0),), len(buffers))
    for signature in model.get("signature_defs", []):
        _check_indices("a signature's graph", (signature.get("subgraph_index", 0),), len(subgraphs))
        tensors = subgraphs[signature.get("subgraph_index", 0)].get("tensors", [])
        for entry in signature.get("inputs", []) + signature.get("outputs", []):
            _check_indices("a signature's tensor", (entry.get("tensor_index", 0),), len(tensors))
        outputs = [entry.get("tensor_index", 0) for entry in signature.get("outputs", [])]
        _check_written(outputs, computed[signature.get("subgraph_index", 0)], tensors)
        inputs = {entry.get("tensor_index", 0) for entry in signature.get("inputs", [])}
        if not inputs.isdisjoint(_constants(tensors, buffers)):  # which is mapped from the file, and not writable
            raise _BrokenFileError("an input of a signature is a constant")


def _check_tensors(subgraph: dict[str, Any], buffers: list[dict[str, Any]]) -> None:
    tensors = subgraph.get("tensors", [])
    for tensor in tensors:
        _check_indices("a tensor's buffer", (tensor.get("buffer", 0),), len(buffers))
        if any(size < 0 for size in tensor.get("shape", ())):
            raise _BrokenFileError(f"the tensor {tensor.get('name', '')!r} has a negative dimension")
    for end in ("inputs", "outputs"):
        _check_indices(f"a graph's list of {end}", subgraph.get(end, ()), len(tensors))


def _constants(tensors: list[dict[str, Any]], buffers: list[dict[str, Any]]) -> set[int]:
    """Returns the indices of the tensors whose content is in the file."""
    contents = [buffers[tensor.get("buffer", 0)] for tensor in tensors]
    return {
        index
        for index, buffer in enumerate(contents)
        if buffer.get("offset") or buffer.get("data", slice(0, 0)) != slice(0, 0)
    }


def _builtin_code(code: dict[str, int]) -> int:
    """Returns the code by which the runtimes choose an operation; its name counts only with `CUSTOM`."""
    return max(code.get("builtin_code", 0), code.get("deprecated_builtin_code", 0))


def _check_written(outputs: Iterable[int], computed: Set[int], tensors: list[dict[str, Any]]) -> None:
    """Checks that a graph computes its outputs: the runtimes have no memory for one that nothing writes."""
    for index in outputs:
        if index not in computed:
            raise _BrokenFileError(f"the tensor {tensors[index].get('name', '')!r} is an output, and nothing writes it")


def _check_order(subgraph: dict[str, Any], buffers: list[dict[str, Any]], codes: list[int]) -> set[int]:
    """Checks that operators read only tensors written before them: the runtimes crash on a graph with a loop.

    Returns the indices of the tensors that have a value when the graph was computed.

    They crash too where a built-in operation lacks an input that it needs, or has other outputs than it knows, where a
    graph's input is a constant, and on a variable that is a graph's input or an operator's output, since a variable has
    memory of its own.
    """
    tensors, constants = subgraph.get("tensors", []), _constants(subgraph.get("tensors", []), buffers)
    if not constants.isdisjoint(subgraph.get("inputs", ())):
        raise _BrokenFileError("an input of a graph is a constant")
    variables = {index for index, tensor in enumerate(tensors) if tensor.get("is_variable")}
    # -1: an optional input that is left out
    available = {*subgraph.get("inputs", ()), -1} | constants | variables
    written = (output for operator in subgraph.get("operators", []) for output in operator.get("outputs", ()))
    if not variables.isdisjoint((*subgraph.get("inputs", ()), *written)):
        raise _BrokenFileError("a variable is the input of a graph or the output of an operator")
    unwritable = constants.copy()
    for operator in subgraph.get("operators", []):
        inputs, outputs = operator.get("inputs", ()), operator.get("outputs", ())
        _check_indices("an operator's code", (operator.get("opcode_index", 0),), len(codes))
        _check_indices("an operator's input", inputs, len(tensors), lowest=-1)
        _check_indices("an operator's output", outputs, len(tensors))
        _check_indices("an operator's intermediate", operator.get("intermediates", ()), len(tensors))
        code = codes[operator.get("opcode_index", 0)]
        if code != CUSTOM:  # of which the delegate checks the inputs and outputs
            fault = operand_fault(code, inputs, outputs, operator.get("builtin_options", {}).get("first", 0))
            if fault is not None:
                raise _BrokenFileError(fault)
            if unwritable.intersection(outputs):
                raise _BrokenFileError(f"the built-in operation {code} writes a constant, or what another one writes")
            unwritable.update(outputs)
        for index in inputs:
            if index not in available:
                raise _BrokenFileError(f"the tensor {tensors[index].get('name', '')!r} is read before it is written")
        available.update(outputs)
    return available


def _summarize(model: dict[str, Any], data: mmap.mmap) -> TfliteFile:
    def names(signature: dict[str, Any], end: str) -> frozenset[str]:
        return frozenset(entry.get("name", "") for entry in signature.get(end, []))

    def content(entry: dict[str, Any]) -> bytes:
        buffer = model["buffers"][entry.get("buffer", 0)]
        if buffer.get("offset"):  # stored after the tables, as LiteRT's quantizer does
            return data[buffer["offset"] : buffer["offset"] + buffer.get("size", 0)]
        return data[buffer.get("data", slice(0, 0))]

    codes, signatures = model.get("operator_codes", []), model.get("signature_defs", [])
    operators = (operator for graph in model["subgraphs"] for operator in graph.get("operators", []))
    nodes = Counter(operator.get("opcode_index", 0) for operator in operators)
    custom_operations: Counter[str] = Counter()
    for index, code in enumerate(codes):
        if _builtin_code(code) == CUSTOM:
            custom_operations[code.get("custom_code", "")] += nodes[index]
    return TfliteFile(
        custom_operations=dict(custom_operations),
        signatures={
            signature.get("signature_key", ""): Signature(
                names(signature, "inputs"), names(signature, "outputs"), signature.get("subgraph_index", 0)
            )
            for signature in signatures
        },
        metadata={entry.get("name", ""): content(entry) for entry in model.get("metadata", [])},
    )


def read_tflite(path: str | os.PathLike[str]) -> TfliteFile:
    """Checks the structure of a `.tflite` file and returns its facts.

    Raises:
      InputError: the file cannot be read, is not a `.tflite` file, or is truncated or damaged.
    """
    try:
        with Path(path).open("rb") as file:
            if os.fstat(file.fileno()).st_size < 8:
                raise InputError(f"{path}: not a .tflite file, it is shorter than 8 bytes")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                model = _Decoder(data).model()
                _check_references(model, len(data))
                return _summarize(model, data)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except _BrokenFileError as error:
        raise InputError(f"{path}: not a .tflite file, or a truncated or damaged one ({error})") from error
