"""The section `features` of a configuration."""

from __future__ import annotations

from pydantic import Field, model_validator

from tfconformer.section import Section


class FeatureConfig(Section):
    """The log-mel front end (`features/log_mel.py`)."""

    sample_rate: int = Field(16000, gt=0, description="sampling rate of the audio, in Hz")
    frame_length: int = Field(400, gt=0, description="length of the analysis window, in samples, at most fft_length")
    frame_step: int = Field(160, gt=0, description="distance between the beginnings of two frames, in samples")
    fft_length: int = Field(
        512, gt=0, description="length of the Fourier transform, in samples; longer than a frame pads it"
    )
    mel_bins: int = Field(80, gt=0, description="number of mel filters: features per frame")
    lower_edge: float = Field(60.0, ge=0, description="lower edge of the lowest mel filter, in Hz")
    upper_edge: float = Field(
        7600.0, gt=0, description="upper edge of the highest mel filter, in Hz, at most half the sampling rate"
    )

    @model_validator(mode="after")
    def _consistent(self) -> FeatureConfig:
        if self.frame_length > self.fft_length:
            raise ValueError(f"frame_length {self.frame_length} exceeds fft_length {self.fft_length}")
        if not self.lower_edge < self.upper_edge <= self.sample_rate / 2:
            raise ValueError(f"mel edges must satisfy lower < upper <= {self.sample_rate / 2:g} Hz")
        return self
