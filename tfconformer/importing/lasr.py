"""`LasrForCTC` of transformers: a Conformer with rotary positions and weighted residuals, and a CTC head."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field, PositiveFloat, field_validator

from tfconformer.features.config import FeatureConfig
from tfconformer.importing import layers
from tfconformer.importing.architecture import Architecture, LayerWeights
from tfconformer.importing.hugging_face import (
    CTCSettings,
    EncoderSettings,
    FeatureExtractorSettings,
    HuggingFaceFolder,
    ctc_architecture,
)
from tfconformer.importing.tensors import Tensors
from tfconformer.models.config import ModelConfig

_ROTARY = {"rope_theta": 10000.0, "rope_type": "default"}


class Encoder(EncoderSettings):
    """The settings of `LasrEncoder`."""

    model_type: Literal["lasr_encoder"]
    hidden_size: int = 512
    num_hidden_layers: int = 17
    num_attention_heads: int = 8
    intermediate_size: int = 2048
    conv_kernel_size: int = 32
    subsampling_conv_channels: int = 256
    subsampling_conv_kernel_size: Literal[5] = 5
    num_mel_bins: int = 128
    attention_bias: bool = False
    convolution_bias: bool = False
    layer_norm_eps: float = 1e-6
    feed_forward_residual_weights: tuple[PositiveFloat, PositiveFloat] = (1.5, 0.5)
    conv_residual_weights: tuple[PositiveFloat, PositiveFloat] = (2.0, 1.0)
    batch_norm_momentum: float = 0.01
    rope_parameters: dict[str, Any] | None = None

    @field_validator("rope_parameters")
    @classmethod
    def _default_rotation(cls, parameters: dict[str, Any] | None) -> dict[str, Any] | None:
        if parameters not in (None, _ROTARY):
            raise ValueError(f"rotary positions of {parameters} are not those of {_ROTARY}")
        return parameters


class LasrCTC(CTCSettings):
    """The settings of `LasrForCTC`."""

    model_type: Literal["lasr_ctc"]
    vocab_size: int = Field(512, gt=1)
    pad_token_id: int = Field(0, ge=0)
    encoder_config: Encoder


class FeatureExtractor(FeatureExtractorSettings):
    """The settings of `LasrFeatureExtractor`."""

    feature_size: int = 128


def read(folder: HuggingFaceFolder) -> Architecture:
    """Reads the settings of a model.

    Raises:
      InputError: see `HuggingFaceFolder.settings`.
    """
    settings = folder.settings(LasrCTC)
    encoder = settings.encoder_config
    features = feature_config(folder.feature_settings(FeatureExtractor))
    return ctc_architecture(
        settings, features, encoder_config(encoder), lambda tensors: encoder_layers(tensors, encoder)
    )


def feature_config(settings: FeatureExtractor) -> FeatureConfig:
    """Returns the front end; the edges of its filters are constants of the class."""
    return FeatureConfig(
        **settings.sizes(),
        lower_edge=125.0,
        upper_edge=7500.0,
        window="symmetric",
        energy_floor=1e-5,
        energy_floor_by="maximum",
    )


def encoder_config(settings: Encoder) -> ModelConfig:
    """Returns the configuration of the encoder."""
    return ModelConfig(
        **settings.sizes(),
        subsampling="time",
        positions="rotary",
        ff_residual=settings.feed_forward_residual_weights,
        conv_residual=settings.conv_residual_weights,
        norm_epsilon=settings.layer_norm_eps,
        final_norm=True,
    )


def encoder_layers(tensors: Tensors, settings: Encoder) -> Iterator[LayerWeights]:
    """Yields the weights of the encoder's layers."""
    dim, channels, source = settings.hidden_size, settings.subsampling_conv_channels, "encoder.subsampler"
    yield "subsampling_input", layers.dense(tensors, f"{source}.dense_0", settings.num_mel_bins, dim)
    for index, width in enumerate((dim, channels)):
        size = settings.subsampling_conv_kernel_size
        kernel = layers.convolution(tensors, f"{source}.conv_{index}", dim, width, size)
        yield f"subsampling_convolution_{index}", kernel
    yield "subsampling_projection", layers.dense(tensors, f"{source}.dense_1", channels, dim)
    shape = replace(settings.block(), beta=False)
    for index in range(settings.num_hidden_layers):
        yield from layers.block(tensors, f"encoder.layers.{index}", f"block_{index:02d}", shape)
    yield "final_norm", layers.normalization(tensors, "encoder.out_norm", dim, shape.beta)
