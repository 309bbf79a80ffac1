"""What "quantized" means for one layer: a value that training, packing and the kernel all read.

`QuantSpec` is plain data without TensorFlow, so that the converter can use it too. The arithmetic it selects is in
`quantizers.py`; the layers it applies to are chosen by name pattern in the YAML (`apply.py`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

# How codes are chosen without training: each for itself, or so that the layer's outputs change least (`gptq.py`).
Rounding = Literal["nearest", "gptq"]


class ClipSearch(BaseModel):
    """Clip factors that are searched anew whenever the weights are quantized (2305.16619, clipping search).

    Attributes:
      search: what shares a factor.
      low: end of the grid, which starts at 1. Int2 needs factors down to 0.2; from 3 bits on the best lie above 0.6.
      steps: length of the grid. The first factor with the least error wins, so that ties prefer the larger one.
      error: summed over what shares the factor.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    search: Literal["tensor", "channel", "block"]
    low: float = Field(default=0.2, gt=0.0, lt=1.0)
    steps: int = Field(default=17, ge=2)
    error: Literal["absolute", "squared"] = "absolute"


def _clip_kind(value: object) -> str:
    return "search" if isinstance(value, (dict, ClipSearch)) else "constant"


class QuantSpec(BaseModel):
    """How the weights of one layer, and the activations it multiplies them with, are quantized.

    Weights `W[K, N]` are contracted along K. A *block* is `block_size` consecutive k of one output channel n, and
    has one scale (and, asymmetric, one offset); `block_size=None` makes it the whole column: per-channel.

    Attributes:
      bits: width of a weight code; codes are integers in [-2^(bits-1), 2^(bits-1) - 1].
      symmetric: `w ~ scale * q` if true, `w ~ scale * q - offset` with a real offset if false (2305.16619, sec. 3).
      block_size: weights per scale along K (sub-channel), None for one scale per output channel. K need not be a
        multiple: the last block is shorter.
      per_tensor: one scale for the whole matrix, stored once per output channel; excludes `block_size`.
      clip: factor in (0, 1] on the range that the scale covers (2305.16619, constant clipping), or how it is searched.
      activation_bits: 4 or 8 quantizes every input row symmetrically with its own scale at run time and accumulates
        in int32 (2203.15952); None leaves activations in float (the weights-only scheme).
      scale_gradient: whether gradients flow through the scale, as in 2305.16619, or take it for a constant, as in
        2203.15952. The offset of asymmetric weights passes them either way.
      sparsity: "N:M" keeps the N largest of every M consecutive weights along K and prunes the rest before they are
        quantized (2312.08553); None prunes nothing.
      pruning_gradient: "masked" gives pruned weights no gradient, "ste" the one of the pruned matrix, "sr-ste" that and
        a decay of the pruned ones (2102.04010).
      scale_dtype: precision in which scales and offsets are stored. Training rounds them too, so that the codes of
        training are the codes of the file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bits: Literal[2, 3, 4, 8]
    symmetric: bool = True
    block_size: int | None = Field(default=None, ge=8)
    per_tensor: bool = False
    clip: Annotated[
        Annotated[Annotated[float, Field(gt=0.0, le=1.0)], Tag("constant")] | Annotated[ClipSearch, Tag("search")],
        Discriminator(_clip_kind),
    ] = 1.0
    activation_bits: Literal[4, 8] | None = None
    scale_gradient: bool = True
    sparsity: str | None = Field(default=None, pattern=r"^[1-9][0-9]?:[1-9][0-9]?$")
    pruning_gradient: Literal["masked", "ste", "sr-ste"] = "masked"
    scale_dtype: Literal["float16", "float32"] = "float16"

    @model_validator(mode="after")
    def _block_is_whole_bytes(self) -> QuantSpec:
        if self.block_size is not None and self.block_size % 8:
            raise ValueError(f"block_size must be a multiple of 8, got {self.block_size}")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> QuantSpec:
        if self.per_tensor and self.block_size is not None:
            raise ValueError("per_tensor excludes block_size")
        if self.kept_of is not None:
            kept, group = self.kept_of
            if kept >= group:
                raise ValueError(f"sparsity must keep N < M of M weights, got {self.sparsity}")
            if self.block_size is not None and self.block_size % group:
                raise ValueError(f"block_size {self.block_size} must hold whole groups of {group} weights")
        return self

    @property
    def kept_of(self) -> tuple[int, int] | None:
        """(N, M) of the sparsity."""
        if self.sparsity is None:
            return None
        kept, group = self.sparsity.split(":")
        return int(kept), int(group)

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
