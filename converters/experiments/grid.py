"""A grid of experiments: one YAML file, and a run for every variant and seed in it.

    title: Weights in 4 bits
    config: finetune.yaml            # the common configuration; `training.initial_weights` names the float model
    test_sets: [../../data/speech/shards/test-clean-*.tfrecord]
    seeds: [1, 2, 3]
    baseline: float32                # the variant that the others are compared with
    variants:
      float32: {}
      int4: {spec: {bits: 4, block_size: 64}, training: {learning_rate: 1.0e-4}}
      int4-nearest: {spec: {bits: 4, block_size: 64}, post_training: nearest}

`experiment_runs` returns its list of `Run`s; `execute.py` executes them.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from tfconformer.config import Config, load_config
from tfconformer.data.shards import find_shards
from tfconformer.errors import InputError
from tfconformer.quantization.spec import QuantizationRule, QuantSpec, Rounding
from tfconformer.section import Section, explain
from tfconformer.yaml_files import FilePath, FilePattern, read_yaml


class Variant(Section):
    """One variant of a grid: its changes to the common configuration."""

    spec: QuantSpec | None = Field(
        None,
        description="quantization of every layer that no rule of the common configuration matches; null leaves them "
        "in float",
    )
    quantization: tuple[QuantizationRule, ...] = Field(
        (), description="rules instead of spec, after those of the common configuration"
    )
    training: dict[str, Any] = Field({}, description="keys that replace those of the section training")
    bits: int | None = Field(
        None,
        description="precision in which a co-trained model is exported; variants that differ in nothing else share a "
        "training",
    )
    post_training: Rounding | None = Field(
        None, description="rounding of the float model's weights without training; null trains"
    )
    evaluated_with: Literal["tflite", "keras"] = Field(
        "tflite", description='"keras" scores the Keras model, for specs that no file can hold'
    )

    @model_validator(mode="after")
    def _consistent(self) -> Variant:
        if self.spec is not None and self.quantization:
            raise ValueError("give 'spec' or 'quantization', not both")
        if self.bits is not None and not any(rule.co_train for rule in self.quantization):
            raise ValueError("'bits' chooses a precision of a co-trained model: a rule needs 'co_train'")
        if self.post_training is not None and self.training:
            raise ValueError("'post_training' does not train: 'training' has no effect")
        return self


class Experiment(Section):
    """A grid of experiments, as in its YAML file."""

    title: str = Field(description="title of the table of results")
    config: FilePath = Field(description="configuration that all runs have in common")
    test_sets: tuple[FilePattern, ...] = Field(min_length=1, description="glob patterns of the test shards")
    seeds: tuple[int, ...] = Field((1,), min_length=1, description="seeds of the trainings of every variant")
    baseline: str = Field(description="name of the variant that the others are compared with")
    variants: dict[str, Variant] = Field(description="variants by name")

    @model_validator(mode="after")
    def _has_its_baseline(self) -> Experiment:
        if self.baseline not in self.variants:
            raise ValueError(f"the baseline {self.baseline!r} is not one of the variants")
        return self


@dataclass(frozen=True)
class Run:
    """One run of a grid.

    Attributes:
      variant, seed: its place in the grid.
      model: name of its model in the results.
      baseline: name of the model that it is compared with, of the same seed.
      config: whole configuration of the training or, without training, of the rounding.
      bits: precision in which a co-trained model is exported; None if there is one precision.
      post_training: rounding of the float model's weights; None trains.
      evaluated_with: "tflite" or "keras".
      test_sets: glob patterns of the test shards.
      data, dev_data, test_data: hashes of the training, dev and test shards.
    """

    variant: str
    seed: int
    model: str
    baseline: str
    config: Config
    bits: int | None
    post_training: Rounding | None
    evaluated_with: Literal["tflite", "keras"]
    test_sets: tuple[str, ...]
    data: str
    dev_data: str
    test_data: str

    @property
    def initial_run(self) -> Path:
        """The run directory of the float model."""
        assert self.config.training.initial_weights is not None  # `experiment_runs` checks it
        return Path(self.config.training.initial_weights)

    @property
    def training(self) -> str:
        """A hash of everything that determines the trained weights: contents of files, not their paths."""
        paths = {"data": {"train", "dev"}, "training": {"initial_weights"}}
        settings = self.config.model_dump_json(exclude=paths)
        state = (settings, self.data, self.dev_data, file_hash(Path(os.path.realpath(self.initial_run / "best.h5"))))
        return hashlib.sha256(repr(state).encode()).hexdigest()[:8]

    @property
    def identity(self) -> str:
        """The model's name with a hash of everything else: a run of a changed experiment has another identity."""
        name = re.sub(r"[^\w.]+", "-", self.model)
        state = (self.model, self.training, self.bits, self.post_training, self.evaluated_with, self.test_data)
        return f"{name}-{hashlib.sha256(repr(state).encode()).hexdigest()[:8]}"


