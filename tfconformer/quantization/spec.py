"""What "quantized" means for one layer: a value that training, packing and the kernel all read.

`QuantSpec` is plain data without TensorFlow, so that the converter can use it too. The arithmetic it selects is in
`quantizers.py`; the layers it applies to are chosen by name pattern in the YAML (`apply.py`). Steps are those of the
optimizer, from 0; schedules act in training only: what is evaluated or exported is quantized and pruned in full.
"""

from __future__ import annotations

import pkgutil
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from tfconformer.section import Section

Sharing = Literal["tensor", "channel", "block"]

FLOAT_BITS = 32  # of weights or activations that are not quantized

# How codes are chosen without training: each for itself, or so that the layer's outputs change least (`gptq.py`).
Rounding = Literal["nearest", "gptq"]


class ClipSearch(Section):
    """Clip factors that are searched for (2305.16619, clipping search).

    Attributes:
      search: what shares a factor.
      low: end of the grid, which starts at 1. Int2 needs factors down to 0.2; from 3 bits on the best lie above 0.6.
      steps: length of the grid. The first factor with the least error wins, so that ties prefer the larger one.
      error: summed over what shares the factor.
      every: steps between two searches in training; the factors are remembered in between, and then evaluated and
        exported with. 1 searches whenever the weights are quantized and remembers nothing.
    """

    search: Sharing
    low: float = Field(default=0.2, gt=0.0, lt=1.0)
    steps: int = Field(default=17, ge=2)
    error: Literal["absolute", "squared"] = "absolute"
    every: int = Field(default=20, ge=1)


class LearnedClip(Section):
    """Clip factors that are trained, with the gradient of LSQ (1902.08153, eq. 3 and 2.2).

    They start where a `ClipSearch` with its default grid puts them.

    Attributes:
      learn: what shares a factor.
    """

    learn: Sharing


class Schedule(Section):
    """When training quantizes (2203.15952).

    Attributes:
      begin: training multiplies in float before this step.
      end: and again from this step on; None: never.
      freeze: at the beginning of this step scales and offsets are computed for the last time; None: never.
    """

    begin: int = Field(default=0, ge=0)
    end: int | None = Field(default=None, gt=0)
    freeze: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _in_order(self) -> Schedule:
        for name in ("end", "freeze"):
            step = getattr(self, name)
            if step is not None and step < self.begin:
                raise ValueError(f"{name} {step} lies before begin {self.begin}")
        return self


class PruningSchedule(Section):
    """When training chooses the N:M mask; afterwards the mask stays as it is.

    Attributes:
      begin: nothing is pruned before this step. Without `end` the mask is chosen there, once.
      end: the share of what N:M prunes that is pruned grows from `begin` to `end` along a cubic (1710.01878, eq. 1).
      every: steps between two masks on the way.
    """

    begin: int = Field(default=0, ge=0)
    end: int | None = Field(default=None, gt=0)
    every: int = Field(default=100, ge=1)

    @model_validator(mode="after")
    def _in_order(self) -> PruningSchedule:
        if self.end is not None and self.end <= self.begin:
            raise ValueError(f"end {self.end} must lie after begin {self.begin}")
        return self

    @property
    def last(self) -> int:
        """The step that chooses the final mask."""
        return self.begin if self.end is None else self.end


def _clip_kind(value: object) -> str:
    if isinstance(value, LearnedClip) or (isinstance(value, dict) and "learn" in value):
        return "learned"
    return "search" if isinstance(value, (dict, ClipSearch)) else "constant"


