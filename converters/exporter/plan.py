"""Stage 2 of export: the plan of every dense layer, refused where the target cannot hold it.

The abilities of a target are data: a table of requirements, and for the runtime's own formats the table that was
measured on it (`capabilities.py`). A layer that breaks a requirement is an error with the reason, raised before the
conversion; a layer is never exported with another spec than its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import tf_keras as keras

from converters.exporter import lookup
from converters.exporter.capabilities import Case, Outcome, case_of, measured
from tfconformer.errors import InputError
from tfconformer.layers.dense import Dense, float_layer
from tfconformer.layers.embedding import Embedding
from tfconformer.quantization.spec import QuantSpec

logger = logging.getLogger(__name__)
_INT32_MAX = 2**31 - 1
# Files for the target `litert` are promised to run here, with XNNPACK, which is its default.
_LITERT = "ai-edge-litert"


@dataclass(frozen=True)
class LayerPlan:
    """A dense layer of the exported model.

    Attributes:
      name: name of the layer.
      k, n: shape of its kernel: contraction length and number of output channels.
      spec: spec of its weights; None if it stays a built-in float operation.
      target: the format of quantized weights: a key of `TARGETS`, or "lookup" for an embedding.
      window, stride: size and distance of a convolution's windows, K being window * window * channels; both 0 for a
        dense layer.
    """

    name: str
    k: int
    n: int
    spec: QuantSpec | None
    target: str = "custom"
    window: int = 0
    stride: int = 0


# (spec, K) of a layer -> the reason against it; None if there is none.
Rule = Callable[[QuantSpec, int], str | None]


@dataclass(frozen=True)
class Target:
    """The abilities of an export target.

    Attributes:
      requirements: rules that refuse a layer with their reason.
      caveats: rules whose reason is only logged.
      packs_convolutions: True if there is an operation for quantized convolutions; otherwise they must stay in float.
    """

    requirements: tuple[Rule, ...]
    caveats: tuple[Rule, ...] = ()
    packs_convolutions: bool = True


def _rule(holds: Callable[[QuantSpec, int], bool], sentence: str) -> Rule:
    """Makes the rule that returns the reason `sentence` for layers for which `holds` is false."""
    return lambda spec, k: None if holds(spec, k) else sentence


def _train_only(spec: QuantSpec, k: int) -> str | None:
    """Returns the reason against a spec that no file can hold, or None."""
    return spec.train_only


def _refused_by_litert(spec: QuantSpec, k: int) -> str | None:
    """Returns the reason against a layer that the runtime was measured to refuse or to compute wrongly, or None."""
    case = case_of(spec, k, "litert")
    if case is None:
        return "this kind of layer was not probed (tfconformer dev probe)"
    name, outcome = _litert_outcome(case)
    if outcome.usable:
        return None
    fault = f"refuses it ({outcome.reason})" if outcome.reason else f"computes it {outcome.result}ly"
    return f"{name} {fault}, says the probe of {case.bits}-bit weights with K = {case.k}"


def _rounded_by_litert(spec: QuantSpec, k: int) -> str | None:
    case = case_of(spec, k, "litert")
    if case is None or _litert_outcome(case)[1].result != "rounded":
        return None
    return "XNNPACK rounds the scales of blocks to bfloat16, which changes weights by up to 0.4 %"


def _litert_outcome(case: Case) -> tuple[str, Outcome]:
    outcomes = measured()[case]
    (name,) = (name for name in outcomes if name.startswith(_LITERT) and not name.endswith("without XNNPACK"))
    return name, outcomes[name]


TARGETS: dict[str, Target] = {
    "custom": Target(
        (
            _train_only,
            _rule(
                lambda spec, k: spec.scale_dtype == "float16",
                "the custom operation stores scales and offsets in float16: set scale_dtype to float16",
            ),
            _rule(
                lambda spec, k: spec.activation_bits is None or _largest_block_sum(spec, k) <= _INT32_MAX,
                "the custom operation adds the products of a block of 8-bit activations in 32 bits: use smaller blocks",
            ),
        )
    ),
    "litert": Target(
        (
            _train_only,
            _rule(
                lambda spec, k: spec.bits not in (1, 3),
                "LiteRT has weights of 2, 4 or 8 bits: set bits to one of them or export to the target custom",
            ),
            _rule(
                lambda spec, k: spec.zero_points == "none",
                "LiteRT has no offsets, and its integer zero points must be 0: set symmetric to true and scheme to "
                "uniform or export to the target custom",
            ),
            _rule(
                lambda spec, k: spec.block_size is None or spec.scale_dtype == "float16",
                "LiteRT stores the scales of blocks in float16: set scale_dtype to float16",
            ),
            _refused_by_litert,
        ),
        (
            _rule(
                lambda spec, k: spec.activation_bits is not None,
                "LiteRT quantizes activations to 8 bits at run time, but training left them in float",
            ),
            _rounded_by_litert,
        ),
        packs_convolutions=False,
    ),
}
# Built-in operations, whatever the target of the other layers is.
_LOOKUP = Target((_train_only,))


def plan(model: keras.Model, specs: Mapping[str, QuantSpec], target: str = "custom") -> tuple[LayerPlan, ...]:
    """Plans every dense layer of `model`, in the model's order.

    Args:
      model: the exported part of a trained model.
      specs: specs of the trained model's quantized layers, by name; layers that are not exported may be among them.
      target: key of `TARGETS`.

    Raises:
      InputError: the target is unknown, or cannot hold a layer as its spec asks.
    """
    if target not in TARGETS:
        raise InputError(f"unknown export target {target!r}, expected one of {', '.join(TARGETS)}")
    plans = []
    for layer in map(float_layer, model.layers):
        if isinstance(layer, Dense):
            k, n = (int(size) for size in layer.kernel.shape)
            spec = specs.get(layer.name)
            is_lookup = isinstance(layer, Embedding)
            place = {"target": lookup.TARGET if is_lookup else target} if spec else {}
            planned = LayerPlan(layer.name, k, n, spec, **place, window=layer.window, stride=layer.stride)
            _require(planned, _LOOKUP if is_lookup else TARGETS[target])
            plans.append(planned)
    _log_caveats(plans, TARGETS[target].caveats)
    return tuple(plans)


def _require(layer: LayerPlan, target: Target) -> None:
    if layer.spec is None:
        return
    sentences = [sentence for rule in target.requirements if (sentence := rule(layer.spec, layer.k)) is not None]
    if layer.window and not target.packs_convolutions:
        sentences.append(f"LiteRT has no convolution with packed weights: set the spec of {layer.name} to null")
    if sentences:
        raise InputError(f"layer {layer.name} cannot be exported as ({layer.spec}): {sentences[0]}")


def _log_caveats(plans: Sequence[LayerPlan], caveats: tuple[Rule, ...]) -> None:
    for rule in caveats:
        sentences = [sentence for one in plans if one.spec and (sentence := rule(one.spec, one.k)) is not None]
        if sentences:
            logger.warning("%s (%d layers)", sentences[0], len(sentences))


def _largest_block_sum(spec: QuantSpec, k: int) -> int:
    """Returns the largest magnitude of an accumulator over a block of quantized weights and 8-bit activations."""
    return min(spec.block_size or k, k) * 2 ** (spec.bits - 1) * 127
