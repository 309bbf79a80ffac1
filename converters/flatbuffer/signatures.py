"""Checking that the signatures of a file are the graphs that its metadata describe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from converters.flatbuffer.metadata import GraphDescription, TensorDescription, show_tensor
from converters.flatbuffer.reader import TfliteFile
from tfconformer.errors import InputError


def check_signatures(path: str, file: TfliteFile, graphs: Sequence[GraphDescription]) -> None:
    """Checks that a file has the signatures of all described graphs, with their inputs and outputs by name.

    Args:
      path: the path of the file, for error messages.
      file: its structure, from `read_tflite`.
      graphs: the graphs that its metadata describe.

    Raises:
      InputError: a signature is missing or has other names, or the graph that takes a stream's audio is not the first
        of the file.
    """
    for graph in graphs:
        keys = [graph.signature] if graph.stream is None else [graph.signature, graph.stream.flush_signature]
        for key in keys:
            _check_names(path, file, key, graph)
    first = graphs[0]
    if first.stream is not None and file.signatures[first.signature].graph != 0:
        raise InputError(f"{path}: its signature {first.signature!r} should be the first graph")


def check_tensors(path: str, details: Mapping[str, Any], expected: Iterable[TensorDescription]) -> None:
    """Checks shapes and types of the tensors of a signature.

    Args:
      path: the path of the file, for error messages.
      details: the runtime's details of the tensors, by name.
      expected: the tensors that the metadata describe.

    Raises:
      InputError: a tensor has another shape or type.
    """
    for tensor in expected:
        found = details[tensor.name]
        shape, dtype = tuple(int(size) for size in found["shape"]), np.dtype(found["dtype"]).name
        if not tensor.accepts(shape, dtype):
            raise InputError(f"{path}: its tensor {tensor.name} should be {tensor}, got {show_tensor(shape, dtype)}")


def _check_names(path: str, file: TfliteFile, key: str, graph: GraphDescription) -> None:
    signature = file.signatures.get(key)
    if signature is None:
        raise InputError(f"{path}: it has no signature {key!r}, which its metadata describe")
    inputs, outputs = ({tensor.name for tensor in tensors} for tensors in (graph.all_inputs, graph.all_outputs))
    if signature.inputs != inputs or signature.outputs != outputs:
        raise InputError(f"{path}: inputs and outputs of its signature {key!r} are not those of its metadata")
