"""Verification finds what is wrong: every constant, a layer that is not packed, logits that are not the model's."""

import dataclasses

import numpy as np
import pytest
from tensorflow.lite.python import schema_py_generated as schema

from converters.exporter.verify import (
    RELATIVE_RMS_LIMIT,
    VerificationError,
    compare,
    keras_references,
    verify_float_operations,
    verify_outputs,
    verify_weights,
)
from converters.flatbuffer.custom_layers import read_layers
from converters.runtime.model import RUNTIMES
from tfconformer.errors import InputError
from tfconformer.tasks.task import Trace

# Positions among the inputs of an operation that is asymmetric and has a bias; 0 is x.
ROLES = {"codes": 1, "params": 2, "scales": 3, "offsets": 4, "biases": 5}


def check_weights(exported, path=None, plans=None):
    verify_weights(path or exported.path, exported.trained, plans or exported.prepared.plans)


def check_float_operations(exported, path=None, names=None):
    names = exported.prepared.float_operations.keys() if names is None else names
    verify_float_operations(path or exported.path, exported.trained, names)


def check_outputs(exported, waveforms, runtime="ai-edge-litert", trained=None, plans=None):
    task = exported.prepared.task
    references = keras_references(task, trained or exported.trained, exported.config, waveforms)
    return verify_outputs(exported.path, task, references, plans or exported.prepared.plans, runtime)


@pytest.mark.parametrize("model", ["weights_only", "int8_activations"])
def test_the_file_holds_the_codes_of_training(model, request):
    exported = request.getfixturevalue(model)
    check_weights(exported)
    check_float_operations(exported)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.usefixtures("native_library")
def test_logits_are_the_models_in_every_runtime(weights_only, waveforms, runtime):
    parity = check_outputs(weights_only, waveforms, runtime)
    assert parity.runtime.startswith(runtime)
    assert parity.utterances == len(waveforms)
    # Only the order of float32 sums differs, and the logits are of order one.
    assert parity.relative_rms < 1e-5
    assert parity.max_abs_difference < 1e-4
    assert parity.different_hypotheses == 0


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.usefixtures("native_library")
def test_int8_activations_stay_within_their_own_rounding(int8_activations, waveforms, runtime):
    parity = check_outputs(int8_activations, waveforms, runtime)
    # The limit of the export, whose reason stands there.
    assert 0 < parity.relative_rms < RELATIVE_RMS_LIMIT[8]


def flip_bit(path, layer: str, role: str, folder, *, byte: int = 0):
    """A copy of the file with the lowest bit of a byte of a packed layer's or a float operation's constant flipped."""
    content = bytearray(path.read_bytes())
    model = schema.Model.GetRootAs(content)
    graph = model.Subgraphs(0)
    for operator in (graph.Operators(i) for i in range(graph.OperatorsLength())):
        tensors = [graph.Tensors(i) for i in operator.InputsAsNumpy() if i >= 0]
        named = {tensor.Name().decode(): tensor for tensor in tensors}
        if f"{layer}/params" in named:
            tensor = tensors[ROLES[role]] if role in ROLES else named[f"{layer}/{role}"]
            model.Buffers(tensor.Buffer()).DataAsNumpy()[byte] ^= 1
    damaged = folder / "damaged.tflite"
    damaged.write_bytes(content)
    return damaged


@pytest.mark.parametrize(
    ("layer", "role"),
    [
        ("block_01_conv_depthwise", "kernel"),
        ("block_01_conv_depthwise", "params"),
        ("block_00_ff1_norm", "gain"),
        ("block_00_norm", "epsilon"),
    ],
)
def test_one_wrong_bit_of_a_float_operation_is_found(weights_only, layer, role, tmp_path):
    damaged = flip_bit(weights_only.path, layer, role, tmp_path)
    with pytest.raises(VerificationError, match=f"the constants of {layer} are not those of the trained model"):
        check_float_operations(weights_only, damaged)


def test_a_layer_that_became_another_operation_is_found(weights_only, litert):
    with pytest.raises(VerificationError, match="planned and stored float operations differ in block_00_norm"):
        check_float_operations(weights_only, names=weights_only.prepared.float_operations.keys() - {"block_00_norm"})
    check_float_operations(litert)
    assert not litert.prepared.float_operations


@pytest.mark.parametrize("role", ROLES)
def test_one_wrong_bit_is_found(weights_only, role, tmp_path):
    damaged = flip_bit(weights_only.path, "block_00_conv_contract", role, tmp_path)
    with pytest.raises(VerificationError, match=f"{role} of block_00_conv_contract"):
        check_weights(weights_only, damaged)


