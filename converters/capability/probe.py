"""Measures on the installed runtimes the table that `converters.exporter.capabilities` reads.

Every kind of layer is computed by every runtime, with and without XNNPACK, for several rows and for one, and compared
with float64. Activations are the difficulty: a runtime may round them to 8 bits, symmetrically or not, and that error
would hide others. So most rows of x hold two values only, 0 and one more: 8 bits represent these exactly with any
scheme, and no error is left but that of float32 sums. With rows of normally distributed values the error must not be
larger than rounding explains. A last row has one value that dwarfs all others: 8 bits round these to 0.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.capability.layer_file import layer_graph
from converters.exporter.capabilities import Case, Outcome, Table, cases
from converters.exporter.pack import pack_weights
from converters.exporter.pack_builtin import builtin_weights
from converters.flatbuffer.editor import GraphFile
from converters.runtime.child_process import child_command
from converters.runtime.model import RUNTIMES
from tfconformer.errors import InputError
from tfconformer.quantization.spec import QuantSpec

N = 24
TWO_VALUED, NORMAL = 12, 4  # rows of x, before the one with an outlier
OUTLIER = 1000.0


def probe(runtimes: Sequence[str] = RUNTIMES) -> Table:
    """Measures all cases.

    Args:
      runtimes: some of `converters.runtime.model.RUNTIMES`.

    Raises:
      InputError: a runtime is not installed, or the native library is missing.
    """
    probed = cases()
    table: Table = {case: {} for case in probed}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        problems = [_write_problem(folder, index, case) for index, case in enumerate(probed)]
        for runtime in runtimes:
            for answer in _run(runtime, folder, len(probed)):
                index, way = answer.pop("index"), answer.pop("way")
                label = f"{runtime} {version(runtime)}" + ("" if way == "xnnpack" else " without XNNPACK")
                table[probed[index]][label] = _outcome(folder / f"{index}.{way}.npy", problems[index], answer)
    return table


class _Problem:
    """A layer with its exact weights and an input.

    Attributes:
      weights: float64 [K, N], exact.
      x: float32 [M, K].
    """

    def __init__(self, weights: NDArray[np.float64], x: NDArray[np.float32]) -> None:
        self.weights, self.x = weights, x


def _write_problem(folder: Path, index: int, case: Case) -> _Problem:
    rng = np.random.default_rng(index)
    spec = QuantSpec(
        bits=case.bits, symmetric=case.symmetric, block_size=case.block_size, activation_bits=case.activation_bits
    )
    low, high = spec.code_range
    codes = rng.integers(low if case.lowest_code else -high, high + 1, (case.k, N)).astype(np.float32)
    codes[0] = low if case.lowest_code else -high
    codes[-1] = 0  # multiplied with the outlier, whose product may not hide a rounded scale
    blocks = spec.blocks(case.k)
    scales = _halves(rng.uniform(0.01, 0.05, (blocks, N)))
    block_of_k = np.arange(case.k) // (case.block_size or case.k)
    if case.target == "custom":
        offsets = None if case.symmetric else _halves(scales * rng.uniform(-1, 1, (blocks, N)))
        content = layer_graph([pack_weights(codes, scales, offsets, spec)], rows=1)
    else:
        offsets = None if case.symmetric else scales
        stored = builtin_weights(codes, scales, spec.model_copy(update={"symmetric": True}))
        content = layer_graph([stored], rows=1)
        if not case.symmetric:
            content = _with_zero_points(content, blocks)
    weights = codes.astype(np.float64) * scales[block_of_k]
    if offsets is not None:
        weights -= offsets[block_of_k]
    (folder / f"{index}.tflite").write_bytes(content)
    x = _inputs(rng, case.k)
    np.save(folder / f"{index}.npy", x)
    return _Problem(weights, x)


def _halves(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rounds to the precision in which scales are stored."""
    return values.astype(np.float16).astype(np.float32)


def _with_zero_points(content: bytes, blocks: int) -> bytes:
    """Returns the file with zero points of 1."""
    file = GraphFile.parse(content)
    (graph,) = file.graphs
    (codes,) = (tensor for tensor in graph.subgraph.tensors if tensor.name.endswith(b"/codes"))
    if codes.quantization.details is None:
        codes.quantization.zeroPoint = np.ones(N, np.int64)
    else:
        codes.quantization.details.zeroPoints = graph.add_constant("zero_points", np.ones((N, blocks), np.int32))
    return file.to_bytes()


def _inputs(rng: np.random.Generator, k: int) -> NDArray[np.float32]:
    """Draws x [TWO_VALUED + NORMAL + 1, K]; the other value of a two-valued row is above or below zero."""
    magnitudes = rng.uniform(0.1, 10, (TWO_VALUED, 1)) * np.where(np.arange(TWO_VALUED) % 2, -1, 1)[:, None]
    two_valued = rng.integers(0, 2, (TWO_VALUED, k)) * magnitudes
    others = rng.standard_normal((NORMAL + 1, k))
    others[-1, -1] = OUTLIER
    return np.concatenate([two_valued, others]).astype(np.float32)


def _run(runtime: str, folder: Path, count: int) -> list[dict[str, Any]]:
    command = child_command("converters.capability.layer_runner", runtime, str(folder), str(count))
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    if completed.returncode:
        raise InputError(f"the probe of {runtime} failed ({completed.stderr.strip()[-500:]})")
    return [json.loads(line) for line in completed.stdout.splitlines()]


def _outcome(path: Path, problem: _Problem, answer: dict[str, Any]) -> Outcome:
    if "crashed" in answer:
        return Outcome("crashed")
    if "refused" in answer:
        return Outcome("refused", reason=answer["refused"])
    x, weights = problem.x.astype(np.float64), problem.weights
    *rows, again = np.load(path)
    y, exact = np.array(rows), x @ weights
    magnitudes = np.abs(x) @ np.abs(weights)
    # K products and sums round by at most 2^-24 of the sum of their magnitudes each; bfloat16 keeps 8 bits of a scale.
    float_error, bfloat_error = (len(weights) + 2) * 2.0**-24, 2.0**-8
    # A step of an 8-bit activation is at most 1/127 of the largest magnitude. Rounding the value costs half of it,
    # rounding the zero point another half.
    step = np.abs(x).max(axis=1, keepdims=True) / 127
    for result, relative in (("exact", float_error), ("rounded", float_error + bfloat_error)):
        allowed = relative * magnitudes
        allowed[TWO_VALUED:] += step[TWO_VALUED:] * np.abs(weights).sum(axis=0)
        if (np.abs(y - exact) <= allowed).all() and (np.abs(again - exact[0]) <= allowed[0]).all():
            small = x[-1, :-1] @ weights[:-1]  # the outlier hides it
            lost = np.linalg.norm(y[-1] - exact[-1]) > 0.5 * np.linalg.norm(small)
            return Outcome(result, activations=8 if lost else 32)
    return Outcome("wrong")
