"""The typed configuration of an experiment: one YAML file, whose keys are the arguments they feed.

    config = load_config("configs/small.yaml", overrides=["training.epochs=3"])

A YAML may begin with `extends: other.yaml` (relative to itself); its own keys then replace the other's, section by
section. Every error names the file and the key.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, field_validator, model_validator

from tfconformer.errors import InputError
from tfconformer.quantization.spec import QuantSpec


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FeatureConfig(_Section):
    """The log-mel front end (`features/log_mel.py`). Lengths in samples at `sample_rate` Hz, frequencies in Hz."""

    sample_rate: int = Field(16000, gt=0)
    frame_length: int = Field(400, gt=0)
    frame_step: int = Field(160, gt=0)
    fft_length: int = Field(512, gt=0)
    mel_bins: int = Field(80, gt=0)
    lower_edge: float = Field(60.0, ge=0)
    upper_edge: float = Field(7600.0, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> FeatureConfig:
        if self.frame_length > self.fft_length:
            raise ValueError(f"frame_length {self.frame_length} exceeds fft_length {self.fft_length}")
        if not self.lower_edge < self.upper_edge <= self.sample_rate / 2:
            raise ValueError(f"mel edges must satisfy lower < upper <= {self.sample_rate / 2:g} Hz")
        return self


class SpecAugmentConfig(_Section):
    """SpecAugment (1904.08779): masks drawn uniformly up to the given widths, in mel bins and 10 ms frames."""

    frequency_masks: int = Field(2, ge=0)
    frequency_width: int = Field(15, ge=0)
    time_masks: int = Field(2, ge=0)
    time_width: int = Field(30, ge=0)
    max_time_fraction: float = Field(
        0.2, ge=0, le=1, description="no time mask is wider than this share of the utterance"
    )


class NoiseConfig(_Section):
    """Additive noise: another utterance of the corpus (babble) or spectrally tilted Gaussian noise."""

    probability: float = Field(0.5, ge=0, le=1)
    snr_db: tuple[float, float] = (5.0, 25.0)
    babble: float = Field(0.5, ge=0, le=1, description="share of noisy utterances whose noise is other speech")


class AugmentConfig(_Section):
    """What training does to an utterance. Every choice is a pure function of (seed, batch, position in batch)."""

    speeds: tuple[float, ...] = Field((0.9, 1.0, 1.1), description="speed factors, one drawn per utterance")
    noise: NoiseConfig | None = NoiseConfig()
    spec_augment: SpecAugmentConfig | None = SpecAugmentConfig()
    ramp_batches: tuple[int, int] = Field(
        (0, 0),
        description="augmentation is off before the first batch named and always on after the second, "
        "its probability growing linearly in between",
    )

    @field_validator("speeds")
    @classmethod
    def _sane_speeds(cls, speeds: tuple[float, ...]) -> tuple[float, ...]:
        if not speeds or any(not 0.5 <= speed <= 2.0 for speed in speeds):
            raise ValueError("speeds must be a non-empty list of factors in [0.5, 2]")
        return speeds


class TokenizerConfig(_Section):
    """SentencePiece training options (`data/tokenizer.py`)."""

    model_type: Literal["char", "unigram", "bpe"] = "char"
    vocabulary_size: int = Field(64, gt=2, description="upper bound on pieces; the CTC blank is one more")


class DataConfig(_Section):
    """Shards and how they become batches."""

    train: tuple[str, ...] = Field(description="globs of training shards, relative to the working directory")
    dev: tuple[str, ...]
    tokenizer: TokenizerConfig = TokenizerConfig()
    batch_seconds: float = Field(64.0, gt=0, description="padded seconds of audio per batch")
    min_duration: float = Field(0.2, ge=0)
    max_duration: float = Field(20.0, gt=0)
    shuffle_buffer: int = Field(4096, gt=0)
    augment: AugmentConfig | None = AugmentConfig()


class TransducerConfig(_Section):
    """The parts of a transducer behind the encoder (2005.08100: one LSTM)."""

    embedding: int = Field(gt=0, description="width of the embedded labels")
    lstm_units: int = Field(gt=0)
    joint: int = Field(gt=0, description="width of the joint network")


class ModelConfig(_Section):
    """Arguments of `models.conformer_ctc.conformer_ctc` and, with `transducer`, of `conformer_transducer`."""

    blocks: int = Field(gt=0)
    dim: int = Field(gt=0)
    heads: int = Field(gt=0)
    ff_expansion: int = Field(4, gt=0)
    conv_kernel: int = Field(31, gt=0)
    subsampling_channels: int = Field(gt=0)
    dropout: float = Field(0.1, ge=0, lt=1)
    causal: bool = Field(False, description="convolutions see no future frame")
    left_context: int | None = Field(None, ge=0, description="attention looks back at most this many 40 ms frames")
    right_context: int | None = Field(None, ge=0, description="attention looks ahead at most this many 40 ms frames")
    attention_chunk: int | None = Field(
        None, gt=0, description="attention looks ahead to the end of its chunk of this many 40 ms frames"
    )
    training_chunks: tuple[PositiveInt, ...] = Field(
        (),
        description="attention chunks, one drawn per training batch in place of attention_chunk, so that the weights "
        "serve all of them; one longer than the utterances is unlimited look-ahead",
    )
    intermediate_ctc: int | None = Field(None, gt=0, description="block after which an auxiliary CTC head reads")
    transducer: TransducerConfig | None = Field(None, description="a transducer behind the encoder; null means CTC")

    @model_validator(mode="after")
    def _consistent(self) -> ModelConfig:
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} is not a multiple of heads {self.heads}")
        if self.attention_chunk is not None and self.right_context is not None:
            raise ValueError("attention_chunk replaces right_context: give one of them")
        if self.training_chunks and self.right_context is not None:
            raise ValueError("training_chunks replace right_context: give one of them")
        if self.intermediate_ctc is not None and self.intermediate_ctc >= self.blocks:
            raise ValueError(
                f"intermediate_ctc {self.intermediate_ctc} must lie before the last of {self.blocks} blocks"
            )
        return self


class TrainingConfig(_Section):
    """Arguments of the fit: AdamW, linear warm-up and cosine decay, gradient clipping by global norm."""

    epochs: int = Field(gt=0)
    steps_per_epoch: int = Field(gt=0, description="batches between checkpoints and dev evaluations")
    learning_rate: float = Field(gt=0)
    final_learning_rate: float = Field(1e-5, ge=0)
    warmup_steps: int = Field(0, ge=0)
    weight_decay: float = Field(1e-2, ge=0)
    clip_norm: float = Field(2.0, gt=0)
    intermediate_weight: float = Field(0.3, ge=0, lt=1, description="weight of the auxiliary CTC loss")
    seed: int = Field(0, ge=0)
    initial_weights: str | None = Field(None, description="run directory or weights file to start from")


class QuantizationRule(_Section):
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


class Config(_Section):
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


def explain(error: ValidationError) -> str:
    """A validation error as one line that names every wrong key."""
    problems = []
    for detail in error.errors():
        key = ".".join(str(part) for part in detail["loc"]) or "(top level)"
        message = detail["msg"].removeprefix("Value error, ")
        problems.append(f"unknown key '{key}'" if detail["type"] == "extra_forbidden" else f"'{key}': {message}")
    return "; ".join(problems)
