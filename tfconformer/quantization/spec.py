"""The definition of quantization for one layer: a value that training, packing and the kernel all read.

`QuantSpec` is plain data without TensorFlow, so that the converter can use it too. The arithmetic it selects is in
`quantizers/`; a `QuantizationRule` of the YAML chooses the layers it applies to by name pattern. Steps are those of the
optimizer, from 0; schedules act in training only: evaluated and exported weights are quantized and pruned in full.
"""

from __future__ import annotations

import math
import pkgutil
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Discriminator, Field, Tag, field_validator, model_validator

from tfconformer.section import Section

Granularity = Literal["tensor", "channel", "block"]  # the weights that share a scale or a clip factor

FLOAT_BITS = 32  # of weights or activations that are not quantized

# Post-training choice of the quantized values: round-to-nearest (RTN), or so that outputs change least (`gptq.py`).
Rounding = Literal["nearest", "gptq"]


class ClipSearch(Section):
    """Clip factors that are searched for on a grid from 1 downwards (2305.16619, clipping search).

    Int2 needs factors down to 0.2; from 3 bits on the best lie above 0.6.
    """

    search: Granularity = Field(description="part of the weights that shares a factor")
    low: float = Field(default=0.2, gt=0.0, lt=1.0, description="lowest factor of the grid, whose highest is 1")
    steps: int = Field(
        default=17,
        ge=2,
        description="number of factors in the grid; of several with the least error the largest is used",
    )
    error: Literal["absolute", "squared"] = Field(
        default="absolute", description="error between weights and quantized weights that is minimized"
    )
    every: int = Field(
        default=20,
        ge=1,
        description="training steps between two searches, in between the factors are stored; 1 searches whenever the "
        "weights are quantized and stores nothing",
    )


class LearnedClip(Section):
    """Clip factors that are trained, with the gradient of LSQ (1902.08153, eq. 3 and 2.2).

    A `ClipSearch` with its default grid finds the initial factors.
    """

    learn: Granularity = Field(description="part of the weights that shares a factor")


