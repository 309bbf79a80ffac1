import numpy as np
import pytest

from tfconformer.quantization.post_training.gptq import gptq
from tfconformer.quantization.quantizers.weights import quantize_weights
from tfconformer.quantization.spec import QuantSpec

SPECS = [
    {"bits": 2},
    {"bits": 2, "symmetric": False, "block_size": 8},
    {"bits": 4, "symmetric": False, "clip": 0.7},
    {"bits": 8},
    {"bits": 4, "sparsity": "2:4"},
    {"bits": 2, "symmetric": False, "sparsity": "1:4", "block_size": 8},
]


def surgeon(weights, hessian, spec, damping):
    """Rounds one weight after the other and inverts the Hessian of the rest anew each time: sec. 3 of 2210.17323."""
    chosen = quantize_weights(weights, spec)
    contraction, columns = weights.shape
    low, high = spec.code_range
    hessian = hessian + damping * np.mean(np.diag(hessian)) * np.eye(contraction)
    left, codes = weights.astype(np.float64), np.zeros(weights.shape)
    for n in range(columns):
        for k in range(contraction):
            block = k // (spec.block_size or contraction)
            scale = float(chosen.scales[block, n])
            offset = 0.0 if chosen.offsets is None else float(chosen.offsets[block, n])
            keep = chosen.mask is None or bool(chosen.mask[k, n])
            code = min(max(np.floor((left[k, n] + offset) / scale + 0.5), low), high) if keep else 0.0
            error = left[k, n] - (code * scale - offset if keep else 0.0)
            inverse = np.linalg.inv(hessian[k:, k:])
            left[k:, n] -= error / inverse[0, 0] * inverse[:, 0]
            codes[k, n] = code
    return codes


def case(seed, contraction=20, columns=5):
    random = np.random.default_rng(seed)
    weights = random.standard_normal([contraction, columns]).astype(np.float32)
    inputs = random.standard_normal([200, contraction]) @ random.standard_normal([contraction, contraction])
    return weights, inputs


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_codes_are_the_surgeons(spec, seed):
    spec = QuantSpec(**spec)
    weights, inputs = case(seed)
    quantized = gptq(weights, inputs.T @ inputs, spec)
    np.testing.assert_array_equal(quantized.codes, surgeon(weights, inputs.T @ inputs, spec, damping=0.01))


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_only_codes_differ_from_rounding_to_the_nearest(spec):
    spec = QuantSpec(**spec)
    weights, inputs = case(0)
    quantized, nearest = gptq(weights, inputs.T @ inputs, spec), quantize_weights(weights, spec)
    np.testing.assert_array_equal(quantized.scales, nearest.scales)
    if nearest.offsets is not None:
        np.testing.assert_array_equal(quantized.offsets, nearest.offsets)
    if nearest.mask is not None:
        np.testing.assert_array_equal(quantized.mask, nearest.mask)
        assert not quantized.codes.numpy()[nearest.mask.numpy() == 0].any()


def test_independent_inputs_leave_nothing_to_make_up_for():
    weights, _ = case(0)
    spec = QuantSpec(bits=4)
    quantized = gptq(weights, np.diag(np.arange(1.0, 21.0)), spec)
    np.testing.assert_array_equal(quantized.codes, quantize_weights(weights, spec).codes)


@pytest.mark.parametrize("spec", [one for one in SPECS if "sparsity" not in one], ids=str)
def test_the_outputs_change_less_than_by_rounding(spec):
    spec = QuantSpec(**spec)
    gained = []
    for seed in range(5):
        weights, inputs = case(seed, contraction=64, columns=16)
        errors = [
            np.linalg.norm(inputs @ (quantized.dequantize().numpy() - weights))
            for quantized in (gptq(weights, inputs.T @ inputs, spec), quantize_weights(weights, spec))
        ]
        gained.append(errors[0] < errors[1])
    assert all(gained)


def test_a_layer_that_hears_nothing_is_rounded():
    weights, _ = case(0)
    spec = QuantSpec(bits=4)
    quantized = gptq(weights, np.zeros([20, 20]), spec)
    np.testing.assert_array_equal(quantized.codes, quantize_weights(weights, spec).codes)
