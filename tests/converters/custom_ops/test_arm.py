"""The kernels of 64-bit Arm in an emulator: bit for bit the definition, on processors of three generations."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.arm_machine import CLANG_OBJECTS, sme2_emulator
from converters.custom_ops import padded_columns
from tests.support import attention_layer, depthwise_layer, normalization_layer
from tests.support.attention_layer import (
    AttentionInputs,
    AttentionLayer,
    RandomStream,
    random_stream,
    random_utterance,
)
from tests.support.depthwise_layer import DepthwiseLayer, random_depthwise
from tests.support.normalization_layer import NormalizationLayer, random_normalization
from tests.support.packed_layer import PackedLayer, random_layer
from tfconformer.data.speech.debian_packages import ArchiveUnreachableError
from tfconformer.errors import UnavailableError

COMPILER = "aarch64-linux-gnu-gcc"
OPTIONS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off")
EMULATOR = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
SOURCES = Path(__file__).parents[3] / "converters" / "custom_ops"
RUN_CASES = Path(__file__).with_name("run_cases.c")
PROCESSORS = {
    "cortex-a53": ["neon", "portable"],
    "cortex-a76": ["neon_dotprod", "neon", "portable"],
    "max": ["neon_i8mm", "neon_dotprod", "neon", "portable"],
}
RUNS = [(processor, kernel) for processor, kernels in PROCESSORS.items() for kernel in kernels[:1]]
# Processors with SME2, by the length of their vectors in streaming mode; one has no SVE outside of it.
SME2_PROCESSORS = {
    512: "max,sme512=on,sme256=off,sme128=off",
    256: "max,sve=off,sme512=off,sme256=on,sme128=off",
    128: "max,sme512=off,sme256=off,sme128=on",
}


@dataclass(frozen=True)
class Machine:
    """An emulator, and run_cases.c compiled for it.

    Attributes:
      objects: the objects of the native library, by the names of their sources in its folder.
    """

    emulator: str
    program: Path
    objects: Mapping[str, Path]


def compile_sources(compiler: Sequence[str], names: Sequence[str], folder: Path) -> dict[str, Path]:
    """Compiles sources of the native library; returns their objects."""
    objects = {name: folder / name.replace("/", "_").replace(".c", ".o") for name in names}
    for name, path in objects.items():
        subprocess.run([*compiler, *OPTIONS, "-c", str(SOURCES / name), "-o", str(path)], check=True, timeout=300)
    return objects


def link(objects: Mapping[str, Path], main: Path, compiler: Sequence[str], folder: Path) -> Path:
    """Compiles a program of one file and links it with the objects; returns its path."""
    compiled, program = folder / f"{main.stem}.o", folder / main.stem
    subprocess.run([*compiler, *OPTIONS, "-c", str(main), "-o", str(compiled)], check=True, timeout=60)
    words = [COMPILER, "-static", str(compiled), *map(str, objects.values()), "-lm", "-o", str(program)]
    subprocess.run(words, check=True, timeout=60)
    return program


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    if shutil.which(COMPILER) is None or EMULATOR is None:
        pytest.skip("install gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user-static")
    folder = tmp_path_factory.mktemp("arm")
    found = [path for name in ("format", "kernels", "ops", "api") for path in (SOURCES / name).glob("*.c")]
    objects = compile_sources([COMPILER], [str(path.relative_to(SOURCES)) for path in found], folder)
    return Machine(EMULATOR, link(objects, RUN_CASES, [COMPILER], folder), objects)


@pytest.fixture(scope="session")
def sme2_machine(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A newer emulator, and the program with the SME2 kernels, for which another compiler is needed."""
    if shutil.which(CLANG_OBJECTS[0]) is None:
        pytest.skip("install clang-19: gcc 12 has no intrinsics of SME2")
    try:
        emulator = sme2_emulator()
    except (UnavailableError, ArchiveUnreachableError) as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("sme2")
    compiled = compile_sources(CLANG_OBJECTS, ["kernels/arm_sme2.c", "kernels/dispatch.c"], folder)
    objects = {**machine.objects, **compiled}
    return Machine(emulator, link(objects, RUN_CASES, [COMPILER], folder), objects)


