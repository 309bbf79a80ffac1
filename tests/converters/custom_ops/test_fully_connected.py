"""Every kernel that this machine can run, through the flat entry point, against the definition written in NumPy."""

from __future__ import annotations

import ctypes
import dataclasses
import itertools

import numpy as np
import pytest
from numpy.ctypeslib import ndpointer
from numpy.typing import NDArray

from converters.custom_ops import kernel_names, library_path
from tests.support.packed_layer import PackedLayer, fma, quantize_rows, random_layer

KERNELS = kernel_names()
# Rows: none, one, every group of rows that a kernel may form, one more than the chunk of 64. K: one, parts of a cell
# and of a block, more than the pieces of 256 codes. N: one, parts of a tile, more than the four tiles taken together.
SHAPES = [(1, 1, 1), (0, 24, 5), (3, 7, 2), (65, 24, 17), (15, 133, 33), (5, 300, 3), (2, 70, 85), (1, 96, 130)]
KINDS = [
    kind
    for kind in [
        *itertools.product((1, 2, 3, 4, 8), (True, False), (0, 8, 32), (True, False), (None, 1, 2)),
        *itertools.product((1, 2), (None,), (0, 8, 32), (True, False), (None, 1, 2)),  # half-integers
    ]
    if kind[0] not in (1, 3) or kind[4] is None
]
DENSE = [(1, None), (3, None)]  # widths without sparse layers
WIDTHS = [*DENSE, *itertools.product((2, 4, 8), (None, 1, 2))]
kind = pytest.mark.parametrize(("bits", "symmetric", "block_size", "int8_activations", "kept"), KINDS)


