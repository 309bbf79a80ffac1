"""The quantizers against the numeric cases of the authors' public unit tests and code (2305.16619, praxis)."""

import hashlib

import numpy as np
import pytest
import tensorflow as tf

from tfconformer.quantization.quantizers.clipping import search_clip
from tfconformer.quantization.quantizers.weights import (
    StateValues,
    fake_quantize_weights,
    quantize_rows,
    quantize_weights,
)
from tfconformer.quantization.spec import ClipSearch, QuantSpec

# Two output channels of four weights: rows of the published cases, columns here.
PUBLISHED = np.array([[1.2, 3.1, 5.5, 2.9], [0.2, -1.5, 3.3, 4.0]], np.float32).T


def spec(bits: int, symmetric: bool = True, **options) -> QuantSpec:
    return QuantSpec(bits=bits, symmetric=symmetric, **{"scale_dtype": "float32", **options})


@pytest.mark.parametrize(
    ("spec", "codes", "scales", "offsets"),
    [
        (
            spec(8, symmetric=False),
            [[-128, -15, 127, -27], [-49, -128, 95, 127]],
            [0.016863, 0.021569],
            [-3.358431, -1.260784],
        ),
        (
            spec(4, symmetric=False),
            [[-8, -1, 7, -2], [-3, -8, 5, 7]],
            [0.2866667, 0.3666667],
            [-3.4933336, -1.4333334],
        ),
        (
            spec(2, symmetric=False),
            [[-2, -1, 1, -1], [-1, -2, 1, 1]],
            [1.4333334, 1.8333334],
            [-4.0666666, -2.1666667],
        ),
        (
            spec(2, symmetric=False, clip=0.8),
            [[-2, 0, 1, 0], [-1, -2, 1, 1]],
            [1.1466667, 1.4666667],
            [-3.2533336, -1.7333335],
        ),
        (spec(2), [[0, 1, 1, 1], [0, 0, 1, 1]], [5.5, 4.0], None),
        (spec(2, clip=0.5), [[0, 1, 1, 1], [0, -1, 1, 1]], [2.75, 2.0], None),
    ],
)
def test_published_codes_scales_and_offsets(spec, codes, scales, offsets):
    quantized = quantize_weights(tf.constant(PUBLISHED), spec)
    np.testing.assert_array_equal(quantized.codes.numpy().T, codes)
    # The published values were printed with 7 digits, some of them without the epsilon that is added to a scale.
    np.testing.assert_allclose(quantized.scales.numpy()[0], scales, rtol=2e-5)
    if offsets is None:
        assert quantized.offsets is None
    else:
        np.testing.assert_allclose(quantized.offsets.numpy()[0], offsets, rtol=2e-5)


def test_published_int2_dequantization():
    weights = tf.constant([[-1.5, 0.99], [-0.99, 0.0], [-0.01, 1.5]])
    expected = [[-1.5, 1.5], [-1.5, 0.0], [0.0, 1.5]]
    np.testing.assert_allclose(fake_quantize_weights(weights, spec(2)).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("spec", "gradient"),
    [
        # The authors' code halves the gradient of weights whose code is the highest (a tie in JAX's clip); here the
        # ends of the range count as inside. Where that differs the value below is worked out by hand: 2 instead
        # of 1, and 6 + (2 * (1 - 0.66) + 6 * (1 - 1) + 8 * (0 + 0.4667)) / 1 instead of 11.0733.
        (spec(2), [[4.7867, 2], [3, 4], [5, 10.4133], [7, 8]]),
        (spec(2, symmetric=False), [[0.9429, 2], [3, 4], [5, 5.8576], [7.0571, 8.1424]]),
        (spec(4), [[0.9295, 2], [3, 4], [5, 6.4133], [7, 8]]),
        (spec(4, symmetric=False), [[0.8095, 2], [3, 4], [5, 6.1242], [7.1905, 7.8758]]),
    ],
)
def test_published_gradients_flow_through_the_scale(spec, gradient):
    weights = tf.constant([[-1.5, 0.99], [-0.99, 0.0], [-0.01, 1.5], [0.6, -0.7]])
    upstream = tf.constant([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])
    with tf.GradientTape() as tape:
        tape.watch(weights)
        loss = tf.reduce_sum(fake_quantize_weights(weights, spec) * upstream)
    # Published with four decimals.
    np.testing.assert_allclose(tape.gradient(loss, weights).numpy(), gradient, atol=6e-5)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
