"""The section `data` of a configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from tfconformer.section import Section
from tfconformer.yaml_files import FilePattern


class SpecAugmentConfig(Section):
    """SpecAugment (1904.08779): masks drawn uniformly up to the given widths, in mel bins and 10 ms frames."""

    frequency_masks: int = Field(2, ge=0)
    frequency_width: int = Field(15, ge=0)
    time_masks: int = Field(2, ge=0)
    time_width: int = Field(30, ge=0)
    max_time_fraction: float = Field(
        0.2, ge=0, le=1, description="no time mask is wider than this share of the utterance"
    )


class NoiseConfig(Section):
    """Additive noise: another utterance of the corpus (babble) or spectrally tilted Gaussian noise."""

    probability: float = Field(0.5, ge=0, le=1)
    snr_db: tuple[float, float] = (5.0, 25.0)
    babble: float = Field(0.5, ge=0, le=1, description="share of noisy utterances whose noise is other speech")


class AugmentConfig(Section):
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


class TokenizerConfig(Section):
    """SentencePiece training options (`data/tokenizer.py`)."""

    model_type: Literal["char", "unigram", "bpe"] = "char"
    vocabulary_size: int = Field(64, gt=2, description="upper bound on pieces; the CTC blank is one more")


class DataConfig(Section):
    """Shards and how they become batches."""

    train: tuple[FilePattern, ...] = Field(description="globs of training shards, relative to the working directory")
    dev: tuple[FilePattern, ...]
    tokenizer: TokenizerConfig = TokenizerConfig()
    batch_seconds: float = Field(64.0, gt=0, description="padded seconds of audio per batch")
    min_duration: float = Field(0.2, ge=0)
    max_duration: float = Field(20.0, gt=0)
    shuffle_buffer: int = Field(4096, gt=0)
    augment: AugmentConfig | None = AugmentConfig()
