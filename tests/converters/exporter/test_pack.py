"""Packing, against a published case, an independent implementation and the definition."""

from pathlib import Path

import numpy as np
import pytest

from converters.exporter.pack import pack_weights, unpack_entries
from tests.support import packed_layer
from tfconformer.quantization.quantizers.weights import quantize_weights
from tfconformer.quantization.spec import QuantSpec


def test_int2_by_hand():
    """Channel 1 has 1, -2, -1, 0, 1: as 3, 0, 1, 2, 3 they are field 0 of bytes 4 to 7 and field 1 of byte 4."""
    codes = np.zeros((5, 2), np.float32)
    codes[:, 1] = [1, -2, -1, 0, 1]
    packed = pack_weights(codes, np.ones((1, 2), np.float32), None, QuantSpec(bits=2)).codes
    assert packed.shape == (1, 1, 64)
    assert packed[0, 0, :4].tolist() == [0b10_10, 0b10, 0b10, 0b10]
    assert packed[0, 0, 4:8].tolist() == [0b11_11, 0b00, 0b01, 0b10]
    assert not packed[0, 0, 8:].any()


def test_int3_by_hand():
    """Weights 0, 9, 21 and 31 of channel 1 as 7, 5, 3 and 6 (0b111, 0b101, 0b011 and 0b110), all others as 0.

    Number 9 is in number 1 of the four eights of weights, in the first four: its low bits are those from 2 on of byte 5
    of word 0. Number 31 is in eight 3, in the second four: the low bits are those from 6 on of byte 7 of word 1.
    """
    codes = np.full((33, 2), -4, np.float32)
    codes[[0, 9, 21, 31], 1] = 3, 1, -1, 2
    codes[32, 1] = 3
    packed = pack_weights(codes, np.ones((1, 2), np.float32), None, QuantSpec(bits=3)).codes
    assert packed.shape == (1, 6, 64)
    assert packed[0, :3, 4:8].tolist() == [
        [0b11, 0b01_00, 0, 0],
        [0, 0b11_0000, 0, 0b10_00_0000],
        [0b0001, 0b0010, 0, 0b1000_0000],
    ]
    assert packed[0, 3:, 4].tolist() == [0b11, 0, 1]
    packed[0, :3, 4:8] = packed[0, 3:, 4] = 0
    assert not packed.any()


def test_int4_2_to_4_by_hand():
    """One channel: of 0, 7, 0, -8 the codes 7 and -8 are kept, at 1 and 3; of 0, 0, 0, 5 also the first zero."""
    codes = np.array([[0, 7, 0, -8, 0, 0, 0, 5]], np.float32).T
    packed = pack_weights(codes, np.ones((1, 1), np.float32), None, QuantSpec(bits=4, sparsity="2:4"))
    assert packed.codes[0, 0, :4].tolist() == [15, 0, 8, 13]
    assert packed.sparsity_indices[0, 0, :4].tolist() == [1, 3, 0, 3]
    np.testing.assert_array_equal(packed.dequantize(), codes)


@pytest.mark.parametrize("last", [5, 0])
def test_a_last_group_of_one_weight_stores_an_index_past_the_end(last):
    """As `docs/reference/format.md` says of 2:4 and K = 33: entry 17 is of the weight 32, and entry 18 of none."""
    codes = np.zeros((33, 1), np.float32)
    codes[32] = last
    packed = pack_weights(codes, np.ones((1, 1), np.float32), None, QuantSpec(bits=4, sparsity="2:4"))
    stored, indices = (
        unpack_entries(one, bits, [18], 1)[16:, 0] for one, bits in ((packed.codes, 4), (packed.sparsity_indices, 2))
    )
    assert stored.tolist() == [8 + last, 8]
    assert indices[0] == 0 and 32 + indices[1] > 32
    page = " ".join((Path(__file__).parents[3] / "docs" / "reference" / "format.md").read_text().split())
    assert "with 2:4 and K = 33 the last four holds one weight and two entries are stored" in page
    np.testing.assert_array_equal(packed.dequantize(), codes)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("seed", range(5))