def test_with_a_constant_scale_the_gradient_passes_straight_through(bits, symmetric):
    """Nothing is clipped at clip 1, and both ends of the range count as inside (the authors' code halves them)."""
    weights = tf.constant([[-1.5, 0.99], [-0.99, 0.0], [-0.01, 1.5], [0.6, -0.7]])
    upstream = tf.constant([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])
    with tf.GradientTape() as tape:
        tape.watch(weights)
        quantized = fake_quantize_weights(weights, spec(bits, symmetric, scale_gradient=False))
        loss = tf.reduce_sum(quantized * upstream)
    # w / s * s in float32.
    np.testing.assert_allclose(tape.gradient(loss, weights).numpy(), upstream, rtol=1e-5)


def test_published_codes_per_tensor_in_3_bits():
    half = np.array([[0, 1, 2, 2], [2, 3, 3, 4], [4, 5, 5, 7]], np.float32)
    quantized = quantize_weights(tf.constant(np.concatenate([half, -half])), spec(3, per_tensor=True))
    above = [[0, 0, 1, 1], [1, 1, 1, 2], [2, 2, 2, 3]]
    # Halves go up: -1 is -0.43 steps, 0; -2 is -0.86 steps, -1.
    below = [[0, 0, -1, -1], [-1, -1, -1, -2], [-2, -2, -2, -3]]
    np.testing.assert_array_equal(quantized.codes, above + below)
    np.testing.assert_allclose(quantized.scales, np.full((1, 4), 7 / 3), rtol=1e-6)


def test_published_clip_search():
    random = np.random.RandomState(0)
    weights = random.uniform(size=[2, 512])
    weights[0], weights[1, -1] = 1, 2
    searched = spec(2, clip=ClipSearch(search="channel", low=0.8, steps=12))
    scales = quantize_weights(tf.constant(weights.T, tf.float32), searched).scales
    # Ties keep the larger factor: 1 where every weight is 1. The epsilon is added to the scale.
    np.testing.assert_allclose(scales, [[1.0, 1.6]], rtol=1e-6)


def test_published_codes_of_8_bits_with_a_row_of_zeros():
    quantized = quantize_weights(tf.constant([[1, 0], [2, 0], [5.5, 0], [2.9, 0]]), spec(8))
    np.testing.assert_array_equal(quantized.codes, [[23, 0], [46, 0], [127, 0], [67, 0]])
    np.testing.assert_allclose(quantized.scales, [[0.04330709, 2**-23]], rtol=1e-5)  # the first plus the epsilon


@pytest.mark.parametrize(
    ("error", "what", "factors"),
    [
        ("absolute", "tensor", [1]),  # of the rows' bounds [[3], [4]], which stay
        ("squared", "tensor", [0.95]),  # they become [[2.85], [3.8]]
        ("squared", "channel", [1, 0.95, 1]),  # of the columns' bounds, which become [[4, 1.9, 3]]
    ],
)
def test_published_search_of_bounds(error, what, factors):
    weights = np.array([[1, 2, 3], [4, 1, 2]], np.float32)
    search = ClipSearch(search=what, low=0.5, steps=11, error=error)
    found = search_clip(tf.constant(weights if what == "channel" else weights.T), spec(4), search)
    np.testing.assert_allclose(found[0], factors, rtol=1e-6)


def test_published_codes_of_3_bits_with_a_constant_scale():
    """A bound of 7 there is a scale of 2. Their range ends at -3; ours has the code -4, which -7.01 and below get."""
    half = np.array(
        [[0.99, 1.01, 1.99, 2.01], [2.99, 3.01, 3.99, 4.01], [4.99, 5.01, 5.99, 6.01], [6.99, 7.01, 7.99, 8.01]]
    )
    above = np.array([[0, 2, 2, 2], [2, 4, 4, 4], [4, 6, 6, 6], [6, 6, 6, 6]])
    below = -above
    below[3, 1:] = -8
    state = StateValues(frozen=tf.constant(True), scales=tf.fill([1, 4], 2.0))
    quantized = quantize_weights(tf.constant(np.concatenate([half, -half]), tf.float32), spec(3), state)
    np.testing.assert_array_equal(quantized.dequantize(), np.concatenate([above, below]))


