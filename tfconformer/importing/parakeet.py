"""`ParakeetForCTC` of transformers: the FastConformer encoder (2305.05084) with a CTC head."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from tfconformer.features.config import FeatureConfig
from tfconformer.importing import layers
from tfconformer.importing.architecture import Architecture, LayerWeights
from tfconformer.importing.hugging_face import EncoderSettings, HuggingFaceFolder, Settings
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


class ParakeetCTC(Settings):
    """The settings of `ParakeetForCTC`."""

    model_type: Literal["parakeet_ctc"]
    vocab_size: int = Field(gt=1)
    pad_token_id: int = Field(ge=0)
    encoder_config: Encoder


class FeatureExtractor(Settings):
    """The settings of `ParakeetFeatureExtractor`."""

    feature_size: int = 80
    sampling_rate: int = 16000
    hop_length: int = 160
    n_fft: int = 512
    win_length: int = 400
    preemphasis: float = 0.97


def read(folder: HuggingFaceFolder) -> Architecture:
    """Reads the settings of a model.

    Raises:
      InputError: see `HuggingFaceFolder.settings`.
    """
    settings = folder.settings(ParakeetCTC)
    features = feature_config(folder.feature_settings(FeatureExtractor))
    encoder = settings.encoder_config
    return Architecture(
        features=features,
        model=encoder_config(encoder),
        symbols=settings.vocab_size,
        blank=settings.pad_token_id,
        layers=lambda tensors: encoder_layers(tensors, encoder),
        head=lambda tensors: layers.dense(tensors, "ctc_head", encoder.hidden_size, settings.vocab_size),
    )


def feature_config(settings: FeatureExtractor) -> FeatureConfig:
    """Returns the front end of the features before their normalization."""
    return FeatureConfig(
        sample_rate=settings.sampling_rate,
        frame_length=settings.win_length,
        frame_step=settings.hop_length,
        fft_length=settings.n_fft,
        mel_bins=settings.feature_size,
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
        blocks=settings.num_hidden_layers,
        dim=settings.hidden_size,
        heads=settings.num_attention_heads,
        ff_expansion=settings.intermediate_size // settings.hidden_size,
        conv_kernel=settings.conv_kernel_size,
        subsampling="depthwise",
        subsampling_channels=settings.subsampling_conv_channels,
        subsampling_factor=settings.subsampling_factor,
        feature_normalization="utterance",
        conv_norm=False,
        dropout=settings.dropout,
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
