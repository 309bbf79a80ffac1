"""Our operation in LiteRT's CompiledModel: the delegate registered as an accelerator, from C."""

from __future__ import annotations

import subprocess
from pathlib import Path

import ai_edge_litert
import numpy as np

from benchmarks.random_weights import random_packed
from converters.capability.layer_file import layer_graph
from converters.custom_ops import library_path
from tfconformer.quantization.spec import QuantSpec

K, N, M = 70, 24, 5
SOURCE = Path(__file__).parents[3] / "benchmarks/compiled_model.c"
LITERT = Path(next(iter(ai_edge_litert.__path__))) / "libLiteRt.so"


def test_the_delegate_is_an_accelerator(tmp_path: Path) -> None:
    program, model, library = tmp_path / "compiled_model", tmp_path / "model.tflite", library_path()
    options = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", str(SOURCE), "-ldl", "-o", str(program)]
    subprocess.run(["gcc", *options], check=True)
    layer = random_packed(QuantSpec(bits=2, block_size=32, symmetric=False), K, N)
    model.write_bytes(layer_graph([layer], M))
    x = np.random.default_rng(0).standard_normal((M, K), np.float32)
    command = [str(program), str(LITERT), str(library), str(model), *map(str, (M, K, N, 1))]
    completed = subprocess.run(command, input=x.tobytes(), capture_output=True, check=False)
    assert completed.returncode == 0, completed.stderr.decode()
    y = np.frombuffer(completed.stdout, np.float32).reshape(M, N)
    # Float sums in another order; the two parts of an asymmetric weight are at most twice the largest weight.
    kernel = layer.dequantize()
    tolerance = (K + 10) * 2.0**-24 * 2 * np.abs(kernel).max() * np.abs(x).sum(axis=1, keepdims=True)
    assert (np.abs(y - x @ kernel) <= tolerance).all()
