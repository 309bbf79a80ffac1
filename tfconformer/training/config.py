"""The section `training` of a configuration."""

from __future__ import annotations

from pydantic import Field

from tfconformer.section import Section
from tfconformer.yaml_files import FilePath


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
    seed: int = Field(0, ge=0, description="seed of initial weights, dropout, batch order and augmentation")
    initial_weights: FilePath | None = Field(
        None,
        description="run directory of the float model to start from, with its tokenizer; null starts from random "
        "weights",
    )
