"""Exported files with something changed in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.flatbuffer.editor import GraphFile
from converters.flatbuffer.metadata import METADATA


def with_constant(path: Path, ending: str, dtype: Any, index: int, value: Any) -> bytes:
    """Returns the file with another number at `index` in the first constant whose name has this ending."""
    file = GraphFile.parse(path.read_bytes())
    for graph in file.graphs:
        for tensor in graph.subgraph.tensors:
            buffer = file.model.buffers[tensor.buffer]
            if tensor.name.decode().endswith(ending) and buffer.data is not None and len(buffer.data):
                content = np.array(buffer.data).view(dtype)
                content[index] = value
                tensor.buffer = file.add_buffer(content.view(np.uint8))
                return file.to_bytes()
    raise AssertionError(f"{path} has no constant that ends in {ending}")


def constant_bias(path: Path, layer: str) -> NDArray[np.float32]:
    """Returns the bias of a float layer, where that computes its output."""
    file = GraphFile.parse(path.read_bytes())
    return np.array(file.model.buffers[_bias(file, layer).buffer].data).view(np.float32)


def with_bias(path: Path, layer: str, index: int, value: float) -> bytes:
    """Returns the file with another number at `index` of the bias of a float layer, where that computes its output."""
    file = GraphFile.parse(path.read_bytes())
    bias, content = _bias(file, layer), constant_bias(path, layer)
    content[index] = value
    bias.buffer = file.add_buffer(content.view(np.uint8))
    return file.to_bytes()


def _bias(file: GraphFile, layer: str) -> Any:
    for graph in file.graphs:
        tensors = graph.subgraph.tensors
        for operator in graph.subgraph.operators:
            if tensors[operator.outputs[0]].name.decode().endswith(f"{layer}/BiasAdd"):
                return tensors[operator.inputs[-1]]
    raise AssertionError(f"there is no layer {layer} with a bias")


def with_metadata(path: Path, change: Callable[[Any], Any]) -> bytes:
    """Returns the file with what `change` makes of its metadata: a new JSON tree, or the bytes of the entry."""
    file = GraphFile.parse(path.read_bytes())
    (entry,) = (one for one in file.model.metadata if one.name == METADATA.encode())
    changed = change(json.loads(bytes(file.model.buffers[entry.buffer].data)))
    content = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
    entry.buffer = file.add_buffer(as_bytes(content))
    return file.to_bytes()


def as_bytes(content: bytes) -> NDArray[np.uint8]:
    """Returns bytes as an array."""
    return np.frombuffer(content, np.uint8)
