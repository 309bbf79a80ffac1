"""Packing, against a published case, an independent implementation and the definition."""

import numpy as np
import pytest

from converters.pack import pack_codes, pack_weights, unpack_codes
from tests.support import packed_layer
from tfconformer.quantization.quantizers import quantize_weights
from tfconformer.quantization.spec import QuantSpec


def test_int4_case_of_praxis():
    """`pack_4bit` of -8 ... 7 as [8, 2] along its first axis, in bytes; ours has the channel first."""
    codes = np.arange(-8, 8, dtype=np.int8).reshape(8, 2)
    expected = np.array([[0xA8, 0xB9], [0xEC, 0xFD], [0x20, 0x31], [0x64, 0x75]], np.uint8)
    np.testing.assert_array_equal(pack_codes(np.ascontiguousarray(codes.T), 4), expected.T)


def test_int2_by_hand():
    """Low bits first, two's complement: 1 -> 01, -2 -> 10, -1 -> 11, 0 -> 00; then one code and six bits of padding."""
    codes = np.array([[1, -2, -1, 0, 1]], np.int8)
    np.testing.assert_array_equal(pack_codes(codes, 2), [[0b00_11_10_01, 0b01]])


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("seed", range(5))
def test_any_codes_come_back_and_match_the_definition(bits, seed):
    print(f"seed {seed}")
    random = np.random.default_rng(seed)
    n, k = random.integers(1, 40, 2)
    codes = random.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (n, k)).astype(np.int8)
    packed = pack_codes(codes, bits)
    np.testing.assert_array_equal(packed, packed_layer.pack_codes(codes, bits))
    np.testing.assert_array_equal(unpack_codes(packed, bits, k), codes)


@pytest.mark.parametrize(
    "spec",
    [
        QuantSpec(bits=8),
        QuantSpec(bits=4, block_size=16),
        QuantSpec(bits=2, symmetric=False, block_size=24, clip=0.8),
        QuantSpec(bits=4, symmetric=False),
    ],
    ids=str,
)
def test_packed_weights_stand_for_what_training_multiplies_with(spec):
    weights = np.random.default_rng(0).standard_normal((37, 5)).astype(np.float32)
    quantized = quantize_weights(weights, spec)
    offsets = None if quantized.offsets is None else quantized.offsets.numpy()
    packed = pack_weights(quantized.codes.numpy(), quantized.scales.numpy(), offsets, spec)
    np.testing.assert_array_equal(packed.dequantize(), quantized.dequantize().numpy())
    assert packed.codes.shape == (5, -(-37 * spec.bits // 8))
    assert packed.scales.shape == (5, spec.blocks(37))
    assert list(packed.attributes(has_bias=True).values()) == [
        *(1, spec.bits, spec.symmetric, spec.block_size or 0, 37, 5, 0, 1, 0)
    ]


@pytest.mark.parametrize(
    ("codes", "scale", "message"),
    [
        (8.0, 1.0, "not an integer in"),
        (-9.0, 1.0, "not an integer in"),
        (300.0, 1.0, "not an integer in"),
        (0.5, 1.0, "not an integer in"),
        (np.nan, 1.0, "not an integer in"),
        (1.0, 0.0, "not above zero"),
        (1.0, -1.0, "not above zero"),
        (1.0, np.nan, "not a finite float16"),
        (1.0, 1e6, "not a finite float16"),
        (1.0, 1.0001, "not a finite float16"),
    ],
)
def test_what_cannot_be_stored_unchanged_is_refused(codes, scale, message):
    codes = np.full((8, 2), codes, np.float32)
    with pytest.raises(ValueError, match=message):
        pack_weights(codes, np.full((1, 2), scale, np.float32), None, QuantSpec(bits=4))


def test_scales_of_another_layer_are_refused():
    codes, scales = np.zeros((32, 2), np.float32), np.ones((1, 2), np.float32)
    with pytest.raises(ValueError, match="must have shape"):
        pack_weights(codes, scales, None, QuantSpec(bits=4, block_size=16))
    with pytest.raises(ValueError, match="offsets"):
        pack_weights(codes, scales, scales, QuantSpec(bits=4))
