"""The weights of layers and blocks, from tensors in PyTorch's layout to the layout of this package.

PyTorch stores matrices as [outputs, inputs]. A bias or a beta that a model of the checkpoint's class lacks is zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tfconformer.importing.architecture import LayerWeights
from tfconformer.importing.tensors import Array, Tensors

BATCH_NORM_EPSILON = 1e-5  # PyTorch's default


@dataclass(frozen=True)
class Block:
    """The shape of a Conformer block.

    Attributes:
      dim: its width.
      heads: number of attention heads.
      feed_forward: width of the feed-forward modules.
      kernel: kernel of the depthwise convolution, in frames.
      bias: True if the feed-forward and attention modules have biases.
      convolution_bias: True if the convolution module has biases.
      beta: True if the layer normalizations have a beta.
    """

    dim: int
    heads: int
    feed_forward: int
    kernel: int
    bias: bool = True
    convolution_bias: bool = True
    beta: bool = True


def block(tensors: Tensors, source: str, name: str, shape: Block) -> Iterator[LayerWeights]:
    """Yields the weights of a Conformer block, without its positions.

    Args:
      tensors: the checkpoint, with the names that the Conformers of transformers have.
      source: prefix of the block's tensors.
      name: prefix of the block's layers.
      shape: the block's shape.
    """
    dim, attention, conv = shape.dim, f"{source}.self_attn", f"{source}.conv"
    norms = {"ff1": "feed_forward1", "ff2": "feed_forward2", "attention": "self_att", "conv": "conv"}
    for module, norm in norms.items():
        yield f"{name}_{module}_norm", normalization(tensors, f"{source}.norm_{norm}", dim, shape.beta)
    for module in ("ff1", "ff2"):
        linear = f"{source}.{norms[module]}.linear"
        yield f"{name}_{module}_expand", dense(tensors, f"{linear}1", dim, shape.feed_forward, shape.bias)
        yield f"{name}_{module}_contract", dense(tensors, f"{linear}2", shape.feed_forward, dim, shape.bias)
    for role in ("query", "key", "value", "output"):
        yield f"{name}_attention_{role}", dense(tensors, f"{attention}.{role[0]}_proj", dim, dim, shape.bias)
    yield f"{name}_conv_expand", dense(tensors, f"{conv}.pointwise_conv1", dim, 2 * dim, shape.convolution_bias)
    yield f"{name}_conv_depthwise", depthwise(tensors, conv, shape)
    yield f"{name}_conv_contract", dense(tensors, f"{conv}.pointwise_conv2", dim, dim, shape.convolution_bias)
    yield f"{name}_norm", normalization(tensors, f"{source}.norm_out", dim, shape.beta)


def relative_positions(tensors: Tensors, source: str, name: str, shape: Block) -> Iterator[LayerWeights]:
    """Yields the weights of relative positions: those of the attention layer `name` and of its projection."""
    width = shape.dim // shape.heads
    yield name, [tensors.take(f"{source}.{bias}", shape.heads, width) for bias in ("bias_u", "bias_v")]
    kernel = tensors.take(f"{source}.relative_k_proj.weight", shape.dim, shape.dim).T
    yield f"{name}_position", [separated_sinusoids(kernel)]


def dense(tensors: Tensors, name: str, inputs: int, outputs: int, bias: bool = True) -> tuple[Array, Array]:
    """Returns kernel [inputs, outputs] and bias [outputs] of a linear layer or a convolution of size 1."""
    return tensors.take(f"{name}.weight", outputs, inputs).T, vector(tensors, f"{name}.bias", outputs, bias)


def ctc_head(tensors: Tensors, dim: int, symbols: int, blank: int) -> LayerWeights:
    """Returns the weights of the CTC head, of `symbols` with the blank at the index `blank` in the checkpoint."""
    kernel, bias = dense(tensors, "ctc_head", dim, symbols)
    order = blank_first(symbols, blank)
    return "ctc_head", [kernel[:, order], bias[order]]


def blank_first(symbols: int, blank: int) -> list[int]:
    """Lists the indices of symbols, the blank's first and the others in their order."""
    return [blank, *(index for index in range(symbols) if index != blank)]


def convolution(
    tensors: Tensors, name: str, inputs: int, outputs: int, size: int, bias: bool = True
) -> tuple[Array, Array]:
    """Returns kernel [size * inputs, outputs] and bias [outputs] of a convolution along time, a matmul of windows."""
    kernel = tensors.take(f"{name}.weight", outputs, inputs, size).transpose(2, 1, 0)
    return kernel.reshape(size * inputs, outputs), vector(tensors, f"{name}.bias", outputs, bias)


def normalization(tensors: Tensors, name: str, channels: int, beta: bool = True) -> tuple[Array, Array]:
    """Returns gamma and beta [channels] of a layer normalization."""
    return tensors.take(f"{name}.weight", channels), vector(tensors, f"{name}.bias", channels, beta)


def depthwise(tensors: Tensors, name: str, shape: Block) -> tuple[Array, Array]:
    """Returns kernel [1, frames, channels, 1] and bias [channels] of the depthwise convolution of the module `name`.

    The batch normalization after it, with its statistics of the training, is folded into them.
    """
    channels = shape.dim
    kernel = tensors.take(f"{name}.depthwise_conv.weight", channels, 1, shape.kernel)[:, 0].astype(np.float64)
    bias = vector(tensors, f"{name}.depthwise_conv.bias", channels, shape.convolution_bias).astype(np.float64)
    gamma, beta, mean, variance = (
        tensors.take(f"{name}.norm.{part}", channels).astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(variance + BATCH_NORM_EPSILON)
    folded = (kernel * scale[:, np.newaxis]).T
    return folded[np.newaxis, :, :, np.newaxis].astype(np.float32), ((bias - mean) * scale + beta).astype(np.float32)


def vector(tensors: Tensors, name: str, channels: int, present: bool) -> Array:
    """Returns a vector [channels], zero if the model has none."""
    return tensors.take(name, channels) if present else np.zeros(channels, np.float32)


def image_convolution(tensors: Tensors, name: str, channels: int) -> tuple[Array, Array]:
    """Returns kernel [3, 3, channels, 1] and bias [channels] of 3x3 filters that read one channel each."""
    kernel = tensors.take(f"{name}.weight", channels, 1, 3, 3)
    return kernel.transpose(2, 3, 0, 1), tensors.take(f"{name}.bias", channels)


def swapped_bins(kernel: Array, channels: int) -> Array:
    """Reorders the inputs of a projection from [channel, bin] to [bin, channel], the order of `JoinBins`."""
    inputs, outputs = kernel.shape
    return kernel.reshape(channels, inputs // channels, outputs).transpose(1, 0, 2).reshape(inputs, outputs)


def separated_sinusoids(kernel: Array) -> Array:
    """Reorders the inputs of a projection of positions from sines and cosines in turn to sines, then cosines."""
    return np.concatenate([kernel[0::2], kernel[1::2]])