class Weights(ctypes.Structure):
    """`tfc_fully_connected_weights` of the C API."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("codes", "indices", "scales", "zero_points", "bias")]


def _c_function() -> ctypes._CFuncPtr:
    function = ctypes.CDLL(str(library_path())).tfc_fully_connected
    function.restype = ctypes.c_int
    function.argtypes = [
        ctypes.c_char_p,
        ndpointer(np.int32, shape=(12,)),
        ctypes.POINTER(Weights),
        ctypes.c_int64,
        ndpointer(np.float32, flags="C"),
        ndpointer(np.float32, flags="C,W"),
        ctypes.c_char_p,
    ]
    return function


def run(
    layer: PackedLayer,
    x: NDArray[np.float32],
    kernel: str | None = None,
    params: NDArray[np.int32] | None = None,
) -> NDArray[np.float32]:
    """Runs the C code on x [M, K]; raises ValueError with its sentence."""
    # Memory right behind the arrays is not ours: a guard element at the end of y shows writes past it.
    guarded = np.full(len(x) * len(layer.codes) + 1, 1234.5, np.float32)
    message = ctypes.create_string_buffer(160)
    arrays = [layer.packed, layer.packed_positions, layer.packed_scales, layer.packed_offsets, layer.bias]
    weights = Weights(*(None if array is None else array.ctypes.data for array in arrays))
    params = layer.params if params is None else params
    name = None if kernel is None else kernel.encode()
    if _c_function()(name, params, ctypes.byref(weights), len(x), x, guarded, message):
        raise ValueError(message.value.decode())
    assert guarded[-1] == 1234.5
    return guarded[:-1].reshape(len(x), len(layer.codes))


def test_the_oracle_rounds_once() -> None:
    """float32 cases in which a product and a sum in float64 would be rounded twice, and easy ones."""
    two_roundings = (np.float32(1 + 2**-12), np.float32(1 + 2**-12), np.float32(2**-60))
    # (1 + 2^-12)^2 = 1 + 2^-11 + 2^-24 lies halfway between floats: the addend decides, and float64 would lose it.
    assert fma(*two_roundings) == np.float32(1 + 2**-11 + 2**-23)
    assert fma(two_roundings[0], two_roundings[1], -two_roundings[2]) == np.float32(1 + 2**-11)
    assert fma(np.float32(3), np.float32(5), np.float32(0.5)) == 15.5
    assert np.isnan(fma(np.float32(np.inf), np.float32(0), np.float32(1)))


def random_input(rng: np.random.Generator, rows: int, k: int) -> NDArray[np.float32]:
    """Rows of very different sizes, one of them zero."""
    x = rng.standard_normal((rows, k)) * 10.0 ** rng.uniform(-4, 4, (rows, 1))
    x[2:3] = 0
    return x.astype(np.float32)


@kind
def test_equals_the_definition_bit_for_bit(
    bits: int, symmetric: bool | None, block_size: int, int8_activations: bool, kept: int | None
) -> None:
    for i, (rows, k, n) in enumerate(SHAPES):
        seed = 1000 * bits + i
        print(f"seed {seed}, M {rows}, K {k}, N {n}")
        rng = np.random.default_rng(seed)
        activation = ("none", "relu", "relu_n1_to_1", "relu6")[i % 4]
        layer = random_layer(
            rng,
            bits,
            k,
            n,
            symmetric=symmetric,
            block_size=block_size,
            int8_activations=int8_activations,
            bias=i % 2 == 0,
            activation=activation,
            kept=kept,
        )
        x = random_input(rng, rows, k)
        expected = layer.float32(x)
        for kernel in KERNELS:
            # No tolerance: the order of all float operations is part of the definition, integer sums are exact.
            np.testing.assert_array_equal(run(layer, x, kernel), expected, err_msg=kernel)


@pytest.mark.parametrize(
    ("k", "block_size", "symmetric"),
    [
        *((610, size, symmetric) for size, symmetric in ((0, True), (0, False), (24, True), (64, False), (128, True))),
        (610, 64, None),
        *((640, size, symmetric) for size, symmetric in ((0, False), (256, True))),  # tiles of 64 fill the blocks
    ],
)
@pytest.mark.parametrize(("bits", "kept"), WIDTHS)
def test_many_rows_equal_the_definition(
    bits: int, k: int, block_size: int, symmetric: bool | None, kept: int | None
) -> None:
    """Kernels of matrix tiles: more rows than they take at once, parts of a long block, an odd panel at the end."""
    seed = 100 * bits + block_size
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    layer = random_layer(
        rng, bits, k, 104, symmetric=symmetric, block_size=block_size, int8_activations=True, kept=kept
    )
    x = random_input(rng, 256 + 19, k)
    expected = layer.float32(x)
    for kernel in KERNELS[:-1]:  # the portable one takes a row at a time
        for rows in (12, 32, 49, len(x)):
            np.testing.assert_array_equal(
                run(layer, x[:rows], kernel), expected[:rows], err_msg=f"{kernel}, {rows} rows"
            )


@kind
def test_is_close_to_exact_arithmetic(
    bits: int, symmetric: bool | None, block_size: int, int8_activations: bool, kept: int | None
) -> None:
    seed = 7 + bits
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    layer = random_layer(
        rng,
        bits,
        200,
        20,
        symmetric=symmetric,
        block_size=block_size,
        int8_activations=int8_activations,
        kept=kept,
    )
    x = random_input(rng, 9, 200)
    # Each of the K products and sums and the few steps after them rounds by at most 2^-24 of the sum of magnitudes, to
    # which the two parts of an asymmetric weight count one by one.
    magnitudes = dataclasses.replace(
        layer,
        codes=np.abs(layer.codes),
        offsets=None if layer.offsets is None else -np.abs(layer.offsets),
        bias=np.abs(layer.bias),
    )
    tolerance = (200 + 10) * 2.0**-24 * magnitudes.exact(np.abs(x))
    assert np.all(np.abs(run(layer, x) - layer.exact(x)) <= tolerance)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("bits", "kept"), WIDTHS)
def test_extreme_codes_do_not_overflow(bits: int, kept: int | None, kernel: str) -> None:
    """Long blocks of the lowest and highest codes with the largest activations, where 16-bit sums would not hold."""
    k = 4 * 333
    for code, x_code in itertools.product((-(2 ** (bits - 1)), 2 ** (bits - 1) - 1), (-127, 127)):
        positions = None if kept is None else np.tile(np.arange(kept), (1, k // 4, 1))
        layer = PackedLayer(bits, np.full((1, k), code), np.ones((1, 1), np.float16), int8_activations=True)
        layer.positions = positions
        layer.codes = layer.codes * layer.mask
        for rows in (1, 2, 4, 8):
            y = run(layer, np.full((rows, k), x_code, np.float32), kernel)
            # max|x| = 127 makes the scale of a row exactly 1, so that the output is the sum.
            assert (y == np.float32(code * x_code * (kept or 4) * 333)).all()


def test_integer_sums_are_exact_up_to_their_limit() -> None:
    """The largest block that an 8-bit layer may have: -128 * 127 * K just fits 32 bits."""
    k = (2**31 - 1) // (128 * 127)
    layer = PackedLayer(8, np.full((1, k), -128), np.ones((1, 1), np.float16), int8_activations=True)
    x = np.full((1, k), 127, np.float32)
    # max|x| = 127 makes the scale of the row exactly 1, so that the output is the sum, rounded to float once.
    for kernel in KERNELS:
        assert run(layer, x, kernel)[0, 0] == np.float32(-128 * 127 * k)
    longer = PackedLayer(8, np.full((1, k + 1), -128), np.ones((1, 1), np.float16), int8_activations=True)
    with pytest.raises(ValueError, match="block length"):
        run(longer, np.full((1, k + 1), 127, np.float32))


@pytest.mark.parametrize("code", [-128, 127])
def test_exact_sums_of_many_rows_and_a_long_block(code: int) -> None:
    """The longest block that kernels of matrix tiles take, whose sums they may hold modulo 2^32."""
    k = 2**17
    layer = PackedLayer(8, np.full((1, k), code), np.ones((1, 1), np.float16), int8_activations=True)
    for kernel, x_code in itertools.product(KERNELS, (-127, 127)):
        y = run(layer, np.full((12, k), x_code, np.float32), kernel)
        assert (y == np.float32(code * x_code * k)).all()


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
@pytest.mark.parametrize("k", [2**17, 2**20])
def test_enlarged_sums_of_a_single_row_do_not_overflow(bits: int, k: int) -> None:
    """The longest block whose codes kernels multiply where they stand in their bytes, and one too long for that."""
    code = 2 ** (bits - 1) - 1
    layer = PackedLayer(bits, np.full((1, k), code), np.ones((1, 1), np.float16), int8_activations=True)
    # max|x| = 127 makes the scale of the row exactly 1, so that the output is the sum, rounded to float once.
    for kernel, x_code in itertools.product(KERNELS, (-127, 127)):
        assert run(layer, np.full((1, k), x_code, np.float32), kernel)[0, 0] == np.float32(code * x_code * k)


def test_a_sparse_block_that_is_too_long_for_enlarged_sums() -> None:
    """Such blocks are left to the portable kernels, which must get x as they pack it."""
    groups = 2**17 + 8
    layer = PackedLayer(2, np.full((1, 4 * groups), 1), np.ones((1, 1), np.float16), int8_activations=True)
    layer.positions = np.tile([[[2]]], (1, groups, 1))
    layer.codes = layer.codes * layer.mask
    for kernel in KERNELS:
        assert run(layer, np.full((1, 4 * groups), 127, np.float32), kernel)[0, 0] == np.float32(127 * groups)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
def test_every_code_is_unpacked(bits: int) -> None:
    """All codes of a width at every place of a word, read one by one with unit vectors."""
    codes = np.tile(np.arange(-(2 ** (bits - 1)), 2 ** (bits - 1)), {1: 16, 3: 4}.get(bits, 1))
    layer = PackedLayer(bits, np.array([np.roll(codes, shift) for shift in range(8)]), np.ones((8, 1), np.float16))
    for kernel in KERNELS:
        np.testing.assert_array_equal(run(layer, np.eye(len(codes), dtype=np.float32), kernel), layer.codes.T)


def test_every_half_precision_scale_is_read() -> None:
    """All positive finite float16 values, subnormals included, as scales of one-weight channels."""
    scales = np.arange(1, 0x7C00, dtype=np.uint16).view(np.float16)[:, None]
    layer = PackedLayer(8, np.ones((len(scales), 1), np.int64), scales)
    for kernel in KERNELS:
        y = run(layer, np.ones((1, 1), np.float32), kernel)
        np.testing.assert_array_equal(y[0], scales[:, 0].astype(np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_gives_nan_and_touches_no_other(bad: float) -> None:
    rng = np.random.default_rng(11)
    layer = random_layer(rng, 4, 40, 6, symmetric=False, block_size=16, int8_activations=True, activation="relu")
    x = rng.standard_normal((4, 40)).astype(np.float32)
    clean = run(layer, x)
    x[1, 37] = bad
    for kernel in KERNELS:
        y = run(layer, x, kernel)
        assert np.isnan(y[1]).all()
        np.testing.assert_array_equal(np.delete(y, 1, axis=0), np.delete(clean, 1, axis=0))


def test_a_zero_row_gives_the_bias() -> None:
    rng = np.random.default_rng(12)
    layer = random_layer(rng, 2, 64, 5, symmetric=False, block_size=32, int8_activations=True)
    tiny = np.float32(3e-37)  # 127 / max|x| overflows: the row counts as zero
    x = np.stack([np.zeros(64, np.float32), np.full(64, tiny), np.full(64, -tiny)])
    for kernel in KERNELS:
        np.testing.assert_array_equal(run(layer, x, kernel), np.tile(layer.bias, (3, 1)))


def test_ties_round_to_even_and_extremes_are_clamped() -> None:
    """With max|x| = 127 the codes are the rounded values themselves; each unit weight reads one of them."""
    x = np.array([[127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5, -127, 0.49999997]], np.float32)
    layer = PackedLayer(8, np.eye(10, dtype=np.int64), np.ones((10, 1), np.float16), int8_activations=True)
    expected = [127, 0, 2, 2, 0, -2, -2, 126, -127, 0]
    for kernel in KERNELS:
        np.testing.assert_array_equal(run(layer, x, kernel)[0], expected)
    assert quantize_rows(x)[0][0].tolist() == expected


@pytest.mark.parametrize(
    ("index", "value", "word"),
    [
        (0, 1, "version"),
        (1, 0, "bits"),
        (1, 5, "bits"),
        (2, 3, "symmetric"),
        (3, -8, "block_size"),
        (3, 12, "block_size"),
        (4, 0, "K"),
        (4, -(2**31), "K"),
        (5, 0, "N"),
        (6, 4, "activation_bits"),
        (7, 2, "has_bias"),
        (8, -1, "activation"),
        (8, 4, "activation"),
        (9, 4, "kept"),
        (9, -1, "kept"),
        (10, 17, "window"),
        (10, -1, "window"),
        (11, 1, "stride"),
    ],
)
def test_bad_params_are_refused(index: int, value: int, word: str) -> None:
    layer = random_layer(np.random.default_rng(13), 4, 8, 2)
    params = layer.params
    params[index] = value
    with pytest.raises(ValueError, match=rf"params: {word} is {value}, expected"):
        run(layer, np.ones((1, 8), np.float32), params=params)


@pytest.mark.parametrize(("bits", "kept"), itertools.product((1, 3), (1, 2)))
def test_sparse_weights_of_1_and_3_bits_are_refused(bits: int, kept: int) -> None:
    layer = random_layer(np.random.default_rng(13), bits, 8, 2)
    params = layer.params
    params[9] = kept
    with pytest.raises(ValueError, match=rf"params: kept is {kept}, expected 0 \(all\) with 1 or 3 bits"):
        run(layer, np.ones((1, 8), np.float32), params=params)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_bad_scales_are_refused(value: float) -> None:
    layer = random_layer(np.random.default_rng(14), 4, 24, 3, block_size=8)
    layer.scales[1, 2] = value
    with pytest.raises(ValueError, match="scale 2 of channel 1"):
        run(layer, np.ones((1, 24), np.float32))


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_bad_offsets_are_refused(value: float) -> None:
    layer = random_layer(np.random.default_rng(15), 4, 24, 3, block_size=8, symmetric=False)
    assert layer.offsets is not None
    layer.offsets[2, 0] = value
    with pytest.raises(ValueError, match="offset 0 of channel 2"):
        run(layer, np.ones((1, 24), np.float32))


def test_an_unknown_kernel_is_refused() -> None:
    layer = random_layer(np.random.default_rng(16), 4, 8, 2)
    with pytest.raises(ValueError, match="no kernel 'altivec'"):
        run(layer, np.ones((1, 8), np.float32), "altivec")
    assert KERNELS[-1] == "portable"
