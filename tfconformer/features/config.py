"""The section `features` of a configuration."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from tfconformer.features.scale import ENERGY_FLOOR
from tfconformer.section import Section

LONGEST_TRANSFORM = 2**16
# The sizes of features that are samples: every frame is one.
_OF_SAMPLES = dict.fromkeys(("frame_length", "frame_step", "fft_length", "mel_bins"), 1)


class FeatureConfig(Section):
    """The features of a model: log-mel energies (`features/log_mel.py`), or the samples of the waveform themselves."""

    kind: Literal["log_mel", "waveform"] = Field(
        "log_mel",
        description="kind of the features; a waveform, whose frames are samples, has no other key than sample_rate and "
        "needs model.waveform",
    )
    sample_rate: int = Field(16000, gt=0, description="sampling rate of the audio, in Hz")
    frame_length: int = Field(400, gt=0, description="length of the analysis window, in samples, at most fft_length")
    frame_step: int = Field(160, gt=0, description="distance between the beginnings of two frames, in samples")
    fft_length: int = Field(
        512,
        gt=0,
        le=LONGEST_TRANSFORM,
        description="length of the Fourier transform, in samples; longer than a frame pads it",
    )
    mel_bins: int = Field(
        80, gt=0, description="number of mel filters: features per frame; at most the frequencies of the transform"
    )
    lower_edge: float = Field(60.0, ge=0, description="lower edge of the lowest mel filter, in Hz")
    upper_edge: float = Field(
        7600.0, gt=0, description="upper edge of the highest mel filter, in Hz, at most half the sampling rate"
    )

    preemphasis: float = Field(
        0.0, ge=0, lt=1, description="share of the previous sample that is subtracted from every sample; 0: none"
    )
    centered: bool = Field(
        False,
        description="if true, frame t is centered at sample t * frame_step, and zeros surround the utterance; "
        "otherwise it begins there",
    )
    window: Literal["periodic", "symmetric"] = Field(
        "periodic", description="kind of Hann window; a symmetric one ends with the same zero that it begins with"
    )
    mel_scale: Literal["htk", "slaney"] = Field(
        "htk", description="mel filters: HTK's scale and a height of 1, or Slaney's scale and equal areas"
    )
    energy_floor: float = Field(ENERGY_FLOOR, gt=0, description="least energy, which keeps the logarithm finite")
    energy_floor_by: Literal["sum", "maximum"] = Field(
        "sum", description="kind of the floor: it is added to the energies, or replaces smaller ones"
    )

    @model_validator(mode="before")
    @classmethod
    def _sizes_of_samples(cls, tree: Any) -> Any:
        is_waveform = isinstance(tree, dict) and tree.get("kind") == "waveform"
        return _OF_SAMPLES | tree if is_waveform else tree

    @model_validator(mode="after")
    def _consistent(self) -> FeatureConfig:
        if self.kind == "waveform":
            for name, field in type(self).model_fields.items():
                if name not in ("kind", "sample_rate") and getattr(self, name) != _OF_SAMPLES.get(name, field.default):
                    raise ValueError(f"features of the kind waveform have no {name}: leave it out")
            return self
        if self.frame_length > self.fft_length:
            raise ValueError(f"frame_length {self.frame_length} exceeds fft_length {self.fft_length}")
        frequencies = self.fft_length // 2 + 1
        if self.mel_bins > frequencies:
            raise ValueError(f"mel_bins {self.mel_bins} exceeds the {frequencies} frequencies of the transform")
        if not self.lower_edge < self.upper_edge <= self.sample_rate / 2:
            raise ValueError(f"mel edges must satisfy lower < upper <= {self.sample_rate / 2:g} Hz")
        if self.centered and self.frame_length < 2 * self.frame_step:
            raise ValueError(f"centered frames must be two or more times frame_step {self.frame_step} long")
        return self

    def check_invertible(self) -> None:
        """Checks that a spectrogram of these features can be turned into speech.

        Raises:
          ValueError: a setting is one that only recognition has.
        """
        if self.kind != "log_mel":
            raise ValueError("speech is generated of log-mel spectrograms: leave kind out")
        for name in ("preemphasis", "centered", "window", "mel_scale", "energy_floor", "energy_floor_by"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"speech is generated of spectrograms without {name}: leave it out")
