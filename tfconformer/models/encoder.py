"""The Conformer encoder (2005.08100) and the CTC head, as functions from Keras tensors to Keras tensors.

The models made of them are flat, because quantization by layer name needs every dense layer to be a layer of the
model: names are `block_03_attention_query`, `subsampling_projection`, `ctc_head`, ... and `model.summary()` shows them
all.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf
import tf_keras as keras

from tfconformer.layers.attention import RelativeAttention, RelativePositions
from tfconformer.layers.convolution import (
    Convolution,
    DepthwiseConvolution,
    FeatureConvolution,
    GatedLinearUnit,
    JoinBins,
    Patches,
)
from tfconformer.layers.dense import Dense
from tfconformer.layers.dropout import Dropout
from tfconformer.layers.masking import AttentionMask, BlankBeyondEnd, FrameMask
from tfconformer.layers.normalization import FeatureNormalization, LayerNormalization
from tfconformer.layers.residual import ScaledResidual
from tfconformer.models.config import ModelConfig


def encoder_inputs(mel_bins: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Makes the inputs of an encoder: (features [B, T, mel_bins], lengths [B] int32)."""
    return keras.Input([None, mel_bins], name="features"), keras.Input([], dtype=tf.int32, name="lengths")


class Encoding(NamedTuple):
    """The outputs of an encoder.

    Attributes:
      blocks: the outputs of all blocks, [B, T, dim] each.
      mask: [B, T, 1], 1 on valid frames.
      heads: the output of the intermediate head by its name, if there is one.
    """

    blocks: list[tf.Tensor]
    mask: tf.Tensor
    heads: dict[str, tf.Tensor]


def encoder(config: ModelConfig, features: tf.Tensor, lengths: tf.Tensor, vocabulary: int) -> Encoding:
    """Applies subsampling and all blocks."""
    x, mask = encoder_input(config, features, lengths)
    context = (config.left_context, config.right_context, config.attention_chunk)
    attention_mask = AttentionMask(*context, training_chunks=config.training_chunks, name="attention_mask")(mask)
    positions = RelativePositions(*context, name="positions")(x)
    encoding = Encoding([], mask, {})
    for index in range(config.blocks):
        x = conformer_block(config, x, mask, attention_mask, positions, name=f"block_{index:02d}")
        encoding.blocks.append(x)
        if config.intermediate_ctc == index + 1:
            encoding.heads["intermediate"] = ctc_head(x, mask, vocabulary, name="intermediate")
    return encoding


def encoder_input(config: ModelConfig, features: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Applies normalization, subsampling by 4 and projection to `dim`; returns (x, frame mask)."""
    x = FeatureNormalization(name="feature_normalization")(features)
    x, lengths = FeatureConvolution(config.subsampling_channels, config.causal, name="subsampling")([x, lengths])
    x, lengths = Patches(config.causal, name="subsampling_patches")([x, lengths])
    x = Convolution(config.subsampling_channels, name="subsampling_convolution")(x)
    x = keras.layers.Activation("relu", name="subsampling_relu")(x)
    x = JoinBins(name="subsampling_bins")(x)
    x = Dense(config.dim, name="subsampling_projection")(x)
    x = Dropout(config.dropout, name="subsampling_dropout")(x)
    return x, FrameMask(name="frame_mask")([x, lengths])


def conformer_block(
    config: ModelConfig,
    x: tf.Tensor,
    mask: tf.Tensor,
    attention_mask: tf.Tensor,
    positions: tf.Tensor,
    name: str,
) -> tf.Tensor:
    """Applies half feed-forward, self-attention, convolution, half feed-forward, norm (2005.08100, eq. 1)."""
    x = ScaledResidual(0.5, name=f"{name}_ff1_residual")([x, feed_forward(config, x, f"{name}_ff1")])
    x = ScaledResidual(name=f"{name}_attention_residual")(
        [x, self_attention(config, x, attention_mask, positions, f"{name}_attention")]
    )
    x = ScaledResidual(name=f"{name}_conv_residual")([x, convolution(config, x, mask, f"{name}_conv")])
    x = ScaledResidual(0.5, name=f"{name}_ff2_residual")([x, feed_forward(config, x, f"{name}_ff2")])
    return LayerNormalization(name=f"{name}_norm")(x)


def feed_forward(config: ModelConfig, x: tf.Tensor, name: str) -> tf.Tensor:
    """Applies the feed-forward module."""
    x = LayerNormalization(name=f"{name}_norm")(x)
    x = Dense(config.dim * config.ff_expansion, name=f"{name}_expand")(x)
    x = keras.layers.Activation("swish", name=f"{name}_swish")(x)
    x = Dropout(config.dropout, name=f"{name}_inner_dropout")(x)
    x = Dense(config.dim, name=f"{name}_contract")(x)
    return Dropout(config.dropout, name=f"{name}_dropout")(x)


def self_attention(
    config: ModelConfig, x: tf.Tensor, attention_mask: tf.Tensor, positions: tf.Tensor, name: str
) -> tf.Tensor:
    """Applies the multi-head self-attention module with relative positions."""
    x = LayerNormalization(name=f"{name}_norm")(x)
    query, key, value = (Dense(config.dim, name=f"{name}_{role}")(x) for role in ("query", "key", "value"))
    position = Dense(config.dim, use_bias=False, name=f"{name}_position")(positions)
    x = RelativeAttention(config.heads, name=name)([query, key, value, position, attention_mask])
    x = Dense(config.dim, name=f"{name}_output")(x)
    return Dropout(config.dropout, name=f"{name}_dropout")(x)


def convolution(config: ModelConfig, x: tf.Tensor, mask: tf.Tensor, name: str) -> tf.Tensor:
    """Applies the convolution module.

    It has layer normalization in place of the paper's batch normalization: it is the same in training and in streaming,
    and with batches of a few utterances batch statistics would be noise.
    """
    x = LayerNormalization(name=f"{name}_norm")(x)
    x = Dense(2 * config.dim, name=f"{name}_expand")(x)
    x = GatedLinearUnit(name=f"{name}_glu")(x)
    x = DepthwiseConvolution(config.conv_kernel, config.causal, name=f"{name}_depthwise")([x, mask])
    x = LayerNormalization(name=f"{name}_depthwise_norm")(x)
    x = keras.layers.Activation("swish", name=f"{name}_swish")(x)
    x = Dense(config.dim, name=f"{name}_contract")(x)
    return Dropout(config.dropout, name=f"{name}_dropout")(x)


def ctc_head(x: tf.Tensor, mask: tf.Tensor, vocabulary: int, name: str) -> tf.Tensor:
    """Projects to tokens and blank; padded frames are forced blanks."""
    return BlankBeyondEnd(name=f"{name}_logits")([Dense(vocabulary + 1, name=f"{name}_head")(x), mask])
