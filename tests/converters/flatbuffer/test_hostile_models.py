"""Files that do not keep the rules of our operation: one sentence in every runtime, and no crash."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from converters.runtime.model import RUNTIMES
from tests.support.packed_layer import RECOGNIZER_FEATURES as FEATURES
from tests.support.packed_layer import recognizer_layers as layers
from tests.support.tflite_builder import RecognizerBuilder


def operands(builder: RecognizerBuilder, layer: int = 0) -> dict[str, int]:
    """Tensor indices of the operands of a layer, by name."""
    inputs = builder.subgraph.operators[1 + layer].inputs
    return {builder.subgraph.tensors[i].name.decode().rpartition("/")[2]: int(i) for i in inputs}


def set_param(index: int, value: int) -> Callable[[RecognizerBuilder], None]:
    return set_params({index: value})


def set_params(values: dict[int, int]) -> Callable[[RecognizerBuilder], None]:
    def edit(builder: RecognizerBuilder) -> None:
        params = layers()[0].params
        params[list(values)] = list(values.values())
        replace_content("params", params)(builder)

    return edit


def replace_content(operand: str, content: NDArray[np.generic], layer: int = 0) -> Callable[[RecognizerBuilder], None]:
    """Gives a constant another content, and with it another shape and type."""

    def edit(builder: RecognizerBuilder) -> None:
        index = operands(builder, layer)[operand]
        builder.subgraph.tensors[index] = builder.subgraph.tensors[builder.constant(operand, content)]

    return edit


def without_content(operand: str) -> Callable[[RecognizerBuilder], None]:
    """Turns a constant into an input of the graph."""

    def edit(builder: RecognizerBuilder) -> None:
        builder.subgraph.tensors[operands(builder)[operand]].buffer = 0
        builder.inputs.append(operands(builder)[operand])

    return edit


def set_inputs(choose: Callable[[list[int]], list[int]]) -> Callable[[RecognizerBuilder], None]:
    """Rewires the first layer."""

    def edit(builder: RecognizerBuilder) -> None:
        operator = builder.subgraph.operators[1]
        operator.inputs = np.array(choose(list(operator.inputs)), np.int32)

    return edit


def set_x(content: NDArray[np.generic] | np.generic) -> Callable[[RecognizerBuilder], None]:
    """Lets the first layer read a constant."""

    def edit(builder: RecognizerBuilder) -> None:
        builder.subgraph.operators[1].inputs[0] = builder.constant("x", np.asarray(content))

    return edit


def read_output_of(layer: int) -> Callable[[RecognizerBuilder], None]:
    """Lets the first layer read what a layer writes."""

    def edit(builder: RecognizerBuilder) -> None:
        builder.subgraph.operators[1].inputs[0] = builder.subgraph.operators[1 + layer].outputs[0]

    return edit


def output_type(builder: RecognizerBuilder) -> None:
    builder.subgraph.tensors[builder.logits].type = schema.TensorType.INT32


def constant_output(frames: int) -> Callable[[RecognizerBuilder], None]:
    """Lets the first layer write a constant of so many frames."""

    def edit(builder: RecognizerBuilder) -> None:
        output = builder.subgraph.tensors[int(builder.subgraph.operators[1].outputs[0])]
        output.shape, output.shapeSignature = np.array([1, frames, 24], np.int32), None
        output.buffer = builder._buffer(bytes(4 * frames * 24))

    return edit


def constant_output_as_long_as_x(builder: RecognizerBuilder) -> None:
    set_x(np.ones((1, 3, 40), np.float32))(builder)
    constant_output(3)(builder)


def two_outputs(builder: RecognizerBuilder) -> None:
    builder.subgraph.operators[1].outputs = np.array([*builder.subgraph.operators[1].outputs, builder.logits], np.int32)


def variable_output(builder: RecognizerBuilder) -> None:
    builder.subgraph.tensors[int(builder.subgraph.operators[0].outputs[0])].isVariable = True


def variable_input(builder: RecognizerBuilder) -> None:
    builder.subgraph.tensors[int(builder.inputs[0])].isVariable = True


def with_bad(field: str, value: float) -> NDArray[np.float16]:
    """A constant whose value for the last block of the last channel is bad."""
    content = np.array(getattr(layers()[0], f"packed_{field}"))
    content[-1, -1, 23 % 16] = value
    return content


FIRST = layers()[0]
SCALES = FIRST.packed_scales
# Name -> the edit, and what the sentence must say.
HOSTILE: dict[str, tuple[Callable[[RecognizerBuilder], None], str]] = {
    "version": (set_param(0, 1), "'layer0': params: version is 1, expected 3"),
    "bits": (set_param(1, 5), "'layer0': params: bits is 5, expected 1, 2, 3, 4 or 8"),
    "other bits": (set_param(1, 8), "codes has the wrong shape, expected [2, 10, 64]"),
    "symmetric with offsets": (set_param(2, 1), "it has 6 inputs, its params ask for 5"),
    "block size": (set_param(3, 8), "codes has the wrong shape, expected [2, 5, 64]"),
    "odd block size": (set_param(3, 17), "params: block_size is 17"),
    "negative block size": (set_param(3, -16), "params: block_size is -16"),
    "K": (set_param(4, FEATURES + 10), "codes has the wrong shape, expected [2, 4, 64]"),
    "huge K": (set_param(4, 2**31 - 1), "codes has the wrong shape, expected [2, 134217728, 64]"),
    "zero K": (set_param(4, 0), "params: K is 0"),
    "N": (set_param(5, 33), "codes has the wrong shape, expected [3, 3, 64]"),
    "N within a tile": (set_param(5, 25), "bias has the wrong shape, expected [25]"),
    "huge N": (set_param(5, 2**31 - 1), "codes has the wrong shape, expected [134217728, 3, 64]"),
    "activation bits": (set_param(6, 16), "params: activation_bits is 16"),
    "no bias": (set_param(7, 0), "it has 6 inputs, its params ask for 5"),
    "kept": (set_param(9, 3), "params: kept is 3, expected 0 (all), 1 or 2"),
    "sparse without positions": (set_param(9, 2), "it has 6 inputs, its params ask for 7"),
    "activation": (set_param(8, 7), "params: activation is 7"),
    "negative window": (set_param(10, -1), "params: window is -1, expected 0 (rows) or 1 to 16"),
    "window without stride": (set_param(10, 1), "params: stride is 0, expected 1 to 16"),
    "stride without window": (set_param(11, 2), "params: stride is 2, expected 0, as there is no window"),
    "window of rows": (set_params({10: 1, 11: 1}), "x has 3 dimensions, expected 4"),
    "window that K does not fill": (set_params({10: 3, 11: 1}), "a multiple of the window's size"),
    "short params": (replace_content("params", FIRST.params[:11]), "params has the wrong shape, expected [12]"),
    "params of floats": (replace_content("params", np.float32(FIRST.params)), "params is FLOAT32, expected INT32"),
    "changing params": (without_content("params"), "params must be a constant"),
    "changing codes": (without_content("codes"), "codes must be a constant"),
    "changing scales": (without_content("scales"), "scales must be a constant"),
    "changing offsets": (without_content("offsets"), "offsets must be a constant"),
    "changing bias": (without_content("bias"), "bias must be a constant"),
    "fewer codes": (replace_content("codes", FIRST.packed[:, :-1]), "codes has the wrong shape"),
    "fewer rows of codes": (replace_content("codes", FIRST.packed[:-1]), "codes has the wrong shape"),
    "flat codes": (replace_content("codes", FIRST.packed.ravel()), "codes has the wrong shape"),
    "codes of floats": (replace_content("codes", np.float32(FIRST.packed)), "codes is FLOAT32, expected UINT8"),
    "scales of floats": (
        replace_content("scales", np.float32(FIRST.packed_scales)),
        "scales is FLOAT32, expected FLOAT16",
    ),
    "fewer scales": (
        replace_content("scales", FIRST.packed_scales[:, :-1]),
        "scales has the wrong shape, expected [2, 3, 16]",
    ),
    "zero scale": (replace_content("scales", with_bad("scales", 0)), "scale 2 of channel 23"),
    "negative scale": (replace_content("scales", with_bad("scales", -1)), "scale 2 of channel 23"),
    "scale that is no number": (replace_content("scales", with_bad("scales", np.nan)), "scale 2 of channel 23"),
    "infinite offset": (replace_content("offsets", with_bad("offsets", np.inf)), "offset 2 of channel 23"),
    "fewer offsets": (replace_content("offsets", SCALES[:-1]), "offsets has the wrong shape"),
    "short bias": (replace_content("bias", np.ones(23, np.float32)), "bias has the wrong shape, expected [24]"),
    "short bias of the third layer": (
        replace_content("bias", np.ones(9, np.float32), layer=2),
        "TfconformerFullyConnected 'layer2': bias has the wrong shape, expected [10]",
    ),
    "bias of integers": (replace_content("bias", np.ones(24, np.int32)), "bias is INT32, expected FLOAT32"),
    "bias of rank 2": (replace_content("bias", np.ones((24, 1), np.float32)), "bias has the wrong shape"),
    "no inputs": (set_inputs(lambda inputs: []), "it has 0 inputs, expected 4 to 7"),
    "one input": (set_inputs(lambda inputs: inputs[:1]), "it has 1 inputs, expected 4 to 7"),
    "too few inputs": (set_inputs(lambda inputs: inputs[:-1]), "it has 5 inputs, its params ask for 6"),
    "too many inputs": (set_inputs(lambda inputs: [*inputs, inputs[-1]]), "it has 7 inputs, its params ask for 6"),
    "far too many inputs": (set_inputs(lambda inputs: [*inputs, *inputs]), "it has 12 inputs, expected 4 to 7"),
    "fewer positions": (
        replace_content("positions", layers()[1].packed_positions[:-1], layer=1),
        "'layer1': positions has the wrong shape, expected [3, 1, 64]",
    ),
    "absent input": (set_inputs(lambda inputs: [*inputs[:-1], -1]), "input 5 is missing"),
    "absent x": (set_inputs(lambda inputs: [-1, *inputs[1:]]), "input 0 is missing"),
    "swapped inputs": (set_inputs(lambda inputs: inputs[::-1]), "params is FLOAT16, expected INT32"),
    "x that is the output": (read_output_of(0), "the tensor 'layer0' is read before it is written"),
    "x that comes later": (read_output_of(2), "the tensor 'layer2' is read before it is written"),
    "x without a dimension": (set_x(np.float32(1)), "the last dimension of x is 0, expected 40"),
    "narrow x": (set_x(np.ones((1, 3, 39), np.float32)), "the last dimension of x is 39, expected 40"),
    "x of integers": (set_x(np.ones((1, 3, 40), np.int32)), "x is INT32, expected FLOAT32"),
    "output type": (output_type, "'layer2': the output is INT32, expected FLOAT32"),
    "constant output": (constant_output(1), "fixed-size tensor"),
    "constant output as long as x": (constant_output_as_long_as_x, "'layer0': the output is a constant"),
    "two outputs": (two_outputs, "a node must have exactly one output"),
    "variable output": (variable_output, "a variable is the input of a graph or the output of an operator"),
    "variable input": (variable_input, "a variable is the input of a graph or the output of an operator"),
}


def damaged(content: bytes, seed: int) -> bytes:
    """The file with two random bytes replaced."""
    rng = np.random.default_rng(seed)
    result = np.frombuffer(content, np.uint8).copy()
    result[rng.integers(0, len(content), 2)] = rng.integers(0, 256, 2)
    return result.tobytes()


@pytest.fixture(scope="module", params=RUNTIMES)
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What became of every file in one runtime: the good one, the hostile ones and some with random damage."""
    files = {"good": RecognizerBuilder(layers()).finish()}
    for name, (edit, _) in HOSTILE.items():
        builder = RecognizerBuilder(layers())
        edit(builder)
        files[name] = builder.finish()
    files |= {f"seed {seed}": damaged(files["good"], seed) for seed in range(40)}
    folder = tmp_path_factory.mktemp("files")
    paths = [folder / f"{name}.tflite" for name in files]
    for path, content in zip(paths, files.values(), strict=True):
        path.write_bytes(content)
    command = [sys.executable, "-m", "tests.support.crash_probe", request.param, str(3 * FEATURES), *map(str, paths)]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=200, check=True)
    return {Path(path).stem: result for path, result in json.loads(done.stdout).items()}


def test_hostile_files_give_one_sentence(outcomes: dict[str, str]) -> None:
    assert outcomes["good"] == "ran"
    for name, (_, sentence) in HOSTILE.items():
        assert outcomes[name].startswith("InputError: ") and "\n" not in outcomes[name], name
        assert sentence in outcomes[name], name


def test_damaged_files_never_crash(outcomes: dict[str, str]) -> None:
    """The damage may make another model or an InputError, but nothing else."""
    results = {name: result for name, result in outcomes.items() if name.startswith("seed")}
    assert not {name: result for name, result in results.items() if not result.startswith(("ran", "InputError: "))}
    assert len(set(results.values())) > 5  # it is felt in many places
