"""Builds `fuzz.c` with the delegate's sources, writes its corpus of valid nodes, and runs it."""

from __future__ import annotations

import itertools
import os
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.capability.layer_file import layer_graph
from converters.custom_ops import FULLY_CONNECTED, padded_columns
from converters.exporter.float_operations import (
    FloatOperation,
    attention_operation,
    depthwise_operation,
    normalization_operation,
)
from converters.exporter.operators import LayerOperators
from converters.exporter.pack import pack_weights
from converters.flatbuffer.editor import GraphFile
from tfconformer.quantization.spec import QuantSpec

SOURCES = Path(__file__).parents[4] / "converters" / "custom_ops"
# Numbers of the types in the runtimes' own enumeration, which is not that of the file.
_RUNTIME_TYPES = {
    schema.TensorType.FLOAT32: 1,
    schema.TensorType.INT32: 2,
    schema.TensorType.UINT8: 3,
    schema.TensorType.FLOAT16: 10,
}
_MAX_RANK = 6


class Counts(NamedTuple):
    """How many cases went which way."""

    run: int
    refused: int
    skipped: int


def build(folder: Path) -> Path:
    """Compiles the program under AddressSanitizer and UBSan.

    Without optimization, which takes the kernels' unrolled loops minutes under sanitizers, and without the three checks
    of every pointer, whose faults AddressSanitizer finds too. (x86 has no alignment to violate; Prepare is asked for
    that of constants by the driver, which moves them.)
    """
    sources = [Path(__file__).with_name("fuzz.c"), *sorted(SOURCES.rglob("*.c"))]
    sanitizers = [
        "-fsanitize=address,undefined",
        "-fno-sanitize=null,alignment,object-size",
        "-fno-sanitize-recover=all",
    ]
    options = ["-std=gnu11", "-O0", "-g", "-ffp-contract=off", "-Wall", "-Wextra", *sanitizers]

    def compile_one(source: Path) -> str:
        target = folder / f"{source.parent.name}_{source.stem}.o"
        subprocess.run(["gcc", *options, "-c", str(source), "-o", str(target)], check=True)
        return str(target)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, sources))
    program = folder / "fuzz"
    subprocess.run(["gcc", *sanitizers, *objects, "-lm", "-lpthread", "-o", str(program)], check=True)
    return program


def run(program: Path, corpus: Path, seed: int, first: int, count: int, kernels: list[str]) -> Counts:
    """Runs cases; an AssertionError has the sanitizer's report and the number of the case."""
    command = [str(program), str(corpus), str(seed), str(first), str(count), *kernels]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, f"{' '.join(command[2:])}\n{completed.stderr[-6000:]}"
    words = completed.stdout.split()
    return Counts(int(words[1]), int(words[3]), int(words[5]))


