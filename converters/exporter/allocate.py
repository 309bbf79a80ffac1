"""Bits per layer for a file of a given size: `tfconformer allocate`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import tf_keras as keras
import yaml

from converters.exporter.freeze import FrozenGraphs
from converters.exporter.pipeline import describe, freeze_prepared, pack_layer, prepare
from converters.exporter.plan import LayerPlan
from converters.exporter.rewrite import rewrite
from tfconformer import atomic
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.errors import InputError
from tfconformer.quantization.apply import match_layers
from tfconformer.quantization.post_training.allocation import Choice, allocate
from tfconformer.quantization.post_training.quantize import Hessians, quantize_post_training, with_fixed_weights
from tfconformer.quantization.post_training.sensitivity import sensitivities
from tfconformer.quantization.quantizers.weights import QuantizedWeights
from tfconformer.quantization.spec import ClipSearch, QuantizationRule, QuantSpec, Rounding
from tfconformer.tasks import find_task
from tfconformer.training.checkpoint import load_model
from tfconformer.training.post_training import batched, calibration_inputs, hessians_for
from tfconformer.training.run import RunDirectory

_SEARCH = ClipSearch(search="block", error="squared")
# From small to large; every layer gets one of them.
CANDIDATES = (
    QuantSpec(bits=2, symmetric=False, clip=ClipSearch(search="channel", error="squared")),
    QuantSpec(bits=2, symmetric=False, block_size=64, clip=_SEARCH),
    QuantSpec(bits=2, symmetric=False, block_size=32, clip=_SEARCH),
    QuantSpec(bits=4, block_size=64, clip=_SEARCH),
    QuantSpec(bits=8),
)
# Every layer is tried with every candidate on this many utterances.
SENSITIVITY_UTTERANCES = 32


@dataclass(frozen=True)
class Allocation:
    """The bits that `allocate_model` chose, as rules.

    Attributes:
      rules: as the YAML's section `quantization` takes them.
      choices: by layer, with the divergence that the layer's quantization alone brings.
      file_bytes: size of the file with exactly these weights.
    """

    rules: tuple[QuantizationRule, ...]
    choices: Mapping[str, Choice]
    file_bytes: int

    def write(self, output: Path, run: RunDirectory) -> None:
        """Writes a YAML file that extends the configuration of the run by the rules."""
        base = Path(os.path.relpath(run.config_file.resolve(), output.resolve().parent))
        rules = [rule.model_dump(mode="json", exclude_defaults=True) for rule in self.rules]
        atomic.write_text(output, yaml.safe_dump({"extends": base.as_posix(), "quantization": rules}, sort_keys=False))


def allocate_model(run: RunDirectory, budget: int, keep_float: str, rounding: Rounding) -> Allocation:
    """Chooses a scheme for every dense layer of a float run.

    Args:
      run: a finished float training; the utterances come from its training shards.
      budget: largest size of the exported file in bytes.
      keep_float: regular expression of the layers that stay as they are.
      rounding: of the weights that are tried.

    Raises:
      InputError: the run is incomplete, or no choice fits into the budget.
    """
    config, tokenizer, model = run.config(), Tokenizer.from_file(run.tokenizer_file), load_model(run)
    kept = QuantizationRule(layers=keep_float, spec=None)
    inputs = list(calibration_inputs(config))
    tried = _candidates(model, kept, rounding, hessians_for(model, rounding, inputs))
    errors = sensitivities(model, tried, batched(inputs[:SENSITIVITY_UTTERANCES]))
    choices = {
        name: [
            Choice(weights.spec, _stored_bytes(name, weights), error)
            for weights, error in zip(each, errors[name], strict=True)
        ]
        for name, each in tried.items()
    }
    task = find_task(config.task)
    frozen: FrozenGraphs | None = None
    left = budget
    # A file holds more than packed weights. How much more, only a file tells.
    while True:
        chosen = allocate(choices, left)
        ruled = config.model_copy(update={"quantization": (kept, *_rules(chosen))})
        quantized = {name: tried[name][choices[name].index(one)] for name, one in chosen.items()}
        prepared = prepare(task, with_fixed_weights(model, quantized))
        if frozen is None:
            frozen = freeze_prepared(prepared, config)
        metadata = describe(prepared, frozen, ruled, tokenizer, f"ptq-{rounding}")
        file_bytes = len(rewrite(frozen.content, prepared.constants, metadata))
        if file_bytes <= budget:
            return Allocation(ruled.quantization, chosen, file_bytes)
        left = budget - (file_bytes - sum(one.bytes for one in chosen.values()))


def _candidates(
    model: keras.Model, kept: QuantizationRule, rounding: Rounding, hessians: Hessians | None
) -> dict[str, list[QuantizedWeights]]:
    """The weights of every layer but those that are kept, quantized in every way that it may be stored."""
    tried: dict[str, list[QuantizedWeights]] = {}
    for spec in CANDIDATES:
        specs = match_layers(model, (kept, QuantizationRule(layers=".*", spec=spec)))
        for name, weights in quantize_post_training(model, specs, rounding, hessians).items():
            tried.setdefault(name, []).append(weights)
    return tried


def _stored_bytes(name: str, weights: QuantizedWeights) -> int:
    k, n = weights.codes.shape
    return pack_layer(LayerPlan(name, int(k), int(n), weights.spec), weights).bytes


def _rules(chosen: Mapping[str, Choice]) -> list[QuantizationRule]:
    """A rule for every spec that was chosen, its layers by name."""
    specs = dict.fromkeys(one.spec for one in chosen.values())
    return [
        QuantizationRule(layers="|".join(name for name, one in chosen.items() if one.spec == spec), spec=spec)
        for spec in specs
    ]


def parse_size(text: str) -> int:
    """Bytes of "1.5MB", "900kB" or "1500000"; units of 1000.

    Raises:
      InputError: it is not a size above zero.
    """
    number, unit = text.strip(), 1
    for name, factor in (("MB", 10**6), ("kB", 10**3)):
        if number.lower().endswith(name.lower()):
            number, unit = number[: -len(name)], factor
    try:
        size = int(float(number) * unit)
    except (ValueError, OverflowError):
        size = 0
    if size <= 0:
        raise InputError(f"a size looks like 1.5MB, 900kB or 1500000, got {text!r}")
    return size
