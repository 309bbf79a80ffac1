"""The typed configuration of an experiment: one YAML file, whose keys are the arguments they feed.

    config = load_config("configs/small.yaml", overrides=["training.epochs=3"])

A YAML may begin with `extends: other.yaml` (relative to itself); its own keys then replace the other's, section by
section. Every error names the file and the key.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, field_validator

from tfconformer.data.config import DataConfig
from tfconformer.errors import InputError
from tfconformer.features.config import FeatureConfig
from tfconformer.models.config import ModelConfig
from tfconformer.quantization.spec import QuantizationRule
from tfconformer.section import Section, explain
from tfconformer.training.config import TrainingConfig


class Config(Section):
    """One experiment."""

    features: FeatureConfig = FeatureConfig()
    data: DataConfig
    model: ModelConfig
    training: TrainingConfig
    quantization: tuple[QuantizationRule, ...] = Field((), description="the first rule that matches a layer decides")

    @field_validator("quantization")
    @classmethod
    def _same_widths(cls, rules: tuple[QuantizationRule, ...]) -> tuple[QuantizationRule, ...]:
        if len({rule.bits for rule in rules if rule.also}) > 1:
            raise ValueError("rules with 'also' must have the same bits in the same order")
        return rules


def load_config(path: str | Path, overrides: list[str] | None = None) -> Config:
    """Reads and validates a YAML file.

    Args:
      path: the file.
      overrides: `section.key=value` strings, the value in YAML syntax; they win over the file.

    Raises:
      InputError: the file cannot be read, is not YAML, or has an unknown key or a bad value (the message names it).
    """
    tree = _read_yaml(Path(path))
    for override in overrides or []:
        _apply_override(tree, override)
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise InputError(f"{path}: {explain(error)}") from None


def dump_config(config: Config) -> str:
    """The whole configuration, defaults included, as YAML that `load_config` reads back."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _read_yaml(path: Path, chain: tuple[Path, ...] = ()) -> dict[str, Any]:
    path = path.resolve()
    if path in chain:
        raise InputError(f"{path}: 'extends' goes round in a circle")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the configuration {path}: {error}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise InputError(f"{path}: expected a mapping of sections at the top level")
    base = tree.pop("extends", None)
    return _merge(_read_yaml(path.parent / str(base), (*chain, path)), tree) if base else tree


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
    *sections, key = path.strip().split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise InputError(f"override {override!r}: {section!r} is not a section")
    tree[key] = yaml.safe_load(value)