class QuantSpec(Section):
    """How the weights of one layer, and the activations it multiplies them with, are quantized.

    Weights `W[K, N]` are contracted along K. A *block* is `block_size` consecutive k of one output channel n, and
    has one scale (and, asymmetric, one offset); `block_size=None` makes it the whole column: per-channel.

    Attributes:
      bits: width of a weight code; codes are integers in [-2^(bits-1), 2^(bits-1) - 1]. 32 leaves the weights in float,
        for quantized activations alone: a comparison of 2203.15952 that no file can hold.
      symmetric: `w ~ scale * q` if true, `w ~ scale * q - offset` with a real offset if false (2305.16619, sec. 3).
      block_size: weights per scale along K (sub-channel), None for one scale per output channel. K need not be a
        multiple: the last block is shorter.
      per_tensor: one scale for the whole matrix, stored once per output channel; excludes `block_size`.
      clip: factor in (0, 1] on the range that the scale covers (2305.16619, constant clipping), or how it is searched
        or learned.
      activation_bits: 4 or 8 quantizes every input row symmetrically with its own scale at run time and accumulates
        in int32 (2203.15952); None leaves activations in float (the weights-only scheme).
      scale_gradient: whether gradients flow through the scale, as in 2305.16619, or take it for a constant, as in
        2203.15952. The offset of asymmetric weights passes them either way.
      sparsity: "N:M" keeps the N largest of every M consecutive weights along K and prunes the rest before they are
        quantized (2312.08553); None prunes nothing.
      pruning_gradient: "masked" gives pruned weights no gradient, "ste" the one of the pruned matrix, "sr-ste" that and
        a decay of the pruned ones (2102.04010).
      sparsity_schedule: when the mask is chosen; None: whenever the weights are quantized.
      schedule: when training quantizes; by default always.
      scheme: how scales and codes follow from the weights: a file of `schemes/`.
      scale_dtype: precision in which scales and offsets are stored. Training rounds them too, so that the codes of
        training are the codes of the file.
    """

    bits: Literal[2, 3, 4, 8, 32]
    symmetric: bool = True
    block_size: int | None = Field(default=None, ge=8)
    per_tensor: bool = False
    clip: Annotated[
        Annotated[Annotated[float, Field(gt=0.0, le=1.0)], Tag("constant")]
        | Annotated[ClipSearch, Tag("search")]
        | Annotated[LearnedClip, Tag("learned")],
        Discriminator(_clip_kind),
    ] = 1.0
    activation_bits: Literal[4, 8] | None = None
    scale_gradient: bool = True
    sparsity: str | None = Field(default=None, pattern=r"^[1-9][0-9]?:[1-9][0-9]?$")
    pruning_gradient: Literal["masked", "ste", "sr-ste"] = "masked"
    sparsity_schedule: PruningSchedule | None = None
    schedule: Schedule = Schedule()
    scheme: str = "uniform"
    scale_dtype: Literal["float16", "float32"] = "float16"

    @field_validator("scheme")
    @classmethod
    def _known_scheme(cls, scheme: str) -> str:
        known = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent / "quantizers/schemes")])]
        if scheme not in known:
            raise ValueError(f"unknown scheme {scheme!r}, expected one of {', '.join(known)}")
        return scheme

    @model_validator(mode="after")
    def _block_is_whole_bytes(self) -> QuantSpec:
        if self.block_size is not None and self.block_size % 8:
            raise ValueError(f"block_size must be a multiple of 8, got {self.block_size}")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> QuantSpec:
        if self.per_tensor and self.block_size is not None:
            raise ValueError("per_tensor excludes block_size")
        if self.sparsity_schedule is not None and self.sparsity is None:
            raise ValueError("sparsity_schedule needs sparsity")
        if self.kept_of is not None:
            kept, group = self.kept_of
            if kept >= group:
                raise ValueError(f"sparsity must keep N < M of M weights, got {self.sparsity}")
            if self.block_size is not None and self.block_size % group:
                raise ValueError(f"block_size {self.block_size} must hold whole groups of {group} weights")
        return self

    @model_validator(mode="after")
    def _float_weights_have_no_codes(self) -> QuantSpec:
        if self.bits != FLOAT_BITS:
            return self
        if self.activation_bits is None:
            raise ValueError("float weights (bits: 32) need activation_bits: nothing else of a layer is quantized")
        changed = self.model_dump(exclude_defaults=True)
        given = [name for name in changed if name not in ("bits", "activation_bits", "schedule")]
        if given:
            raise ValueError(f"float weights (bits: 32) have no {', '.join(given)}")
        if self.schedule.freeze is not None:
            raise ValueError("float weights (bits: 32) have no scales to freeze")
        return self

    def __str__(self) -> str:
        """What differs from the defaults, as a YAML says it."""
        return ", ".join(f"{name}: {value}" for name, value in self.model_dump(exclude_defaults=True).items())

    @property
    def follows_steps(self) -> bool:
        """Whether training must tell the quantizer which step it is."""
        searches = isinstance(self.clip, ClipSearch) and self.clip.every > 1
        return searches or self.sparsity_schedule is not None or self.schedule != Schedule()

    @property
    def granularity(self) -> Literal["channel", "block", "tensor"]:
        """What shares a scale."""
        return "tensor" if self.per_tensor else "block" if self.block_size else "channel"

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

    @property
    def code_bits_per_weight(self) -> float:
        """Bits that a weight's code takes on disk; of 1:4 and 2:4 the kept ones are stored, with 2 bits of position."""
        if self.kept_of not in ((1, 4), (2, 4)):
            return self.bits
        return self.kept_of[0] * (self.bits + 2) / 4

    def stored_bits_per_weight(self, contraction: int) -> float:
        """Bits a weight takes on disk, its share of scales and offsets included."""
        if self.bits == FLOAT_BITS:
            return FLOAT_BITS
        scale_bits = 16 if self.scale_dtype == "float16" else 32
        per_block = scale_bits * (1 if self.symmetric else 2)
        return self.code_bits_per_weight + per_block * self.blocks(contraction) / contraction


class QuantizationRule(Section):
    """`layers` is a regular expression on whole layer names; `spec` null leaves them in float."""

    layers: str
    spec: QuantSpec | None
    also: tuple[QuantSpec, ...] = Field((), description="other widths that the same weights are trained for, in turn")

    @model_validator(mode="after")
    def _distinct(self) -> QuantizationRule:
        bits = self.bits
        if self.also and self.spec is None:
            raise ValueError("'also' needs a spec")
        if len(set(bits)) < len(bits):
            raise ValueError(f"the specs of a rule must differ in bits, got {', '.join(map(str, bits))}")
        return self

    @property
    def bits(self) -> tuple[int, ...]:
        """Of all its specs."""
        return tuple(spec.bits for spec in (self.spec, *self.also) if spec is not None)
