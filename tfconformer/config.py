"""The typed configuration of a training: one YAML file, composed of the sections that the packages define.

    config = load_config("configs/small.yaml", overrides=["training.epochs=3"])

A YAML may begin with `extends: other.yaml`; its own keys then replace the other's, section by section. Paths in a
YAML are relative to the folder of that YAML, `extends` among them; paths in an override come from the command line and
are relative to the working directory. Every error names the file and the key.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from tfconformer.data.config import DataConfig
from tfconformer.errors import InputError
from tfconformer.features.config import FeatureConfig
from tfconformer.models.config import ModelConfig
from tfconformer.quantization.spec import QuantizationRule
from tfconformer.section import Section, explain
from tfconformer.yaml_files import RELATIVE_TO, FilePath, load_yaml, read_yaml

# Of stored configurations. Files of trainings before format 2 have no `format`, and paths relative to the working
# directory of the training.
_FORMAT = 2


class DistillationConfig(Section):
    """Training towards the outputs of a trained model, the teacher (knowledge distillation, 1503.02531).

    The divergence of every frame's distribution from the teacher's joins the CTC loss of each head that both have. The
    teacher reads the same augmented features, without dropout.
    """

    teacher: FilePath | None = Field(
        None,
        description="run directory of the teacher, with the features and the tokenizer of this training; null takes "
        "that of training.initial_weights",
    )
    weight: float = Field(
        0.5, gt=0, le=1, description="share of the divergence in the loss of a head; the CTC loss has the rest"
    )


class ResetConfig(Section):
    """Resets of the master weights of quantized layers towards their quantized values (WinQ, 2605.17471)."""

    every: int = Field(ge=1, description="training steps between two resets")
    share: float = Field(
        0.5, gt=0, le=1, description="share of the way: 1 makes the master weights equal to their quantized values"
    )


class TrainingConfig(Section):
    """AdamW with linear warm-up, cosine decay and gradient clipping by global norm."""

    epochs: int = Field(gt=0, description="number of epochs; the learning-rate schedule ends with the last")
    steps_per_epoch: int = Field(
        gt=0, description="batches per epoch; dev sets are scored and the state of the training is saved after each"
    )
    learning_rate: float = Field(gt=0, description="highest learning rate, reached at the end of the warm-up")
    final_learning_rate: float = Field(1e-5, ge=0, description="learning rate after the last step")
    warmup_steps: int = Field(0, ge=0, description="steps over which the learning rate rises linearly from 0")
    weight_decay: float = Field(
        1e-2, ge=0, description="decoupled weight decay of AdamW; biases, normalization and clip factors have none"
    )
    clip_norm: float = Field(2.0, gt=0, description="largest L2 norm of all gradients together; larger ones are scaled")
    intermediate_weight: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="weight of the auxiliary CTC loss of model.intermediate_ctc; the main loss has the rest",
    )
    frozen: tuple[str, ...] = Field(
        (), description="regular expressions of the names of layers whose weights stay as they are"
    )
    average: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="share that the exponential moving average of the weights keeps in a step; 0.999 averages over "
        "about 1000 steps. Dev sets are scored with the averages, and best.h5 holds them; null uses the weights",
    )
    distillation: DistillationConfig | None = Field(None, description="a teacher beside the labels; null: labels alone")
    resets: ResetConfig | None = Field(None, description="resets towards the grid; null: none")
    seed: int = Field(0, ge=0, description="seed of initial weights, dropout, batch order and augmentation")
    initial_weights: FilePath | None = Field(
        None,
        description="run directory of the model to start from, with its tokenizer: of a quantized model the float "
        "master weights, of which the pruned ones are zero; null starts from random weights",
    )
    initial_pruning: Literal["magnitude", "hessian"] = Field(
        "magnitude",
        description='weights that N:M sparsity prunes at the start: "magnitude" the smallest, "hessian" those whose '
        "loss changes the layers' outputs on training utterances least, for which the kept ones then make up "
        "(SparseGPT, 2301.00774)",
    )


class Config(Section):
    """The configuration of one training."""

    task: str = Field("recognition_ctc", description="name of the task, a module of `tfconformer.tasks`")
    features: FeatureConfig = Field(FeatureConfig(), description="features of the model")
    data: DataConfig = Field(description="shards and batches")
    model: ModelConfig = Field(description="architecture")
    training: TrainingConfig = Field(description="optimizer and schedule")
    quantization: tuple[QuantizationRule, ...] = Field(
        (), description="rules, of which the first that matches a layer decides; without rules the model is float"
    )

    @model_validator(mode="before")
    @classmethod
    def _task_of_older_configurations(cls, tree: Any) -> Any:
        """Names the task where it is not named, as in configurations older than the key."""
        model = tree.get("model") if isinstance(tree, dict) else None
        transducer = model.get("transducer") if isinstance(model, dict) else getattr(model, "transducer", None)
        return {"task": "recognition_transducer", **tree} if transducer is not None else tree

    @model_validator(mode="after")
    def _features_of_the_model(self) -> Config:
        is_waveform = self.features.kind == "waveform"
        if is_waveform != (self.model.waveform is not None):
            raise ValueError("features.kind waveform and the section model.waveform need each other: give both or none")
        if is_waveform and self.data.augment is not None and self.data.augment.spec_augment is not None:
            raise ValueError("data.augment.spec_augment masks mel bins, which a waveform lacks: set it to null")
        return self

    @model_validator(mode="after")
    def _one_clock(self) -> Config:
        """Checks that the frames of source and target are equally long, since a decoder counts time in both."""
        target = self.model.parrotron.target if self.model.parrotron else self.features
        if self.features.frame_step * target.sample_rate != target.frame_step * self.features.sample_rate:
            raise ValueError(
                f"frames of features and of model.parrotron.target differ: {self.features.frame_step} and "
                f"{target.frame_step} samples; give both the same frame_step"
            )
        return self

    @field_validator("quantization")
    @classmethod
    def _same_widths(cls, rules: tuple[QuantizationRule, ...]) -> tuple[QuantizationRule, ...]:
        if len({rule.bits for rule in rules if rule.co_train}) > 1:
            raise ValueError("rules with 'co_train' must have the same bits in the same order")
        return rules


def load_config(path: str | Path, overrides: list[str] | None = None, *, stored: bool = False) -> Config:
    """Reads and validates a YAML file.

    Args:
      path: the file.
      overrides: `section.key=value` strings that replace values of the file. The value is in YAML syntax, but that of a
        key that holds one text is the text itself, or nothing for null. Paths are relative to the working directory.
      stored: the file was written by a training. Without the key `format` an earlier version wrote it, and its paths
        are relative to the working directory.

    Raises:
      InputError: the file cannot be read, is not YAML, or has an unknown key or a bad value (the message names it).
    """
    tree = _read_tree(Path(path), stored)
    for override in overrides or []:
        _apply_override(tree, override)
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise InputError(f"{path}: {explain(error)}") from None


def dump_config(config: Config, folder: Path) -> str:
    """Returns the whole configuration, defaults included, as the text of a YAML file in `folder`.

    `load_config` reads it back from any working directory. Relative paths follow `folder`; absolute ones stay absolute.
    """
    tree = config.model_dump(mode="json", context={RELATIVE_TO: folder})
    return yaml.safe_dump({"format": _FORMAT, **tree}, sort_keys=False)


def _read_tree(path: Path, stored: bool = False, chain: tuple[Path, ...] = ()) -> dict[str, Any]:
    path = Path(os.path.realpath(path))  # Path.resolve raises another exception where links go in a circle
    if path in chain:
        raise InputError(f"{path}: 'extends' goes round in a circle")
    tree = read_yaml(path, "configuration")
    if stored and "format" not in tree:
        tree = read_yaml(path, "configuration", folder=Path.cwd())
    version = tree.pop("format", _FORMAT)
    if version != _FORMAT:
        raise InputError(f"{path} has format {version!r}, this version reads {_FORMAT}; update tfconformer")
    base = tree.pop("extends", None)
    return _merge(_read_tree(path.parent / str(base), chain=(*chain, path)), tree) if base else tree


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        both_sections = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both_sections else value
    return merged


def _apply_override(tree: dict[str, Any], override: str) -> None:
    path, separator, value = override.partition("=")
    if not separator:
        raise InputError(f"override {override!r}: expected section.key=value")
    keys = path.strip().split(".")
    *sections, key = keys
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise InputError(f"override {override!r}: {section!r} is not a section")
    if _is_text(keys):
        tree[key] = value or None
        return
    try:
        tree[key] = load_yaml(value)
    except ValueError as error:
        raise InputError(f"override {override!r}: the value is not valid YAML: {error}") from None


def _is_text(keys: Sequence[str]) -> bool:
    """Returns True if the key holds one text, such as a path, which YAML would change: `exp #2`, `0x10`, `null`."""
    kind: Any = Config
    for key in keys:
        fields = kind.model_fields if isinstance(kind, type) and issubclass(kind, Section) else {}
        if key not in fields:
            return False
        kinds = [one for one in _alternatives(fields[key].annotation) if one is not type(None)]
        kind = kinds[0] if len(kinds) == 1 else None
    return kind is str or (get_origin(kind) is Annotated and get_args(kind)[0] is str)


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