def load_experiment(path: Path) -> Experiment:
    """Reads and validates a grid.

    Raises:
      InputError: the file cannot be read, is not YAML, or has an unknown key or a bad value (the message names it).
    """
    try:
        return Experiment.model_validate(read_yaml(path, "experiment"))
    except ValidationError as error:
        raise InputError(f"{path}: {explain(error)}") from None


def experiment_runs(experiment: Experiment) -> list[Run]:
    """Returns the runs of a grid, in the order of its variants, seed by seed.

    Raises:
      InputError: the shared configuration or an override of it is wrong, or data or the float model is missing.
    """
    config_file = Path(experiment.config)
    shared = load_config(config_file)
    if shared.training.initial_weights is None:
        raise InputError(f"{config_file}: 'training.initial_weights' must name the run of the float model")
    data, dev_data = data_hash(shared.data.train), data_hash(shared.data.dev)
    test_data = data_hash(experiment.test_sets)
    return [
        Run(
            variant=name,
            seed=seed,
            model=_model_name(experiment, name, seed),
            baseline=_model_name(experiment, experiment.baseline, seed),
            config=_resolve(config_file, shared, name, variant, seed),
            bits=variant.bits,
            post_training=variant.post_training,
            evaluated_with=variant.evaluated_with,
            test_sets=experiment.test_sets,
            data=data,
            dev_data=dev_data,
            test_data=test_data,
        )
        for name, variant in experiment.variants.items()
        # Rounding has no seed.
        for seed in (experiment.seeds if variant.post_training is None else experiment.seeds[:1])
    ]


def _model_name(experiment: Experiment, variant: str, seed: int) -> str:
    if len(experiment.seeds) == 1 or experiment.variants[variant].post_training is not None:
        return variant
    return f"{variant} seed {seed}"


def data_hash(patterns: Sequence[str]) -> str:
    """Returns the first 16 digits of the SHA-256 of the shards' names and contents."""
    digest = hashlib.sha256()
    for shard in find_shards(patterns):
        digest.update(f"{shard.name} {file_hash(Path(os.path.realpath(shard)))}\n".encode())
    return digest.hexdigest()[:16]


@cache
def file_hash(path: Path) -> str:
    """Returns the SHA-256 of a file, cached by its absolute path.

    Raises:
      InputError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
            return digest.hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None


def _resolve(config_file: Path, shared: Config, name: str, variant: Variant, seed: int) -> Config:
    tree = shared.model_dump(mode="json")
    tree["training"] |= {"seed": seed, **variant.training}
    own = [rule.model_dump(mode="json") for rule in variant.quantization]
    everything = [] if variant.spec is None else [{"layers": ".*", "spec": variant.spec.model_dump(mode="json")}]
    tree["quantization"] = [*tree["quantization"], *own, *everything]
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise InputError(f"{config_file} with the variant {name!r}: {explain(error)}") from None
