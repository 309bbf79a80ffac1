"""The benchmarks measure what they say: right layers, fair turns, the machine's own limits."""

import subprocess

import numpy as np
import pytest

from benchmarks import limits
from benchmarks.limits import Limits, parse_limits
from benchmarks.litert_layers import LiteRtLayers, stamped
from benchmarks.random_weights import random_builtin, random_kernel, random_packed
from benchmarks.timing import interleaved_seconds
from tfconformer.quantization.spec import QuantSpec

OUTPUT = "read 1024 4e11\nread 1048576 1e11\nfloat a b 2e11\nint8 c 9e11\nint8 d+e 4e11\n"


def test_limits_are_read():
    assert parse_limits(OUTPUT) == Limits(
        ((1024, 4e11), (1048576, 1e11)), {"float a b": 2e11, "int8 c": 9e11, "int8 d+e": 4e11}
    )


@pytest.mark.parametrize(
    ("read_bytes", "working_set", "multiplications", "kind", "seconds"),
    [
        (1000, 1000, 0, "int8", 1000 / 4e11),
        (1000, 1025, 0, "int8", 1000 / 1e11),
        (1000, 1e9, 0, "int8", 1000 / 1e11),  # larger than any buffer: the slowest rate
        (0, 0, 1000, "int8", 2000 / 9e11),
        (0, 0, 1000, "float", 2000 / 2e11),
        (1000, 1000, 1000, "float", 2000 / 2e11),  # the longer of the two
    ],
)
def test_the_least_time(read_bytes, working_set, multiplications, kind, seconds):
    assert parse_limits(OUTPUT).seconds(read_bytes, working_set, multiplications, kind) == pytest.approx(seconds)


def test_the_program_that_measures_them_compiles(tmp_path):
    options = ["-std=c11", "-O0", "-march=native", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["gcc", *options, "-c", limits._SOURCE, "-o", tmp_path / "limits.o"], check=True)


def test_everybody_has_a_turn_in_every_round():
    calls = []
    seconds = interleaved_seconds({name: lambda name=name: calls.append(name) for name in "ab"}, 3, 1e-9)
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3}
    # Twice before: to warm up, and to see how often a turn calls it.
    assert "".join(calls) == "aabb" + "ab" * 3


@pytest.mark.parametrize(
    "weights",
    [
        random_packed(QuantSpec(bits=2, block_size=32, symmetric=False, activation_bits=8), 64, 24),
        random_packed(QuantSpec(bits=4, block_size=32, activation_bits=8, sparsity="2:4"), 64, 24),
        random_builtin(QuantSpec(bits=4), 64, 24),
        random_kernel(64, 24),
    ],
    ids=["ours", "sparse", "builtin", "float"],
)
def test_layers_compute_their_kernel(weights):
    layers = LiteRtLayers(weights, copies=3)
    for m in (1, 5):
        x = np.random.default_rng(m).standard_normal((m, 64), np.float32)
        layers.feed(x)
        layers.run()
        outputs = layers.outputs()
        assert len(outputs) == 3
        for y in outputs:
            # 8-bit activations cost about 1 %. The first two channels bear the stamp of a copy.
            assert np.linalg.norm((y - x @ layers.kernel)[:, 2:]) < 0.05 * np.linalg.norm(y[:, 2:])


def test_copies_differ():
    for values in (np.zeros((3, 4), np.uint8), np.zeros((3, 4), np.float32)):
        copies = [stamped(values, number).tobytes() for number in range(0, 2**14, 37)]
        assert len(set(copies)) == len(copies)
        assert not values.any()
