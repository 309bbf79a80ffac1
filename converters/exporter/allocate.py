"""Choosing the quantization of every layer for a file of at most a given size: `tfconformer allocate`."""

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
# The specs that a layer can get, from the smallest to the largest.
CANDIDATES = (
    QuantSpec(bits=2, symmetric=False, clip=ClipSearch(search="channel", error="squared")),
    QuantSpec(bits=2, symmetric=False, block_size=64, clip=_SEARCH),
    QuantSpec(bits=2, symmetric=False, block_size=32, clip=_SEARCH),
    QuantSpec(bits=4, block_size=64, clip=_SEARCH),
    QuantSpec(bits=8),
)
# Utterances on which every layer is measured with every candidate.
SENSITIVITY_UTTERANCES = 32


@dataclass(frozen=True)
class Allocation:
    """The specs that `allocate_model` chose.

    Attributes:
      rules: the choice as rules of a configuration's section `quantization`.
      choices: the choice by layer name, with the divergence that the quantization of the layer alone causes.
      file_bytes: size in bytes of the file with exactly these weights.
    """

    rules: tuple[QuantizationRule, ...]
    choices: Mapping[str, Choice]
    file_bytes: int

    def write(self, output: Path, run: RunDirectory) -> None:
        """Writes a YAML file that extends the configuration of `run` by the rules."""
        base = Path(os.path.relpath(run.config_file.resolve(), output.resolve().parent))
        rules = [rule.model_dump(mode="json", exclude_defaults=True) for rule in self.rules]
        atomic.write_text(output, yaml.safe_dump({"extends": base.as_posix(), "quantization": rules}, sort_keys=False))


def allocate_model(run: RunDirectory, budget: int, keep_float: str, rounding: Rounding) -> Allocation:
    """Chooses a spec for every dense layer of a float run, so that the outputs change least.

    Args:
      run: a finished float training; the utterances are those of its training shards.
      budget: largest size of the exported file in bytes.
      keep_float: regular expression of the names of layers that stay in float.
      rounding: the rounding of the weights, round-to-nearest or GPTQ.

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
    # A file holds more than packed weights; how much more is measured on the file.
    while True:
        chosen = allocate(choices, left)
        ruled = config.model_copy(update={"quantization": (kept, *_rules(chosen))})
        quantized = {name: tried[name][choices[name].index(one)] for name, one in chosen.items()}
        prepared = prepare(task, with_fixed_weights(model, quantized))
        if frozen is None:
            frozen = freeze_prepared(prepared, config)
        metadata = describe(prepared, frozen, ruled, tokenizer, method=f"ptq-{rounding}")
        file_bytes = len(rewrite(frozen, prepared.constants, metadata))
        if file_bytes <= budget:
            return Allocation(ruled.quantization, chosen, file_bytes)
        left = budget - (file_bytes - sum(one.bytes for one in chosen.values()))


def _candidates(
    model: keras.Model, kept: QuantizationRule, rounding: Rounding, hessians: Hessians | None
) -> dict[str, list[QuantizedWeights]]:
    """Returns the weights of every layer that `kept` does not match, quantized with every candidate, by name."""
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
    """Returns a rule for every chosen spec, which lists its layers by name."""
    specs = dict.fromkeys(one.spec for one in chosen.values())
    return [
        QuantizationRule(layers="|".join(name for name, one in chosen.items() if one.spec == spec), spec=spec)
        for spec in specs
    ]


def parse_size(text: str) -> int:
    """Parses a size such as "1.5MB", "900kB" or "1500000" to bytes; 1 kB is 1000 bytes.

    Raises:
      InputError: the text is not a size above zero.
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
