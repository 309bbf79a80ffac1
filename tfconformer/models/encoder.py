"""The Conformer encoder (2005.08100) and the CTC head, as functions from Keras tensors to Keras tensors.

The models made of them are flat, because quantization by layer name needs every dense layer to be a layer of the
model: names are `block_03_attention_query`, `subsampling_projection`, `ctc_head`, ... and `model.summary()` shows them
all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf
import tf_keras as keras

from tfconformer.layers.attention import RelativeAttention, RelativePositions
from tfconformer.layers.base import Layer
from tfconformer.layers.content_attention import ContentAttention
from tfconformer.layers.convolution import (
    Convolution,
    DepthwiseConvolution,
    DepthwiseHalving,
    FeatureConvolution,
    GatedLinearUnit,
    JoinBins,
    Patches,
    PointwiseConvolution,
)
from tfconformer.layers.dense import Dense, float_layer
from tfconformer.layers.dropout import Dropout
from tfconformer.layers.masking import AttentionMask, BlankBeyondEnd, FrameMask
from tfconformer.layers.normalization import (
    FeatureNormalization,
    InstanceNormalization,
    LayerNormalization,
    UtteranceNormalization,
)
from tfconformer.layers.residual import ScaledResidual
from tfconformer.layers.rotary import RotaryAttention, RotaryInputs
from tfconformer.layers.stacker import Stacker
from tfconformer.layers.windows import TimeWindows
from tfconformer.models.config import TIME_STRIDE, TIME_WINDOW, ModelConfig, StackerConfig, WaveformConfig

# Least variance of a normalized waveform, as in wav2vec 2.0.
_WAVEFORM_EPSILON = 1e-7


def encoder_inputs(mel_bins: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Makes the inputs of an encoder: (features [B, T, mel_bins], lengths [B] int32)."""
    return keras.Input([None, mel_bins], name="features"), keras.Input([], dtype=tf.int32, name="lengths")


class Encoding(NamedTuple):
    """The outputs of an encoder.

    Attributes:
      blocks: the outputs of all blocks, [B, T, dim] each, of the last one after `final_norm`; before a stacker T is
        larger.
      mask: [B, T, 1], 1 on valid frames of the last block.
      heads: the output of the intermediate head by its name, if there is one.
    """

    blocks: list[tf.Tensor]
    mask: tf.Tensor
    heads: dict[str, tf.Tensor]


def encoder(config: ModelConfig, features: tf.Tensor, lengths: tf.Tensor, vocabulary: int) -> Encoding:
    """Applies subsampling, all blocks, and the stackers between them."""
    x, lengths = encoder_input(config, features, lengths)
    mask = FrameMask(name="frame_mask")([x, lengths])
    stackers = {one.after: one for one in config.stackers}
    contexts: dict[int | None, list[tf.Tensor]] = {}  # of the frames since the last stacker
    blocks: list[tf.Tensor] = []
    heads: dict[str, tf.Tensor] = {}
    for index in range(config.blocks):
        if index in stackers:
            x, lengths = stack(config, stackers[index], x, lengths, name=f"stacker_{index:02d}")
            mask = FrameMask(name=f"stacker_{index:02d}_frame_mask")([x, lengths])
            contexts = {}
        right = config.right_context_of(index)
        if right not in contexts:
            # The names of the first ones are those of models whose blocks are all alike.
            contexts[right] = attention_context(config, right, x, mask, suffix=f"_{index:02d}" if index else "")
        x = conformer_block(config, x, mask, contexts[right], name=f"block_{index:02d}")
        blocks.append(x)
        if config.intermediate_ctc == index + 1:
            heads["intermediate"] = ctc_head(x, mask, vocabulary, name="intermediate")
    if config.final_norm:
        blocks[-1] = normalization(config, x, name="final_norm")
    return Encoding(blocks, mask, heads)


