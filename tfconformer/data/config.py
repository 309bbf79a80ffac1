"""The section `data` of a configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from tfconformer.section import Section
from tfconformer.yaml_files import FilePath, FilePattern


class SpecAugmentConfig(Section):
    """SpecAugment (1904.08779): frequency and time masks over the features, without time warping.

    The width of every mask is drawn uniformly from 0 to the given one.
    """

    frequency_masks: int = Field(2, ge=0, description="number of frequency masks per utterance")
    frequency_width: int = Field(15, ge=0, description="largest width of a frequency mask, in mel bins")
    time_masks: int = Field(2, ge=0, description="number of time masks per utterance")
    time_width: int = Field(30, ge=0, description="largest width of a time mask, in frames of features.frame_step")
    max_time_fraction: float = Field(
        0.2, ge=0, le=1, description="no time mask is wider than this share of the utterance's frames"
    )


class NoiseConfig(Section):
    """Additive noise: a recording, another utterance of the batch (babble) or Gaussian noise with a tilted spectrum."""

    probability: float = Field(0.5, ge=0, le=1, description="probability that an utterance gets noise")
    snr_db: tuple[float, float] = Field(
        (5.0, 25.0), description="lowest and highest signal-to-noise ratio, in dB, drawn uniformly in between"
    )
    babble: float = Field(0.5, ge=0, le=1, description="share of noisy utterances whose noise is other speech")
    recorded: float = Field(0.0, ge=0, le=1, description="share of noisy utterances whose noise is a recording")
    recordings: FilePath | None = Field(
        None, description="folder of noise recordings (WAV, FLAC or Ogg, subfolders included)"
    )

    @model_validator(mode="after")
    def _consistent_shares(self) -> NoiseConfig:
        if self.babble + self.recorded > 1:
            raise ValueError("babble and recorded are shares of the same utterances; their sum must be at most 1")
        if (self.recorded > 0) != (self.recordings is not None):
            raise ValueError("recorded and recordings belong together: a share above 0 and the folder")
        return self


class ReverberationConfig(Section):
    """Convolution with measured impulse responses of rooms (Ko et al. 2017, without simulated ones)."""

    responses: FilePath = Field(description="folder of impulse responses (WAV, FLAC or Ogg, subfolders included)")
    probability: float = Field(0.3, ge=0, le=1, description="probability that an utterance is reverberated")


class AugmentConfig(Section):
    """Augmentation of training utterances. Every choice is a pure function of (seed, batch, position in the batch)."""

    speeds: tuple[float, ...] = Field(
        (0.9, 1.0, 1.1),
        description="speed factors, each in [0.5, 2], of which one is drawn per utterance; pitch changes with speed",
    )
    reverberation: ReverberationConfig | None = Field(None, description="reverberation, before noise; null adds none")
    noise: NoiseConfig | None = Field(NoiseConfig(), description="additive noise; null adds none")
    spec_augment: SpecAugmentConfig | None = Field(
        SpecAugmentConfig(), description="masks over the features; null masks nothing"
    )
    ramp_batches: tuple[int, int] = Field(
        (0, 0),
        description="batch before which nothing is augmented, and batch from which every utterance is; the share of "
        "augmented utterances grows linearly in between",
    )

    @field_validator("speeds")
    @classmethod
    def _sane_speeds(cls, speeds: tuple[float, ...]) -> tuple[float, ...]:
        if not speeds or any(not 0.5 <= speed <= 2.0 for speed in speeds):
            raise ValueError("speeds must be a non-empty list of factors in [0.5, 2]")
        return speeds


class TokenizerConfig(Section):
    """The SentencePiece tokenizer that is trained on the transcripts (`data/tokenizer.py`)."""

    model_type: Literal["char", "unigram", "bpe"] = Field("char", description="kind of SentencePiece model")
    vocabulary_size: int = Field(
        64, gt=2, description="largest number of tokens, the unknown token included; the CTC blank is one more symbol"
    )


class DataConfig(Section):
    """Shards of training and dev speech, and the batches that are made of them."""

    train: tuple[FilePattern, ...] = Field(description="glob patterns of the training shards")
    dev: tuple[FilePattern, ...] = Field(
        description="glob patterns of the dev shards; each set, by file name, is scored after every epoch"
    )
    tokenizer: TokenizerConfig = Field(TokenizerConfig(), description="tokenizer of a training from random weights")
    batch_seconds: float = Field(64.0, gt=0, description="audio per training batch with its padding, in seconds")
    min_duration: float = Field(0.2, ge=0, description="shortest utterance used for training, in seconds")
    max_duration: float = Field(20.0, gt=0, description="longest utterance used for training, in seconds")
    shuffle_buffer: int = Field(
        4096, gt=0, description="number of utterances in memory from which the next one is drawn at random"
    )
    augment: AugmentConfig | None = Field(
        AugmentConfig(), description="augmentation of the training speech; null trains on the speech as it is"
    )
