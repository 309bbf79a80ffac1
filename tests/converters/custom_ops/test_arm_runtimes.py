"""The delegate inside the runtimes that PyPI has for 64-bit Arm, in an emulator: the same bits as on this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.arm_instructions import Counter, parse_counts
from benchmarks.arm_machine import LITERT, NUMPY, TFLITE_RUNTIME, ArmMachine, ArmPython, Wheel
from benchmarks.random_weights import random_builtin, random_packed
from converters.capability.layer_file import layer_graph
from converters.custom_ops import library_path
from tfconformer.data.speech.debian_packages import ArchiveUnreachableError
from tfconformer.errors import UnavailableError
from tfconformer.quantization.spec import QuantSpec

K, N, M = 96, 40, 3
SCRIPT = Path(__file__).with_name("run_interpreter.py")
SPECS = [
    QuantSpec(bits=2, block_size=32, symmetric=False, activation_bits=8),
    QuantSpec(bits=4, activation_bits=8),
    QuantSpec(bits=8, block_size=64),
    QuantSpec(bits=4, block_size=32, activation_bits=8, sparsity="2:4"),
    QuantSpec(bits=2, activation_bits=8, sparsity="1:4"),
]


@pytest.fixture(scope="module")
def python() -> ArmPython:
    try:
        for wheel in (LITERT, TFLITE_RUNTIME, NUMPY):
            wheel.fetch()
        return ArmPython.prepare(ArmMachine.prepare())
    except (UnavailableError, ArchiveUnreachableError) as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    ("wheel", "module"), [(LITERT, "ai_edge_litert.interpreter"), (TFLITE_RUNTIME, "tflite_runtime.interpreter")]
)
def test_the_delegate_computes_the_same_bits(python: ArmPython, wheel: Wheel, module: str, tmp_path: Path) -> None:
    library = python.machine.build_library()
    rng = np.random.default_rng(0)
    model, inputs = tmp_path / "model.tflite", tmp_path / "inputs.npz"
    model.write_bytes(layer_graph([random_packed(spec, K, N) for spec in SPECS], M))
    np.savez(inputs, **{str(i): rng.standard_normal((M, K), np.float32) for i in range(len(SPECS))})
    emulated, native = tmp_path / "emulated.npz", tmp_path / "native.npz"
    # Debian's Python has none of the pure Python packages that LiteRT imports: those of this machine serve.
    path = [wheel.fetch(), NUMPY.fetch(), Path(np.__file__).parents[1]]
    words = [SCRIPT, module, library, model, inputs, emulated]
    done = subprocess.run(python.command(words, path, "cortex-a76"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    words = [SCRIPT, "ai_edge_litert.interpreter", library_path(), model, inputs, native]
    subprocess.run([sys.executable, *map(str, words)], check=True, capture_output=True)
    expected, found = np.load(native), np.load(emulated)
    assert len(expected) == len(SPECS)
    for name, y in expected.items():
        np.testing.assert_array_equal(found[name], y)


def test_counts_are_per_run() -> None:
    counts = parse_counts("regions 4 instructions 4002 products 800\n")
    assert (counts.instructions, counts.products) == (1000, 200)


def test_instructions_are_counted() -> None:
    """In LiteRT's CompiledModel, for which the delegate is an accelerator."""
    try:
        counter = Counter.prepare()
    except UnavailableError as error:
        pytest.skip(str(error))
    x = np.random.default_rng(0).standard_normal((1, 256), np.float32)
    products = {}
    for sparsity in (None, "2:4", "1:4"):
        weights = random_packed(QuantSpec(bits=2, activation_bits=8, sparsity=sparsity), 256, 64)
        text, y = counter.count(weights, x)
        counts = parse_counts(text)
        # 8-bit activations cost about 1 %.
        assert np.linalg.norm(y - x @ weights.dequantize()) < 0.05 * np.linalg.norm(y)
        assert counts.products < counts.instructions
        products[sparsity] = counts.products
    # An sdot has 16 products, and pruned ones are not computed.
    assert products == {None: 256 * 64 // 16, "2:4": 256 * 64 // 32, "1:4": 256 * 64 // 64}
    text, y = counter.count(random_builtin(QuantSpec(bits=8), 256, 64), x)
    assert parse_counts(text).products == 256 * 64 // 16