@pytest.mark.parametrize("symmetric", [True, False])
def test_sub_channels_are_the_published_sums(symmetric):
    """x[..., blocks, size], codes[blocks, size, N] and scales[blocks, N], contracted as the authors' code does it."""
    random = np.random.default_rng(0)
    weights, x = random.normal(size=(32, 5)).astype(np.float32), random.normal(size=(4, 3, 32)).astype(np.float32)
    quantized = quantize_weights(tf.constant(weights), spec(2, symmetric, block_size=8))
    blocks, codes = x.reshape(4, 3, 4, 8), quantized.codes.numpy().reshape(4, 8, 5)
    expected = np.einsum("...sc,scz,sz->...z", blocks, codes, quantized.scales)
    if not symmetric:
        expected -= np.einsum("...sc,sz->...z", blocks, quantized.offsets)
    # The same products, summed in another order.
    np.testing.assert_allclose(x @ quantized.dequantize().numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("what", ["tensor", "channel", "block"])
@pytest.mark.parametrize("error", ["absolute", "squared"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_clip_search_is_exhaustive(what, error, symmetric):
    weights = np.random.default_rng(0).standard_t(3, size=(40, 3)).astype(np.float32)
    search = ClipSearch(search=what, low=0.2, steps=9, error=error)
    grid = np.linspace(1, 0.2, 9).astype(np.float32)
    size = 16 if what == "block" else None
    found = search_clip(tf.constant(weights), spec(2, symmetric, block_size=size), search).numpy()
    errors = []
    for clip in grid:
        by_hand = fake_quantize_weights(tf.constant(weights), spec(2, symmetric, block_size=size, clip=float(clip)))
        difference = np.abs(by_hand.numpy().astype(np.float64) - weights) ** (2 if error == "squared" else 1)
        parts = [difference[first : first + 16] for first in (0, 16, 32)] if what == "block" else [difference]
        errors.append([part.sum() if what == "tensor" else part.sum(axis=0) for part in parts])
    expected = grid[np.argmin(errors, axis=0)]
    np.testing.assert_array_equal(found, expected.reshape(found.shape))
    assert found.min() < 0.8  # int2 needs more clipping than the published grid reaches


@pytest.mark.parametrize(("bits", "low", "steps"), [(4, 0.8, 8), (2, 0.2, 17)])
def test_error_falls_from_symmetric_to_asymmetric_to_searched_clip(bits, low, steps):
    """The order published for 4 bits and that grid; 2 bits have it with the longer grid that they need."""
    weights = tf.random.stateless_normal([256, 6], seed=[1, 2])
    search = ClipSearch(search="channel", low=low, steps=steps)

    def error(**options) -> float:
        return float(tf.reduce_sum(tf.abs(fake_quantize_weights(weights, spec(bits, **options)) - weights)))

    assert error() > error(symmetric=False) > error(clip=search) > error(clip=search, symmetric=False)


def test_a_searched_clip_is_data():
    tree = {"bits": 2, "clip": {"search": "block", "low": 0.3}}
    searched = QuantSpec.model_validate(tree)
    assert searched.clip == ClipSearch(search="block", low=0.3)
    assert QuantSpec.model_validate(searched.model_dump()) == searched
    assert QuantSpec.model_validate_json(searched.model_dump_json()) == searched
    for clip in (0.0, 1.5, {"search": "row"}, {"search": "block", "low": 1.0}):
        with pytest.raises(ValueError, match="clip"):
            QuantSpec(bits=2, clip=clip)


@pytest.mark.parametrize("seed", range(5))
def test_blocks_equal_separate_matrices(seed):
    """A block is quantized as if it were a matrix of its own, the short last one too."""
    random = np.random.default_rng(seed)
    contraction, columns = int(random.integers(9, 80)), int(random.integers(1, 9))
    block_size = 8 * int(random.integers(1, 5))
    print(f"seed {seed}: K={contraction} N={columns} block={block_size}")
    weights = random.normal(size=(contraction, columns)).astype(np.float32)
    for bits in (2, 4, 8):
        for symmetric in (True, False):
            whole = quantize_weights(
                tf.constant(weights), QuantSpec(bits=bits, symmetric=symmetric, block_size=block_size)
            )
            per_channel = QuantSpec(bits=bits, symmetric=symmetric)
            parts = [
                quantize_weights(tf.constant(weights[start : start + block_size]), per_channel)
                for start in range(0, contraction, block_size)
            ]
            np.testing.assert_array_equal(whole.codes, np.concatenate([part.codes for part in parts]))
            np.testing.assert_array_equal(whole.scales, np.concatenate([part.scales for part in parts]))
            np.testing.assert_array_equal(whole.dequantize(), np.concatenate([part.dequantize() for part in parts]))


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
def test_error_is_at_most_half_a_step(bits, symmetric):
    weights = np.random.default_rng(1).normal(size=(96, 7)).astype(np.float32)
    quantized = quantize_weights(tf.constant(weights), spec(bits, symmetric, block_size=32))
    error = np.abs(quantized.dequantize().numpy() - weights)
    # The one float32 rounding in the quotient can move a tie by one unit in the last place.
    assert np.all(error <= np.repeat(quantized.scales.numpy(), 32, axis=0) * 0.5 * (1 + 1e-5))


def test_stored_scales_are_exactly_representable():
    weights = tf.random.stateless_normal([64, 5], seed=[3, 4])
    quantized = quantize_weights(weights, QuantSpec(bits=2, symmetric=False, block_size=32))
    for values in (quantized.scales.numpy(), quantized.offsets.numpy()):
        np.testing.assert_array_equal(values, values.astype(np.float16).astype(np.float32))


def test_all_zero_blocks_stay_zero():
    weights = tf.zeros([64, 3])
    for bits in (2, 4, 8):
        for symmetric in (True, False):
            quantized = quantize_weights(weights, QuantSpec(bits=bits, symmetric=symmetric, block_size=32))
            assert np.all(quantized.scales.numpy() > 0)
            # Asymmetric codes put zero at an offset of the tiny scale: exact up to that scale (epsilon, 1.2e-7).
            np.testing.assert_allclose(quantized.dequantize().numpy(), 0.0, atol=0.0 if symmetric else 2.4e-7)


def test_rows_are_rounded_half_to_even_with_their_own_scale():
    rows = np.array([[127.0, 0.5, 1.5, -2.5], [0.0, 0.0, 0.0, 0.0], [-2.54, 1.27, 0.0, 0.01]], np.float32)
    expected = [[127.0, 0.0, 2.0, -2.0], [0.0, 0.0, 0.0, 0.0], [-2.54, 1.28, 0.0, 0.0]]
    # 1.27 is 63.5 steps of 2.54/127, a tie that float32 resolves either way: 63 or 64 steps.
    codes, scales = quantize_rows(tf.constant(rows), 8)
    seen = (codes * scales).numpy()
    np.testing.assert_allclose(seen, expected, atol=0.021)
    np.testing.assert_array_equal(seen[:2], expected[:2])


def test_spec_counts_the_stored_bits():
    assert QuantSpec(bits=2, symmetric=False, block_size=64).code_bits_per_weight == 2
    assert QuantSpec(bits=4).code_bits_per_weight == 4
    assert QuantSpec(bits=3, block_size=64).code_bits_per_weight == 3
    assert QuantSpec(bits=4, sparsity="2:4").code_bits_per_weight == 3
    assert QuantSpec(bits=2, sparsity="2:4").code_bits_per_weight == 2
    assert QuantSpec(bits=4, sparsity="3:8").code_bits_per_weight == 4  # zeros are stored
    with pytest.raises(ValueError, match="multiple of 8"):
        QuantSpec(bits=2, block_size=20)


def test_codes_and_stored_scales_never_change():
    """The hash of what the first released version computed: a file exported today holds the bytes of then."""
    random = np.random.default_rng(0)
    content = b""
    for options in (
        {"bits": 8, "activation_bits": 8},
        {"bits": 4},
        {"bits": 4, "block_size": 24, "sparsity": "2:4"},
        {"bits": 2, "symmetric": False, "block_size": 32, "clip": {"search": "block"}},
        {"bits": 2, "symmetric": False, "clip": 0.6},
        {"bits": 3, "per_tensor": True, "clip": {"search": "tensor", "error": "squared"}},
    ):
        weights = tf.constant(random.standard_normal((100, 24)).astype(np.float32))
        quantized = quantize_weights(weights, QuantSpec.model_validate(options))
        for values in (quantized.scales, quantized.offsets):
            content += b"" if values is None else values.numpy().astype(np.float16).tobytes()
        content += quantized.codes.numpy().astype(np.int8).tobytes()
    assert hashlib.sha256(content).hexdigest() == "377c826803cf0735abc4928a859212a0c5fb8617b9aadafd135bdef208b46920"