def emulate(machine: Machine, processor: str, arguments: list[str], content: bytes = b"") -> bytes:
    command = [machine.emulator, "-cpu", processor, str(machine.program), *arguments]
    done = subprocess.run(command, input=content, capture_output=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def case(layer: PackedLayer, x: NDArray[np.float32]) -> bytes:
    """A case as run_cases.c reads it."""
    arrays = [layer.packed, layer.packed_positions, layer.packed_scales, layer.packed_offsets, layer.bias, x]
    contents = [b"" if array is None else array.tobytes() for array in arrays]
    header = np.array([len(x), *map(len, contents)], np.int64)
    return b"".join([layer.params.tobytes(), header.tobytes(), *contents])


def rows_of_all_kinds(rng: np.random.Generator, rows: int, k: int) -> NDArray[np.float32]:
    """Random rows; of four and more one is zero, one too small for a scale, one full of ties, and some not finite."""
    x = rng.standard_normal((rows, k)).astype(np.float32)
    if rows >= 4:
        x[0] = 0
        x[1] = 3e-37
        x[2] = rng.integers(-253, 254, k) / 2
        x[2, 0] = 127
    if rows >= 7:
        x[4, k // 2] = np.nan
        x[5, 0] = -np.inf
    return x


def layers() -> list[tuple[PackedLayer, NDArray[np.float32]]]:
    """Every kind of layer, in shapes with all groups of rows, short blocks, cells, groups and tiles."""
    rng = np.random.default_rng(31)
    kinds = [
        *itertools.product((2, 4, 8), (True, False), (0, 8, 32), (True, False), (None, 1, 2)),
        *itertools.product((1, 3), (True, False), (0, 8, 32), (True, False), (None,)),
        *itertools.product((2,), (None,), (0, 8, 32), (True, False), (None, 2)),  # half-integers
    ]
    found = []
    for i, (bits, symmetric, block_size, int8_activations, kept) in enumerate(kinds):
        rows, k, n = [(15, 75, 21), (1, 100, 17), (4, 24, 3), (2, 33, 40)][i % 4]
        layer = random_layer(
            rng,
            bits,
            k,
            n,
            symmetric=symmetric,
            block_size=block_size,
            int8_activations=int8_activations,
            activation=("none", "relu", "relu_n1_to_1", "relu6")[i // 4 % 4],
            kept=kept,
        )
        found.append((layer, rows_of_all_kinds(rng, rows, k)))
    # A block so long that sums of enlarged weights would leave 32 bits.
    longest = PackedLayer(2, np.full((1, 2**17 + 64), -2), np.ones((1, 1), np.float16), int8_activations=True)
    found.append((longest, np.full((1, 2**17 + 64), 127, np.float32)))
    return found


@pytest.mark.parametrize(("processor", "expected"), PROCESSORS.items())
def test_a_processor_has_the_kernels_of_its_instructions(machine: Machine, processor: str, expected: list[str]) -> None:
    assert emulate(machine, processor, []).decode().split() == expected


@pytest.mark.parametrize(("processor", "kernel"), [*RUNS, ("max", "portable")])
def test_equals_the_definition_bit_for_bit(machine: Machine, processor: str, kernel: str) -> None:
    cases = layers()
    output = emulate(machine, processor, [kernel], b"".join(case(layer, x) for layer, x in cases))
    check_layers(cases, output)


def check_layers(cases: Sequence[tuple[PackedLayer, NDArray[np.float32]]], output: bytes) -> None:
    values = np.frombuffer(output, np.float32)
    for number, (layer, x) in enumerate(cases):
        count = len(x) * len(layer.codes)
        y, values = values[:count].reshape(len(x), -1), values[count:]
        np.testing.assert_array_equal(y, layer.float32(x), err_msg=f"case {number}: {layer.params}")
    assert not len(values)


def layers_of_many_rows() -> list[tuple[PackedLayer, NDArray[np.float32]]]:
    """Every kind of layer with as many rows as are worth unpacking weights for, and with numbers of rows, channels and
    blocks that fill tiles, groups of tiles and the memory for unpacked weights, that leave a part of them, and that
    need several.
    """
    rng = np.random.default_rng(37)
    kinds = [
        *itertools.product((2, 4, 8), (True, False), (0, 8, 64), (None, 1, 2)),
        *itertools.product((3,), (True, False), (0, 8, 64), (None,)),
        *itertools.product((1, 2), (None,), (0, 64), (None,)),  # half-integers
        *itertools.product((2,), (None,), (0, 64), (2,)),
    ]
    # Whole tiles of 8-bit weights, which are multiplied where they are stored; blocks longer than the memory.
    large = [(8, False, 64, None), (8, True, 0, None), (2, False, 1536, None), (4, True, 1536, 2)]
    shapes = [(12, 75, 21), (33, 100, 17), (40, 1100, 70), (16, 64, 33), (15, 2050, 17), (77, 130, 64)]
    found = []
    for i, (bits, symmetric, block_size, kept) in enumerate([*kinds, *large]):
        # Kinds of one width take all shapes in turn; large layers have more rows than a kernel takes at once.
        is_large = i >= len(kinds)
        rows, k, n = (259, 2 * max(block_size, 512), 64) if is_large else shapes[(i + i // len(shapes)) % len(shapes)]
        activation = ("none", "relu", "relu_n1_to_1", "relu6")[i % 4]
        layer = random_layer(
            rng,
            bits,
            k,
            n,
            symmetric=symmetric,
            block_size=block_size,
            int8_activations=True,
            activation=activation,
            kept=kept,
        )
        found.append((layer, rows_of_all_kinds(rng, rows, k)))
    return found


@pytest.fixture(scope="session")
def many_rows() -> list[tuple[PackedLayer, NDArray[np.float32]]]:
    return layers_of_many_rows()


@pytest.mark.parametrize(("processor", "kernel"), [("cortex-a76", "neon_dotprod"), ("max", "neon_i8mm")])
def test_many_rows_equal_the_definition_bit_for_bit(
    machine: Machine, processor: str, kernel: str, many_rows: list[tuple[PackedLayer, NDArray[np.float32]]]
) -> None:
    output = emulate(machine, processor, [kernel], b"".join(case(layer, x) for layer, x in many_rows))
    check_layers(many_rows, output)


def test_clang_compiles_dot_products_of_many_rows_to_the_same(
    machine: Machine, many_rows: list[tuple[PackedLayer, NDArray[np.float32]]], tmp_path: Path
) -> None:
    """Their loop is another one there."""
    if shutil.which(CLANG_OBJECTS[0]) is None:
        pytest.skip("install clang-19")
    compiled = compile_sources(CLANG_OBJECTS, ["kernels/arm_neon_dotprod.c"], tmp_path)
    program = link({**machine.objects, **compiled}, RUN_CASES, [COMPILER], tmp_path)
    content = b"".join(case(layer, x) for layer, x in many_rows)
    output = emulate(dataclasses.replace(machine, program=program), "cortex-a76", ["neon_dotprod"], content)
    check_layers(many_rows, output)


def test_sme2_is_chosen_by_name_alone(sme2_machine: Machine) -> None:
    """Its speed was never measured, so the default is the set before it."""
    kernels = PROCESSORS["max"]
    assert emulate(sme2_machine, SME2_PROCESSORS[512], []).decode().split() == [kernels[0], "sme2", *kernels[1:]]
    assert emulate(sme2_machine, "max,sme=off", []).decode().split() == kernels
    # Twice as long as there is room for.
    assert "sme2" not in emulate(sme2_machine, "max,sme1024=on,sme512=off,sme256=off,sme128=off", []).decode()


@pytest.mark.parametrize("processor", SME2_PROCESSORS.values(), ids=map(str, SME2_PROCESSORS))
def test_sme2_equals_the_definition_bit_for_bit(
    sme2_machine: Machine, processor: str, many_rows: list[tuple[PackedLayer, NDArray[np.float32]]]
) -> None:
    output = emulate(sme2_machine, processor, ["sme2"], b"".join(case(layer, x) for layer, x in many_rows))
    check_layers(many_rows, output)


@pytest.mark.parametrize("processor", SME2_PROCESSORS.values(), ids=map(str, SME2_PROCESSORS))
def test_sme2_obeys_the_calling_convention(sme2_machine: Machine, processor: str, tmp_path: Path) -> None:
    program = link(sme2_machine.objects, Path(__file__).with_name("call_sme2.c"), CLANG_OBJECTS, tmp_path)
    machine = dataclasses.replace(sme2_machine, program=program)
    assert emulate(machine, processor, []).decode() == "equal results, vectors kept, ZA stored, ZA off\n"


def depthwise_case(layer: DepthwiseLayer, x: NDArray[np.float32]) -> bytes:
    """A case as run_cases.c reads it."""
    header = np.array([len(x), layer.frames(x)], np.int64)
    return b"".join(array.tobytes() for array in (layer.params, header, layer.kernel, layer.bias, x))


@pytest.mark.parametrize(("processor", "kernel"), [*RUNS, ("max", "portable")])
def test_depthwise_convolutions_equal_the_definition(machine: Machine, processor: str, kernel: str) -> None:
    cases = [random_depthwise(np.random.default_rng(seed), *shape) for seed, shape in enumerate(depthwise_layer.SHAPES)]
    content = b"".join(depthwise_case(layer, x) for layer, x in cases)
    values = np.frombuffer(emulate(machine, processor, [kernel, "depthwise"], content), np.float32)
    expected = [layer.float32(x).ravel() for layer, x in cases]
    np.testing.assert_array_equal(values, np.concatenate(expected))


def normalization_case(layer: NormalizationLayer, x: NDArray[np.float32]) -> bytes:
    """A case as run_cases.c reads it."""
    rows, epsilon = np.array([len(x)], np.int64), np.array([layer.epsilon], np.float32)
    return b"".join(array.tobytes() for array in (layer.params, rows, epsilon, layer.gain, layer.bias, x))


@pytest.mark.parametrize(("processor", "kernel"), [*RUNS, ("max", "portable")])
def test_normalizations_equal_the_definition(machine: Machine, processor: str, kernel: str) -> None:
    shapes = enumerate(normalization_layer.SHAPES)
    cases = [random_normalization(np.random.default_rng(seed), *shape) for seed, shape in shapes]
    content = b"".join(normalization_case(layer, x) for layer, x in cases)
    values = np.frombuffer(emulate(machine, processor, [kernel, "normalization"], content), np.float32)
    np.testing.assert_array_equal(values, np.concatenate([layer.float32(x).ravel() for layer, x in cases]))


def attention_case(layer: AttentionLayer, inputs: AttentionInputs) -> bytes:
    """A case as run_cases.c reads it."""
    header = np.array([*inputs.query.shape[:2], inputs.mask.shape[2]], np.int64)
    arrays = [inputs.query, inputs.key, inputs.value, inputs.position, inputs.mask]
    return b"".join(
        array.tobytes() for array in (layer.params, header, layer.content_bias, layer.position_bias, *arrays)
    )


@pytest.mark.parametrize(("processor", "kernel"), [*RUNS, ("max", "portable")])
def test_attention_equals_the_definition(machine: Machine, processor: str, kernel: str) -> None:
    shapes = enumerate(attention_layer.UTTERANCES)
    cases = [random_utterance(np.random.default_rng(seed), *shape) for seed, shape in shapes]
    content = b"".join(attention_case(layer, inputs) for layer, inputs in cases)
    values = np.frombuffer(emulate(machine, processor, [kernel, "attention"], content), np.float32)
    np.testing.assert_array_equal(values, np.concatenate([layer.float32(inputs).ravel() for layer, inputs in cases]))


def attention_step_case(stream: RandomStream, index: int, first: int) -> tuple[bytes, list[NDArray[np.float32]]]:
    """A case as run_cases.c reads it, of the step `index`, and what must come out."""
    capacity, frames = stream.capacity, stream.frames
    values = np.zeros((len(stream.key), capacity, stream.key.shape[2]), np.float32)
    keys = np.zeros((*values.shape[::2], padded_columns(capacity)), np.float32)

    def remember(frame: int) -> None:
        place = (first + frame - index * frames) % capacity
        keys[:, :, place], values[:, place] = stream.key[:, frame], stream.value[:, frame]

    for frame in range(max(0, index * frames - capacity), index * frames):
        remember(frame)
    header = np.array([len(values), frames, stream.span, capacity, first], np.int64)
    new = [stream.new(x, index) for x in (stream.query, stream.key, stream.value)]
    layer, mask = stream.layer, stream.masks[index]
    arrays = [layer.content_bias, layer.position_bias, *new, mask, keys, values, layer.position_columns]
    content = b"".join(array.tobytes() for array in (layer.params, header, *arrays))
    for frame in range(index * frames, (index + 1) * frames):
        remember(frame)
    return content, [layer.float32(stream.step(index)), keys, values]


@pytest.mark.parametrize(("processor", "kernel"), [*RUNS, ("max", "portable")])
def test_steps_of_attention_equal_the_definition(machine: Machine, processor: str, kernel: str) -> None:
    shapes = enumerate(attention_layer.STEPS)
    streams = [random_stream(np.random.default_rng(seed), *shape, steps=9) for seed, shape in shapes]
    cases = [attention_step_case(stream, 8, first) for stream, first in zip(streams, (0, -7, 3, 100, 64), strict=True)]
    content = b"".join(case for case, _ in cases)
    values = np.frombuffer(emulate(machine, processor, [kernel, "attention_step"], content), np.float32)
    np.testing.assert_array_equal(values, np.concatenate([one.ravel() for _, expected in cases for one in expected]))
