"""What "quantized" means for one layer: a value that training, packing and the kernel all read.

`QuantSpec` is plain data without TensorFlow, so that the converter can use it too. The arithmetic it selects is in
`quantizers.py`; the layers it applies to are chosen by name pattern in the YAML (`apply.py`).
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class QuantSpec(BaseModel):
    """How the weights of one layer, and the activations it multiplies them with, are quantized.

    Weights `W[K, N]` are contracted along K. A *block* is `block_size` consecutive k of one output channel n, and
    has one scale (and, asymmetric, one offset); `block_size=None` makes it the whole column: per-channel.

    Attributes:
      bits: width of a weight code; codes are integers in [-2^(bits-1), 2^(bits-1) - 1].
      symmetric: `w ~ scale * q` if true, `w ~ scale * q - offset` with a real offset if false (2305.16619, sec. 3).
      block_size: weights per scale along K (sub-channel), None for one scale per output channel. K need not be a
        multiple: the last block is shorter.
      clip: factor in (0, 1] on the range that the scale covers (2305.16619, constant clipping).
      activation_bits: 8 quantizes every input row symmetrically with its own scale at run time and accumulates in
        int32; None leaves activations in float (the weights-only scheme).
      scale_dtype: precision in which scales and offsets are stored. Training rounds them too, so that the codes of
        training are the codes of the file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bits: Literal[2, 4, 8]
    symmetric: bool = True
    block_size: int | None = Field(default=None, ge=8)
    clip: float = Field(default=1.0, gt=0.0, le=1.0)
    activation_bits: Literal[8] | None = None
    scale_dtype: Literal["float16", "float32"] = "float16"

    @model_validator(mode="after")
    def _block_is_whole_bytes(self) -> QuantSpec:
        if self.block_size is not None and self.block_size % 8:
            raise ValueError(f"block_size must be a multiple of 8, got {self.block_size}")
        return self

    @property
    def code_range(self) -> tuple[int, int]:
        """Lowest and highest code, both inclusive."""
        return -(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1

    def blocks(self, contraction: int) -> int:
        """Number of blocks along a contraction axis of this length."""
        return -(-contraction // self.block_size) if self.block_size else 1

    def stored_bits_per_weight(self, contraction: int) -> float:
        """Bits a weight takes on disk, its share of scales and offsets included."""
        scale_bits = 16 if self.scale_dtype == "float16" else 32
        per_block = scale_bits * (1 if self.symmetric else 2)
        return self.bits + per_block * self.blocks(contraction) / contraction