def test_an_operation_that_contradicts_itself_is_found(weights_only, tmp_path):
    n = 4 * 5  # the sixth number
    damaged = flip_bit(weights_only.path, "block_00_conv_contract", "params", tmp_path, byte=n)
    with pytest.raises(InputError, match=r"damaged\.tflite: the constants of layer block_00_conv_contract contradict"):
        check_weights(weights_only, damaged)


def test_other_arithmetic_than_planned_is_found(weights_only, int8_activations):
    plans = [
        dataclasses.replace(plan, spec=plan.spec and plan.spec.model_copy(update={"activation_bits": 8}))
        for plan in weights_only.prepared.plans
    ]
    with pytest.raises(VerificationError, match="params of subsampling_convolution"):
        check_weights(weights_only, plans=plans)


def test_a_layer_that_stayed_float_is_found(weights_only, waveforms):
    some = next(plan.spec for plan in weights_only.prepared.plans if plan.spec)
    plans = [dataclasses.replace(plan, spec=plan.spec or some) for plan in weights_only.prepared.plans]
    with pytest.raises(VerificationError, match="differ in block_00_ff2_expand, ctc_head"):
        check_weights(weights_only, plans=plans)


@pytest.mark.usefixtures("native_library")
def test_layers_that_the_runtime_computes_otherwise_are_counted(weights_only, waveforms):
    some = next(plan.spec for plan in weights_only.prepared.plans if plan.spec)
    plans = [dataclasses.replace(plan, spec=plan.spec or some) for plan in weights_only.prepared.plans]
    packed = len(weights_only.prepared.packed)
    with pytest.raises(VerificationError, match=f"{packed} of {packed + 2} packed layers run in"):
        check_outputs(weights_only, waveforms[:1], plans=plans)


@pytest.mark.usefixtures("native_library")
def test_a_small_mistake_in_one_layer_is_beyond_the_limit(weights_only, waveforms):
    """The bias of one channel of one layer, off by a hundredth."""
    bias = weights_only.trained.get_layer("quant_block_01_conv_contract").layer.bias
    value = bias.numpy()
    bias.assign_add([0.01] + [0.0] * 31)
    try:
        with pytest.raises(VerificationError, match="relative RMS"):
            check_outputs(weights_only, waveforms[:1])
    finally:
        bias.assign(value)


@pytest.mark.parametrize(("value", "message"), [(0.0, "all zero"), (np.nan, "not finite")])
def test_dead_outputs_are_found(weights_only, waveforms, monkeypatch, value, message):
    class Dead:
        runtime = "dead 1.0"
        output = "logits"

        def run(self, waveform):
            return np.full((3, 4), value, np.float32)

    monkeypatch.setattr("converters.exporter.verify.open_model", lambda path, runtime: Dead())
    with pytest.raises(VerificationError, match=message):
        check_outputs(weights_only, waveforms)


def test_a_missing_native_library_is_an_error(weights_only, waveforms, monkeypatch, tmp_path):
    monkeypatch.setattr("converters.custom_ops.__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(InputError, match="native library"):
        check_outputs(weights_only, waveforms)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.9999])
def test_a_truncated_file_is_one_clear_error(weights_only, share, tmp_path):
    content = weights_only.path.read_bytes()
    path = tmp_path / "short.tflite"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"short\.tflite"):
        list(read_layers(path))


def test_differences_are_counted_over_all_utterances():
    symbols = np.eye(3, dtype=np.float32)
    same, other = symbols[[0, 1, 2]], symbols[[0, 1, 1]]
    traces = [Trace(same, (1, 2)), Trace(same, (1, 2))]
    parity = compare([traces[0], Trace(other, (1,))], traces, "runtime", "kernel")
    assert (parity.utterances, parity.different_hypotheses, parity.max_abs_difference) == (2, 1, 1.0)
    # Two of 18 logits differ by one; six of the expected ones are one.
    assert parity.relative_rms == pytest.approx(np.sqrt(2 / 6))
    with pytest.raises(VerificationError, match="shape"):
        compare([Trace(same[:2])], traces[:1], "runtime", "kernel")


def test_an_utterance_shorter_than_a_frame_is_an_error(weights_only, waveforms):
    task, config = weights_only.prepared.task, weights_only.config
    with pytest.raises(InputError, match="399 samples is too short: the model needs 400"):
        keras_references(task, weights_only.trained, config, [waveforms[0][:399]])