def write_corpus(path: Path) -> Path:
    """Nodes of every scheme, rows and some convolutions, and the float operations, as the exporter writes them."""
    nodes = []
    rng = np.random.default_rng(0)
    schemes = itertools.chain(
        itertools.product((2, 4, 8), (True, False), (None, 32, 64), (None, 8), (None, "2:4", "1:4")),
        itertools.product((3,), (True, False), (None, 24, 64), (None, 8), (None,)),
        itertools.product((1, 2), (None,), (None, 32), (None, 8), (None,)),  # half-integers
    )
    for number, (bits, symmetric, block_size, activation_bits, sparsity) in enumerate(schemes):
        spec = QuantSpec(
            bits=bits,
            symmetric=symmetric is not False,
            scheme="half_integer" if symmetric is None else "uniform",
            block_size=block_size,
            activation_bits=activation_bits,
            sparsity=sparsity,
        )
        k, n = [(64, 16), (70, 5), (1, 1), (33, 20), (130, 17)][number % 5]
        nodes.append(_node(layer_graph([_random_weights(rng, k, n, spec)], rows=1)))
        if number % 4 == 0:
            convolution = replace(_random_weights(rng, 27, n, spec), window=3, stride=2)
            nodes.append(_node(layer_graph([convolution], rows=1), image=[1, 5, 4, 3]))
    for frames, channels in [(15, 20), (1, 3), (32, 48), (4, 16)]:
        kernel, bias = rng.standard_normal((frames, channels), np.float32), rng.standard_normal(channels, np.float32)
        variables = [(2, frames + 9, channels)]
        nodes.append(_float_node(depthwise_operation(kernel, bias), variables, (2, 10, channels)))
    for channels in (1, 64, 70, 200):
        operation = normalization_operation(*rng.standard_normal((2, channels), np.float32), 1e-5)
        nodes.append(_float_node(operation, [(2, 10, channels)], (2, 10, channels)))
    for batch, frames, heads, width, mask_rows in [(1, 1, 1, 1, 1), (2, 9, 2, 3, 1), (1, 17, 1, 20, 17)]:
        frames_shape = (batch, frames, heads * width)
        variables = [frames_shape] * 3 + [(1, 2 * frames - 1, heads * width), (batch, 1, mask_rows, frames)]
        biases = rng.standard_normal((2, heads, width), np.float32)
        nodes.append(_float_node(attention_operation(*biases), variables, frames_shape))
    steps = [(1, 1, 1, 1, 1, 1, 1), (2, 3, 2, 5, 8, 10, 6), (1, 1, 2, 16, 17, 17, 17), (1, 20, 1, 3, 30, 33, 40)]
    for batch, frames, heads, width, span, capacity, distances in steps:
        dim = heads * width
        states = [(batch, dim, padded_columns(capacity)), (batch, capacity, dim)]
        variables = [(batch, frames, dim)] * 3 + [(batch, 1, frames, span), (1,), *states]
        biases = rng.standard_normal((2, heads, width), np.float32)
        table = rng.standard_normal((distances, dim), np.float32)
        nodes.append(_float_node(attention_operation(*biases, table), variables, (batch, frames, dim)))
    path.write_bytes(struct.pack("<i", len(nodes)) + b"".join(nodes))
    return path


def _random_weights(rng: np.random.Generator, k: int, n: int, spec: QuantSpec) -> Any:
    low, high = spec.code_range
    codes = rng.integers(low, high + 1, (k, n)).astype(np.float32)
    if spec.n_of_m is not None:
        kept, group = spec.n_of_m
        codes[np.arange(k) % group >= kept] = 0
    scales = rng.uniform(0.01, 1, (spec.blocks(k), n)).astype(np.float16).astype(np.float32)
    offsets = {"none": None, "stored": scales, "implied": scales / -2}[spec.zero_points]
    return pack_weights(codes, scales, offsets, spec)


def _float_node(layer: FloatOperation, variables: list[tuple[int, ...]], output: tuple[int, ...]) -> bytes:
    """A node of variables of these shapes; one with the shape [1] is of integers."""
    file = GraphFile.empty()
    (graph,) = file.graphs
    inputs = [graph.add_tensor(f"x{number}", shape) for number, shape in enumerate(variables)]
    for index, shape in zip(inputs, variables, strict=True):
        if shape == (1,):
            graph.subgraph.tensors[index].type = schema.TensorType.INT32
    y = graph.add_tensor("y", output)
    operator = schema.OperatorT()
    operator.outputs = np.array([y], np.int32)
    LayerOperators(file).set(graph, operator, "layer", layer, *inputs)
    graph.subgraph.operators = [operator]
    graph.subgraph.inputs, graph.subgraph.outputs = np.array(inputs, np.int32), np.array([y], np.int32)
    return _node(file.to_bytes(), layer.operation)


def _node(content: bytes, operation: str = FULLY_CONNECTED, image: list[int] | None = None) -> bytes:
    """The tensors of the only node: inputs in their order, then the output; `image` is another shape for the first."""
    file = GraphFile.parse(content)
    (graph,) = file.graphs
    (operator,) = graph.subgraph.operators
    assert file.model.operatorCodes[operator.opcodeIndex].customCode == operation.encode()
    indices = [*operator.inputs, *operator.outputs]
    if image is not None:
        graph.subgraph.tensors[indices[0]].shape = image
    parts = [struct.pack("<64si", operation.encode(), len(indices))]
    for index in indices:
        tensor = graph.subgraph.tensors[index]
        data = file.model.buffers[tensor.buffer].data
        constant = b"" if data is None else bytes(data)
        dims = [*tensor.shape, *[0] * (_MAX_RANK - len(tensor.shape))]
        parts.append(struct.pack("<2i6iq", _RUNTIME_TYPES[tensor.type], len(tensor.shape), *dims, len(constant)))
        parts.append(constant)
    return b"".join(parts)
