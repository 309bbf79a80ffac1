"""Stage 2 of export: what becomes of every dense layer, and whether the target can hold it.

What a target can hold is data: a table of requirements. A request that breaks one is refused with the reason before
anything is converted, never exported as something else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import tf_keras as keras

from tfconformer.errors import InputError
from tfconformer.layers.dense import Dense
from tfconformer.quantization.spec import QuantSpec

_INT32_MAX = 2**31 - 1


@dataclass(frozen=True)
class LayerPlan:
    """A dense layer of the exported model.

    Attributes:
      name: of the layer.
      k, n: shape of its kernel.
      spec: how its weights are packed; None if it stays a built-in float operation.
    """

    name: str
    k: int
    n: int
    spec: QuantSpec | None


@dataclass(frozen=True)
class Requirement:
    """A property that a packed layer must have: `holds(spec, K)`, and the sentence that says so."""

    holds: Callable[[QuantSpec, int], bool]
    sentence: str


TARGETS: dict[str, tuple[Requirement, ...]] = {
    "custom": (
        Requirement(
            lambda spec, k: spec.bits != 3,
            "the custom operation has codes of 2, 4 or 8 bits",
        ),
        Requirement(
            lambda spec, k: spec.activation_bits != 4,
            "the custom operation quantizes activations to 8 bits: set activation_bits to 8 or null",
        ),
        Requirement(
            lambda spec, k: spec.symmetric or spec.sparsity is None,
            "without its mask an asymmetric weight cannot be exactly zero: set symmetric to true or sparsity to null",
        ),
        Requirement(
            lambda spec, k: spec.scale_dtype == "float16",
            "the custom operation stores scales and offsets in float16: set scale_dtype to float16",
        ),
        Requirement(
            lambda spec, k: spec.activation_bits is None or _largest_block_sum(spec, k) <= _INT32_MAX,
            "the custom operation adds the products of a block of 8-bit activations in 32 bits: use smaller blocks",
        ),
    ),
}


def plan(model: keras.Model, specs: Mapping[str, QuantSpec], target: str = "custom") -> tuple[LayerPlan, ...]:
    """Decides for every dense layer of `model`, in the model's order.

    Args:
      model: from `freeze.inference_model`.
      specs: of the quantized layers of the trained model, by name; layers that are not exported may be among them.
      target: key of `TARGETS`.

    Raises:
      InputError: the target is unknown, or cannot hold a layer as its spec asks.
    """
    if target not in TARGETS:
        raise InputError(f"unknown export target {target!r}, expected one of {', '.join(TARGETS)}")
    plans = []
    for layer in model.layers:
        if isinstance(layer, Dense):
            k, n = (int(size) for size in layer.kernel.shape)
            spec = specs.get(layer.name)
            if spec is not None:
                _require(layer.name, spec, k, TARGETS[target])
            plans.append(LayerPlan(layer.name, k, n, spec))
    return tuple(plans)


def _require(name: str, spec: QuantSpec, k: int, requirements: tuple[Requirement, ...]) -> None:
    for requirement in requirements:
        if not requirement.holds(spec, k):
            raise InputError(f"layer {name} cannot be exported as ({spec}): {requirement.sentence}")


def _largest_block_sum(spec: QuantSpec, k: int) -> int:
    """Largest magnitude of a sum of products of weight codes and 8-bit activation codes over a block."""
    return min(spec.block_size or k, k) * 2 ** (spec.bits - 1) * 127
