"""`ParakeetForCTC` of transformers: the FastConformer encoder (2305.05084) with a CTC head."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import model_validator

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

CONVOLUTIONS = "encoder.subsampling.layers"  # prefix of their tensors


class Encoder(EncoderSettings):
    """The settings of `ParakeetEncoder`."""

    model_type: Literal["parakeet_encoder"]
    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 8
    intermediate_size: int = 4096
    conv_kernel_size: int = 9
    subsampling_factor: Literal[4, 8] = 8
    subsampling_conv_channels: int = 256
    subsampling_conv_kernel_size: Literal[3] = 3
    num_mel_bins: int = 80
    scale_input: bool = True

    @model_validator(mode="after")
    def _has_whole_bins(self) -> Encoder:
        if self.num_mel_bins % self.subsampling_factor:
            # The checkpoint's projection would read fewer bins than the convolutions have.
            raise ValueError(f"num_mel_bins {self.num_mel_bins} is no multiple of {self.subsampling_factor}")
        return self


class ParakeetCTC(CTCSettings):
    """The settings of `ParakeetForCTC`."""

    model_type: Literal["parakeet_ctc"]
    encoder_config: Encoder


class FeatureExtractor(FeatureExtractorSettings):
    """The settings of `ParakeetFeatureExtractor`."""

    feature_size: int = 80
    preemphasis: float = 0.97


def read(folder: HuggingFaceFolder) -> Architecture:
    """Reads the settings of a model.

    Raises:
      InputError: see `HuggingFaceFolder.settings`.
    """
    settings = folder.settings(ParakeetCTC)
    encoder = settings.encoder_config
    features = feature_config(folder.feature_settings(FeatureExtractor))
    return ctc_architecture(
        settings, features, encoder_config(encoder), lambda tensors: encoder_layers(tensors, encoder)
    )


def feature_config(settings: FeatureExtractor) -> FeatureConfig:
    """Returns the front end of the features before their normalization."""
    return FeatureConfig(
        **settings.sizes(),
        lower_edge=0.0,
        upper_edge=settings.sampling_rate / 2,
        preemphasis=settings.preemphasis,
        centered=True,
        window="symmetric",
        mel_scale="slaney",
        energy_floor=2.0**-24,
    )


def encoder_config(settings: Encoder) -> ModelConfig:
    """Returns the configuration of the encoder."""
    return ModelConfig(
        **settings.sizes(),
        subsampling="depthwise",
        subsampling_factor=settings.subsampling_factor,
        feature_normalization="utterance",
    )


def encoder_layers(tensors: Tensors, settings: Encoder) -> Iterator[LayerWeights]:
    """Yields the weights of the encoder's layers."""
    channels = settings.subsampling_conv_channels
    halvings = int(math.log2(settings.subsampling_factor))
    yield first_convolution(tensors, channels)
    for index in range(1, halvings):
        depthwise, pointwise = f"{CONVOLUTIONS}.{3 * index - 1}", f"{CONVOLUTIONS}.{3 * index}"
        yield f"subsampling_depthwise_{index}", layers.image_convolution(tensors, depthwise, channels)
        yield f"subsampling_pointwise_{index}", layers.dense(tensors, pointwise, channels, channels)
    yield projection(tensors, settings, settings.num_mel_bins // settings.subsampling_factor)
    yield from blocks(tensors, settings)


def first_convolution(tensors: Tensors, channels: int) -> LayerWeights:
    """Returns the weights of the convolution that reads the features."""
    kernel, bias = layers.image_convolution(tensors, f"{CONVOLUTIONS}.0", channels)
    return "subsampling", [kernel.swapaxes(2, 3), bias]


def projection(tensors: Tensors, settings: Encoder, bins: int) -> LayerWeights:
    """Returns the weights of the projection of all channels and bins to the encoder's width."""
    dim, channels = settings.hidden_size, settings.subsampling_conv_channels
    kernel, bias = layers.dense(tensors, "encoder.subsampling.linear", channels * bins, dim)
    scale = np.float32(math.sqrt(dim) if settings.scale_input else 1)
    return "subsampling_projection", [scale * layers.swapped_bins(kernel, channels), scale * bias]


def blocks(tensors: Tensors, settings: Encoder) -> Iterator[LayerWeights]:
    """Yields the weights of all blocks."""
    shape = settings.block()
    for index in range(settings.num_hidden_layers):
        source, name = f"encoder.layers.{index}", f"block_{index:02d}"
        yield from layers.block(tensors, source, name, shape)
        yield from layers.relative_positions(tensors, f"{source}.self_attn", f"{name}_attention", shape)