class Schedule(Section):
    """Steps of the training between which a layer is quantized (2203.15952); outside it multiplies in float."""

    begin: int = Field(default=0, ge=0, description="first training step with quantized weights")
    end: int | None = Field(
        default=None, gt=0, description="training step from which the weights are in float again; null: never"
    )
    freeze: int | None = Field(
        default=None,
        ge=0,
        description="training step at whose beginning scales and float zero points are computed for the last time; "
        "null: never",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Schedule:
        for name in ("end", "freeze"):
            step = getattr(self, name)
            if step is not None and step < self.begin:
                raise ValueError(f"{name} {step} lies before begin {self.begin}")
        return self


class PruningSchedule(Section):
    """Steps of the training at which the N:M mask is chosen; after the last one the mask is constant."""

    begin: int = Field(
        default=0, ge=0, description="training step before which nothing is pruned; without end the mask is chosen here"
    )
    end: int | None = Field(
        default=None,
        gt=0,
        description="training step, after begin, with the final mask; up to it the pruned share grows along a cubic "
        "(1710.01878, eq. 1); null prunes everything at begin",
    )
    every: int = Field(default=100, ge=1, description="training steps between two masks from begin to end")

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
    """The quantization of one layer's weights, and of the activations it multiplies them with.

    Weights `W[K, N]` are contracted along K. A *block* is `block_size` consecutive k of one output channel n, and
    has one scale (and, asymmetric, one float zero point, the offset); `block_size=None` makes it the whole column:
    per-channel.
    """

    bits: Literal[1, 2, 3, 4, 8, 32] = Field(
        description="width of a quantized weight q, an integer in [-2^(bits-1), 2^(bits-1) - 1]; 32 leaves the weights "
        "in float, for quantized activations alone (a comparison of 2203.15952); no file can hold 32. 1 needs a scheme "
        "of two values: binary or half_integer"
    )
    symmetric: bool = Field(
        default=True,
        description="if true, w = scale * q; if false, w = scale * q - offset with a float zero point, the offset "
        "(2305.16619, sec. 3), which no file can hold together with sparsity",
    )
    block_size: int | None = Field(
        default=None,
        ge=8,
        description="weights along K that share a scale (sub-channel), a multiple of 8; the last block may be shorter; "
        "null has one scale per output channel",
    )
    per_tensor: bool = Field(
        default=False,
        description="if true, one scale for the whole matrix, stored once per output channel; excludes block_size",
    )
    clip: Annotated[
        Annotated[Annotated[float, Field(gt=0.0, le=1.0)], Tag("constant")]
        | Annotated[ClipSearch, Tag("search")]
        | Annotated[LearnedClip, Tag("learned")],
        Discriminator(_clip_kind),
    ] = Field(
        default=1.0,
        description="factor in (0, 1] on the range that the scale covers (2305.16619, constant clipping), or the "
        "section of its search or training",
    )
    activation_bits: Literal[4, 8] | None = Field(
        default=None,
        description="bits of the input rows, each quantized symmetrically with its own scale at run time and "
        "multiplied with int32 accumulation (2203.15952); null leaves activations in float (weight-only quantization); "
        "no file can hold 4",
    )
    scale_gradient: bool = Field(
        default=True,
        description="if true, gradients pass through the scale (2305.16619); if false, the scale is a constant "
        "(2203.15952); the float zero point of asymmetric weights passes them either way",
    )
    sparsity: str | None = Field(
        default=None,
        pattern=r"^[1-9][0-9]?:[1-9][0-9]?$",
        description='"N:M" prunes all but the N largest of every M consecutive weights along K before they are '
        "quantized (2312.08553); null prunes nothing",
    )
    pruning_gradient: Literal["masked", "ste", "sr-ste"] = Field(
        default="masked",
        description='gradient of pruned weights: "masked" none, "ste" the one of the pruned matrix, "sr-ste" that and '
        "a decay of the pruned weights (2102.04010)",
    )
    sparsity_schedule: PruningSchedule | None = Field(
        default=None,
        description="training steps at which the mask is chosen; null chooses it whenever the weights are quantized",
    )
    schedule: Schedule = Field(default=Schedule(), description="training steps between which the layer is quantized")
    scheme: str = Field(
        default="uniform", description="quantizer, from weights to scales and q: a module of `quantizers/schemes`"
    )
    scale_dtype: Literal["float16", "float32"] = Field(
        default="float16",
        description="type in which scales and float zero points are stored: float16 in the custom operation, also "
        "float32 per channel in LiteRT; training rounds to it, so that it computes the quantized values of the file",
    )

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
        if self.n_of_m is not None:
            n, m = self.n_of_m
            if n >= m:
                raise ValueError(f"sparsity must keep N < M of M weights, got {self.sparsity}")
            if self.block_size is not None and self.block_size % m:
                raise ValueError(f"block_size {self.block_size} must hold whole groups of {m} weights")
        return self

    @model_validator(mode="after")
    def _one_bit_has_two_values(self) -> QuantSpec:
        if self.bits == 1 and self.scheme == "uniform":
            raise ValueError("weights of 1 bit have two values without a zero: set scheme to binary or half_integer")
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
        """Lists the values that differ from the defaults, in the form of a YAML."""
        return ", ".join(f"{name}: {value}" for name, value in self.model_dump(exclude_defaults=True).items())

    @property
    def has_schedule(self) -> bool:
        """True if quantization in training depends on the step, which the quantizer must then be given."""
        searches = isinstance(self.clip, ClipSearch) and self.clip.every > 1
        return searches or self.sparsity_schedule is not None or self.schedule != Schedule()

    @property
    def granularity(self) -> Granularity:
        """The weights that share a scale."""
        return "tensor" if self.per_tensor else "block" if self.block_size else "channel"

    @property
    def zero_points(self) -> Literal["none", "stored", "implied"]:
        """The float zero points: none, those that a file stores, or -scale / 2 of half-integers, which none stores."""
        if self.scheme == "half_integer" or self.bits == 1:
            return "implied"
        return "none" if self.symmetric else "stored"

    @property
    def n_of_m(self) -> tuple[int, int] | None:
        """The sparsity as (n, m): n of m consecutive weights are kept; None without sparsity."""
        if self.sparsity is None:
            return None
        n, m = self.sparsity.split(":")
        return int(n), int(m)

    @property
    def train_only(self) -> str | None:
        """The reason why no exported file can hold this quantization, as a sentence; None if a file can."""
        if self.bits == FLOAT_BITS:
            return "no operation multiplies quantized activations with float weights: set bits to 1, 2, 3, 4 or 8"
        if self.bits == 3 and self.n_of_m in ((1, 4), (2, 4)):
            return "sparse weights of 3 bits have no form in a file: set bits to 2, 4 or 8 or sparsity to null"
        if self.activation_bits == 4:
            return "the operation quantizes activations to 8 bits: set activation_bits to 8 or null"
        if not self.symmetric and self.sparsity is not None:
            return (
                "without its mask an asymmetric weight cannot be exactly zero: "
                "set symmetric to true or sparsity to null"
            )
        return None

    @property
    def code_range(self) -> tuple[int, int]:
        """The lowest and the highest quantized value, both inclusive."""
        return -(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1

    def blocks(self, contraction: int) -> int:
        """Returns the number of blocks along a contraction axis of this length."""
        return -(-contraction // self.block_size) if self.block_size else 1

    @property
    def code_bits_per_weight(self) -> float:
        """Bits of a file per weight, without scales; 1:4 and 2:4 store kept weights, each with an index of 2 bits."""
        if self.n_of_m not in ((1, 4), (2, 4)):
            return self.bits
        return self.n_of_m[0] * (self.bits + 2) / 4

    def stored_bytes(self, k: int, n: int) -> tuple[int, int, int]:
        """Returns the bytes of codes, scales and float zero points of a matrix [K, N] in a file, without padding."""
        ranges = 2 * self.blocks(k) * n  # float16
        return math.ceil(k * n * self.code_bits_per_weight / 8), ranges, ranges if self.zero_points == "stored" else 0


class QuantizationRule(Section):
    """A rule that quantizes the layers with certain names; the first rule that matches a layer decides."""

    layers: str = Field(description="regular expression that matches whole layer names")
    spec: QuantSpec | None = Field(description="quantization of these layers; null leaves them in float")
    co_train: tuple[QuantSpec, ...] = Field(
        (),
        validation_alias=AliasChoices("co_train", "also"),  # runs of former versions have the latter
        description="quantization in other widths that the same weights are trained for, in turn (co-training); the "
        "same widths in the same order in every rule that has any; `also` is read too",
    )

    @model_validator(mode="after")
    def _distinct(self) -> QuantizationRule:
        bits = self.bits
        if self.co_train and self.spec is None:
            raise ValueError("'co_train' needs a spec")
        if len(set(bits)) < len(bits):
            raise ValueError(f"the specs of a rule must differ in bits, got {', '.join(map(str, bits))}")
        return self

    @property
    def bits(self) -> tuple[int, ...]:
        """The widths of all specs, that of `spec` first."""
        return tuple(spec.bits for spec in (self.spec, *self.co_train) if spec is not None)