def encoder_input(config: ModelConfig, features: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Applies normalization, subsampling unless it is left out, and projection to `dim`; returns (x, lengths)."""
    if config.feature_normalization == "corpus":
        x = FeatureNormalization(name="feature_normalization")(features)
    elif config.waveform is not None:
        x = InstanceNormalization(_WAVEFORM_EPSILON, affine=False, name="feature_normalization")([features, lengths])
    else:
        x = UtteranceNormalization(name="feature_normalization")([features, lengths])
    if config.waveform is not None:
        x, lengths = waveform_convolutions(config, config.waveform, x, lengths)
    if config.subsampling_channels is None:
        x = Dense(config.dim, name="feature_projection")(x)
        return Dropout(config.dropout, name="feature_dropout")(x), lengths
    x, lengths = _SUBSAMPLINGS[config.subsampling](config, config.subsampling_channels, x, lengths)
    x = Dense(config.dim, name="subsampling_projection")(x)
    return Dropout(config.dropout, name="subsampling_dropout")(x), lengths


def waveform_convolutions(
    config: ModelConfig, waveform: WaveformConfig, x: tf.Tensor, lengths: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Applies the convolutions along the waveform, and layer normalization; returns (x [B, frames, C], frames)."""
    shapes = zip(waveform.channels, waveform.kernels, waveform.strides, strict=True)
    for index, (channels, kernel, stride) in enumerate(shapes):
        x, lengths = TimeWindows(kernel, stride, name=f"waveform_windows_{index}")([x, lengths])
        x = Dense(channels, name=f"waveform_convolution_{index}")(x)
        if waveform.norm == "layer":
            x = normalization(config, x, name=f"waveform_norm_{index}")
        elif index == 0:
            x = InstanceNormalization(config.norm_epsilon, name="waveform_norm_0")([x, lengths])
        x = keras.layers.Activation("gelu", name=f"waveform_gelu_{index}")(x)
    return normalization(config, x, name="feature_norm"), lengths


def convolution_subsampling(
    config: ModelConfig, channels: int, x: tf.Tensor, lengths: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Applies two 3x3 convolutions of stride 2 with ReLU; returns (x [B, ceil(T/4), bins * channels], lengths)."""
    x, lengths = FeatureConvolution(channels, config.causal, name="subsampling")([x, lengths])
    x, lengths = Patches(config.causal, name="subsampling_patches")([x, lengths])
    x = Convolution(channels, name="subsampling_convolution")(x)
    x = keras.layers.Activation("relu", name="subsampling_relu")(x)
    return JoinBins(name="subsampling_bins")(x), lengths


def depthwise_subsampling(
    config: ModelConfig, channels: int, x: tf.Tensor, lengths: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Applies a 3x3 convolution and depthwise-separable ones, all of stride 2 with ReLU (2305.05084, sec. 2)."""
    x, lengths = FeatureConvolution(channels, config.causal, name="subsampling")([x, lengths])
    for index in range(1, int(math.log2(config.subsampling_factor))):
        x, lengths = DepthwiseHalving(config.causal, name=f"subsampling_depthwise_{index}")([x, lengths])
        x = PointwiseConvolution(channels, name=f"subsampling_pointwise_{index}")(x)
        x = keras.layers.Activation("relu", name=f"subsampling_relu_{index}")(x)
    return JoinBins(name="subsampling_bins")(x), lengths


def time_subsampling(
    config: ModelConfig, channels: int, x: tf.Tensor, lengths: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Applies a dense layer and two convolutions of stride 2 along time with ReLU, the second to `channels`."""
    x = Dense(config.dim, name="subsampling_input")(x)
    x = keras.layers.Activation("relu", name="subsampling_input_relu")(x)
    for index, width in enumerate((config.dim, channels)):
        windows = TimeWindows(TIME_WINDOW, TIME_STRIDE, name=f"subsampling_windows_{index}")
        x, lengths = windows([x, lengths])
        x = Dense(width, name=f"subsampling_convolution_{index}")(x)
        x = keras.layers.Activation("relu", name=f"subsampling_relu_{index}")(x)
    return x, lengths


_SUBSAMPLINGS = {
    "convolution": convolution_subsampling,
    "depthwise": depthwise_subsampling,
    "time": time_subsampling,
}


def stack(
    config: ModelConfig, stacker: StackerConfig, x: tf.Tensor, lengths: tf.Tensor, name: str
) -> tuple[tf.Tensor, tf.Tensor]:
    """Makes frames fewer: puts neighbours side by side and projects them to `dim`; returns (x, lengths)."""
    x, lengths = Stacker(stacker.right, stacker.stride, name=f"{name}_frames")([x, lengths])
    return Dense(config.dim, name=f"{name}_projection")(x), lengths


def attention_context(
    config: ModelConfig, right: int | None, x: tf.Tensor, mask: tf.Tensor, suffix: str
) -> list[tf.Tensor]:
    """Makes the inputs that blocks with `right` future frames (None: all) share: the mask, and relative positions."""
    context = (config.left_context, right, config.attention_chunk)
    attention_mask = AttentionMask(*context, training_chunks=config.training_chunks, name=f"attention_mask{suffix}")
    masks = [attention_mask(mask)]
    if config.positions == "relative":
        return [*masks, RelativePositions(*context, name=f"positions{suffix}")(x)]
    return masks


def encoder_stride(model: keras.Model) -> int:
    """Returns the number of feature frames for one encoder frame of a model, from its layers."""
    layers = (float_layer(layer) for layer in model.layers)
    return round(
        1 / math.prod(layer.frame_rate for layer in layers if isinstance(layer, Layer) and layer.frame_rate < 1)
    )


def conformer_block(
    config: ModelConfig, x: tf.Tensor, mask: tf.Tensor, context: Sequence[tf.Tensor], name: str
) -> tf.Tensor:
    """Applies half feed-forward, self-attention, convolution, half feed-forward, norm (2005.08100, eq. 1)."""
    x = residual(config.ff_residual, f"{name}_ff1_residual", x, feed_forward(config, x, f"{name}_ff1"))
    x = residual((1, 1), f"{name}_attention_residual", x, self_attention(config, x, context, f"{name}_attention"))
    x = residual(config.conv_residual, f"{name}_conv_residual", x, convolution(config, x, mask, f"{name}_conv"))
    x = residual(config.ff_residual, f"{name}_ff2_residual", x, feed_forward(config, x, f"{name}_ff2"))
    return normalization(config, x, f"{name}_norm")


def residual(weights: tuple[float, float], name: str, x: tf.Tensor, branch: tf.Tensor) -> tf.Tensor:
    """Adds the output of a module to its input, each times its weight."""
    shortcut, scale = weights
    return ScaledResidual(scale, shortcut, name=name)([x, branch])


def normalization(config: ModelConfig, x: tf.Tensor, name: str) -> tf.Tensor:
    """Applies layer normalization."""
    return LayerNormalization(config.norm_epsilon, name=name)(x)


def activation(config: ModelConfig, x: tf.Tensor, name: str) -> tf.Tensor:
    """Applies the activation of a module named `name`."""
    return keras.layers.Activation(config.activation, name=f"{name}_{config.activation}")(x)


def feed_forward(config: ModelConfig, x: tf.Tensor, name: str) -> tf.Tensor:
    """Applies the feed-forward module."""
    x = normalization(config, x, f"{name}_norm")
    x = Dense(config.dim * config.ff_expansion, name=f"{name}_expand")(x)
    x = activation(config, x, name)
    x = Dropout(config.dropout, name=f"{name}_inner_dropout")(x)
    x = Dense(config.dim, name=f"{name}_contract")(x)
    return Dropout(config.dropout, name=f"{name}_dropout")(x)


def self_attention(config: ModelConfig, x: tf.Tensor, context: Sequence[tf.Tensor], name: str) -> tf.Tensor:
    """Applies the multi-head self-attention module; `context` is that of `attention_context`."""
    x = normalization(config, x, f"{name}_norm")
    positioned = RotaryInputs(config.heads, name=f"{name}_rotary")(x) if config.positions == "rotary_inputs" else x
    query, key = (Dense(config.dim, name=f"{name}_{role}")(positioned) for role in ("query", "key"))
    value = Dense(config.dim, name=f"{name}_value")(x)
    attention_mask, *positions = context
    if config.positions == "relative":
        position = Dense(config.dim, use_bias=False, name=f"{name}_position")(*positions)
        x = RelativeAttention(config.heads, name=name)([query, key, value, position, attention_mask])
    else:
        attention = RotaryAttention if config.positions == "rotary" else ContentAttention
        x = attention(config.heads, name=name)([query, key, value, attention_mask])
    x = Dense(config.dim, name=f"{name}_output")(x)
    return Dropout(config.dropout, name=f"{name}_dropout")(x)


def convolution(config: ModelConfig, x: tf.Tensor, mask: tf.Tensor, name: str) -> tf.Tensor:
    """Applies the convolution module.

    It has layer normalization, or none, in place of the paper's batch normalization: it is the same in training and in
    streaming, and with batches of a few utterances batch statistics would be noise.
    """
    x = normalization(config, x, f"{name}_norm")
    x = Dense(2 * config.dim, name=f"{name}_expand")(x)
    x = GatedLinearUnit(name=f"{name}_glu")(x)
    x = DepthwiseConvolution(config.conv_kernel, config.causal, name=f"{name}_depthwise")([x, mask])
    if config.conv_norm:
        x = normalization(config, x, f"{name}_depthwise_norm")
    x = activation(config, x, name)
    x = Dense(config.dim, name=f"{name}_contract")(x)
    return Dropout(config.dropout, name=f"{name}_dropout")(x)


def ctc_head(x: tf.Tensor, mask: tf.Tensor, vocabulary: int, name: str) -> tf.Tensor:
    """Projects to tokens and blank; padded frames are forced blanks."""
    return BlankBeyondEnd(name=f"{name}_logits")([Dense(vocabulary + 1, name=f"{name}_head")(x), mask])
