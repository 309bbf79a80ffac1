"""The specs that docs/results/recipes.md recommends, each by its name.

q = tfconformer.quantize(model, {".*_head": None, ".*": recipes.int4_block64()})
"""

from __future__ import annotations

from typing import Literal

from tfconformer.quantization.spec import ClipSearch, QuantSpec

ActivationBits = Literal[8] | None  # 8 multiplies in integers, None leaves activations in float


def int8(activation_bits: ActivationBits = None) -> QuantSpec:
    """Returns 8-bit weights with a scale per output channel, which cost nothing, even without training."""
    return QuantSpec(bits=8, activation_bits=activation_bits)


def int4_block64(activation_bits: ActivationBits = None) -> QuantSpec:
    """Returns 4-bit weights with a scale per 64 weights, which long training makes as good as float."""
    return QuantSpec(bits=4, block_size=64, activation_bits=activation_bits)


def int2_block64(activation_bits: ActivationBits = None) -> QuantSpec:
    """Returns asymmetric 2-bit weights with a scale and a searched clip factor per 64 weights, the best of 2 bits."""
    clip = ClipSearch(search="block", error="squared")
    return QuantSpec(bits=2, symmetric=False, block_size=64, clip=clip, activation_bits=activation_bits)
