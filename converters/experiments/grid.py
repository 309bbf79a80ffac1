"""A grid of experiments: one YAML, many runs that differ in what the YAML says they differ in.

    title: Weights in 4 bits
    config: finetune.yaml            # what all runs share; `training.initial_weights` names the float model
    test_sets: [../../data/speech/shards/test-clean-*.tfrecord]
    seeds: [1, 2, 3]
    baseline: float32                # what the others are compared with
    variants:
      float32: {}
      int4: {spec: {bits: 4, block_size: 64}, training: {learning_rate: 1.0e-4}}
      int4-nearest: {spec: {bits: 4, block_size: 64}, post_training: nearest}

`experiment_runs` turns it into a list of `Run`s; `experiment_execution.py` executes them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tfconformer.config import Config, dump_config, load_config
from tfconformer.data.shards import find_shards
from tfconformer.errors import InputError
from tfconformer.quantization.spec import QuantizationRule, QuantSpec, Rounding
from tfconformer.section import explain
from tfconformer.yaml_files import FilePath, FilePattern, read_yaml


class Variant(BaseModel):
    """What one line of the grid does differently.

    Attributes:
      spec: quantizes every layer that the shared configuration's rules do not mention; None leaves them in float.
      quantization: rules instead of `spec`, after those of the shared configuration.
      training: keys of the configuration's section of this name.
      bits: the precision that a co-trained model is exported in. Variants that differ in nothing else share a training.
      post_training: how the float model's weights are rounded, without any training; None trains.
      evaluated_with: "keras" for what no file can hold yet.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    spec: QuantSpec | None = None
    quantization: tuple[QuantizationRule, ...] = ()
    training: dict[str, Any] = {}
    bits: int | None = None
    post_training: Rounding | None = None
    evaluated_with: Literal["tflite", "keras"] = "tflite"

    @model_validator(mode="after")
    def _consistent(self) -> Variant:
        if self.spec is not None and self.quantization:
            raise ValueError("give 'spec' or 'quantization', not both")
        if self.bits is not None and not any(rule.co_train for rule in self.quantization):
            raise ValueError("'bits' chooses a precision of a co-trained model: a rule needs 'also'")
        if self.post_training is not None and self.training:
            raise ValueError("'post_training' does not train: 'training' has no effect")
        return self


class Experiment(BaseModel):
    """A grid, as its YAML says it; see the module."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    config: FilePath
    test_sets: tuple[FilePattern, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field((1,), min_length=1)
    baseline: str
    variants: dict[str, Variant]

    @model_validator(mode="after")
    def _has_its_baseline(self) -> Experiment:
        if self.baseline not in self.variants:
            raise ValueError(f"the baseline {self.baseline!r} is not one of the variants")
        return self


@dataclass(frozen=True)
class Run:
    """One run of a grid, everything resolved.

    Attributes:
      variant, seed: its place in the grid.
      model, baseline: its name in the results, and that of the model it is compared with, of the same seed.
      config: of the training or, after training, of the rounding.
      bits, post_training, evaluated_with: as in `Variant`.
      test_sets: globs of the shards that it is scored on.
      data, test_data: hashes of the training and the test shards.
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
    test_data: str

    @property
    def initial_run(self) -> Path:
        """Directory of the float model that it starts from."""
        assert self.config.training.initial_weights is not None  # `experiment_runs` sees to it
        return Path(self.config.training.initial_weights)

    @property
    def training(self) -> str:
        """A hash of what decides the trained weights."""
        state = (dump_config(self.config), self.data, file_hash(self.initial_run / "best.h5"))
        return hashlib.sha256(repr(state).encode()).hexdigest()[:8]

    @property
    def identity(self) -> str:
        """The model's name and, as a hash, everything else: a run of a changed experiment is another one."""
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
    """The runs of a grid, in the order of its variants, seed by seed.

    Raises:
      InputError: the shared configuration or an override of it is wrong, or data or the float model is missing.
    """
    config_file = Path(experiment.config)
    shared = load_config(config_file)
    if shared.training.initial_weights is None:
        raise InputError(f"{config_file}: 'training.initial_weights' must name the run of the float model")
    data, test_data = data_hash(shared.data.train), data_hash(experiment.test_sets)
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
    """SHA-256 of the shards' names and contents, the first 16 digits."""
    digest = hashlib.sha256()
    for shard in find_shards(patterns):
        digest.update(f"{shard.name} {file_hash(shard)}\n".encode())
    return digest.hexdigest()[:16]


@cache
def file_hash(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
      InputError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while piece := file.read(1 << 20):
                digest.update(piece)
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
