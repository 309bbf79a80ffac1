"""The section `features` of a configuration."""

from __future__ import annotations

from pydantic import Field, model_validator

from tfconformer.section import Section


class FeatureConfig(Section):
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
