"""The section `training` of a configuration."""

from __future__ import annotations

from pydantic import Field

from tfconformer.section import Section
from tfconformer.yaml_files import FilePath


class TrainingConfig(Section):
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
    initial_weights: FilePath | None = Field(None, description="run directory or weights file to start from")