def test_any_codes_come_back_and_match_the_definition(bits, seed):
    print(f"seed {seed}")
    random = np.random.default_rng(seed)
    n, k = (int(size) for size in random.integers(1, 90, 2))
    kept = None if bits in (1, 3) else (None, 1, 2)[seed % 3]
    if kept is not None:
        k += -k % 4  # in an incomplete group, the place of a weight that is not there is anyone's choice
    layer = packed_layer.random_layer(
        random, bits, k, n, block_size=(0, 8, 24)[seed % 3], kept=kept, symmetric=None if bits == 1 else seed != 3
    )
    spec = QuantSpec(
        bits=bits,
        symmetric=layer.half_integers or layer.offsets is None,
        scheme="half_integer" if layer.half_integers else "uniform",
        block_size=layer.block_size or None,
        sparsity=None if layer.positions is None else f"{layer.positions.shape[2]}:4",
    )
    # Where a stored code is zero, another place of the group would do too: here none is.
    codes = layer.codes if kept is None else np.where(layer.mask & (layer.codes == 0), 1, layer.codes)
    layer.codes = codes
    offsets = None if layer.offsets is None else layer.offsets.T.astype(np.float32)
    packed = pack_weights(codes.T.astype(np.float32), layer.scales.T.astype(np.float32), offsets, spec)
    np.testing.assert_array_equal(packed.codes, layer.packed)
    np.testing.assert_array_equal(packed.scales, layer.packed_scales)
    if layer.positions is not None:
        np.testing.assert_array_equal(packed.sparsity_indices, layer.packed_positions)
    # Products of float16 scales and codes of at most 8 bits are exact in float32; the subtraction rounds once.
    np.testing.assert_array_equal(packed.dequantize(), layer.weights().T.astype(np.float32))


@pytest.mark.parametrize(
    "spec",
    [
        QuantSpec(bits=8),
        QuantSpec(bits=4, block_size=16),
        QuantSpec(bits=3, symmetric=False, block_size=16),
        QuantSpec(bits=3, sparsity="3:8"),
        QuantSpec(bits=2, symmetric=False, block_size=24, clip=0.8),
        QuantSpec(bits=4, symmetric=False),
        QuantSpec(bits=4, sparsity="2:4", block_size=16),
        QuantSpec(bits=2, sparsity="1:4"),
        QuantSpec(bits=8, sparsity="3:8"),
        QuantSpec(bits=2, scheme="half_integer", block_size=16),
        QuantSpec(bits=1, scheme="half_integer", clip=0.5),
        QuantSpec(bits=1, scheme="binary", block_size=24),
    ],
    ids=str,
)
def test_packed_weights_stand_for_what_training_multiplies_with(spec):
    weights = np.random.default_rng(0).standard_normal((37, 5)).astype(np.float32)
    quantized = quantize_weights(weights, spec)
    offsets = None if quantized.offsets is None else quantized.offsets.numpy()
    packed = pack_weights(quantized.codes.numpy(), quantized.scales.numpy(), offsets, spec)
    np.testing.assert_array_equal(packed.dequantize(), quantized.dequantize().numpy())
    assert packed.scales.shape == (1, spec.blocks(37), 16)
    kept = {"2:4": 2, "1:4": 1}.get(spec.sparsity, 0)
    assert (packed.sparsity_indices is None) == (kept == 0)
    symmetric = {"stored": 0, "none": 1, "implied": 2}[spec.zero_points]
    assert list(packed.attributes(has_bias=True).values()) == [
        *(3, spec.bits, symmetric, spec.block_size or 0, 37, 5, 0, 1, 0, kept, 0, 0)
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


def test_a_group_with_too_many_weights_is_refused():
    codes = np.ones((8, 2), np.float32)
    with pytest.raises(ValueError, match="more than 2 that are not zero"):
        pack_weights(codes, np.ones((1, 2), np.float32), None, QuantSpec(bits=4, sparsity="2:4"))
