"""The weights of layers and blocks, from tensors in PyTorch's layout to the layout of this package.

PyTorch stores matrices as [outputs, inputs]. A bias or a beta that a checkpoint lacks is zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tfconformer.importing.architecture import LayerWeights
from tfconformer.importing.tensors import Array, Tensors

BATCH_NORM_EPSILON = 1e-5  # PyTorch's default


@dataclass(frozen=True)
class BlockSizes:
    """The sizes of a Conformer block: its width, heads, feed-forward width, and convolution kernel in frames."""

    dim: int
    heads: int
    feed_forward: int
    kernel: int


def block(tensors: Tensors, source: str, name: str, sizes: BlockSizes) -> Iterator[LayerWeights]:
    """Yields the weights of a Conformer block, without its positions.

    Args:
      tensors: the checkpoint, with the names that the Conformers of transformers have.
      source: prefix of the block's tensors.
      name: prefix of the block's layers.
      sizes: the block's sizes.
    """
    dim, attention, conv = sizes.dim, f"{source}.self_attn", f"{source}.conv"
    for module, number in (("ff1", 1), ("ff2", 2)):
        feed_forward = f"{source}.feed_forward{number}"
        yield f"{name}_{module}_norm", normalization(tensors, f"{source}.norm_feed_forward{number}", dim)
        yield f"{name}_{module}_expand", dense(tensors, f"{feed_forward}.linear1", dim, sizes.feed_forward)
        yield f"{name}_{module}_contract", dense(tensors, f"{feed_forward}.linear2", sizes.feed_forward, dim)
    yield f"{name}_attention_norm", normalization(tensors, f"{source}.norm_self_att", dim)
    for role in ("query", "key", "value", "output"):
        yield f"{name}_attention_{role}", dense(tensors, f"{attention}.{role[0]}_proj", dim, dim)
    yield f"{name}_conv_norm", normalization(tensors, f"{source}.norm_conv", dim)
    yield f"{name}_conv_expand", dense(tensors, f"{conv}.pointwise_conv1", dim, 2 * dim)
    yield f"{name}_conv_depthwise", depthwise(tensors, f"{conv}.depthwise_conv", f"{conv}.norm", dim, sizes.kernel)
    yield f"{name}_conv_contract", dense(tensors, f"{conv}.pointwise_conv2", dim, dim)
    yield f"{name}_norm", normalization(tensors, f"{source}.norm_out", dim)


def relative_positions(tensors: Tensors, source: str, name: str, sizes: BlockSizes) -> Iterator[LayerWeights]:
    """Yields the weights of relative positions: those of the attention layer `name` and of its projection."""
    width = sizes.dim // sizes.heads
    yield name, [tensors.take(f"{source}.{bias}", sizes.heads, width) for bias in ("bias_u", "bias_v")]
    kernel = tensors.take(f"{source}.relative_k_proj.weight", sizes.dim, sizes.dim).T
    yield f"{name}_position", [separated_sinusoids(kernel)]


def dense(tensors: Tensors, name: str, inputs: int, outputs: int) -> tuple[Array, Array]:
    """Returns kernel [inputs, outputs] and bias [outputs] of a linear layer or a convolution of size 1."""
    return tensors.take(f"{name}.weight", outputs, inputs).T, optional(tensors, f"{name}.bias", outputs)


def convolution(tensors: Tensors, name: str, inputs: int, outputs: int, size: int) -> tuple[Array, Array]:
    """Returns kernel [size * inputs, outputs] and bias [outputs] of a convolution along time, a matmul of windows."""
    kernel = tensors.take(f"{name}.weight", outputs, inputs, size).transpose(2, 1, 0)
    return kernel.reshape(size * inputs, outputs), optional(tensors, f"{name}.bias", outputs)


def normalization(tensors: Tensors, name: str, channels: int) -> tuple[Array, Array]:
    """Returns gamma and beta [channels] of a layer normalization."""
    return tensors.take(f"{name}.weight", channels), optional(tensors, f"{name}.bias", channels)


def depthwise(tensors: Tensors, name: str, norm: str, channels: int, size: int) -> tuple[Array, Array]:
    """Returns kernel [1, size, channels, 1] and bias [channels] of a depthwise convolution along time.

    The batch normalization `norm` after it, with its statistics of the training, is folded into them.
    """
    kernel = tensors.take(f"{name}.weight", channels, 1, size)[:, 0].astype(np.float64)
    bias = optional(tensors, f"{name}.bias", channels).astype(np.float64)
    gamma, beta, mean, variance = (
        tensors.take(f"{norm}.{part}", channels).astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(variance + BATCH_NORM_EPSILON)
    folded = (kernel * scale[:, np.newaxis]).T
    return folded[np.newaxis, :, :, np.newaxis].astype(np.float32), ((bias - mean) * scale + beta).astype(np.float32)


def optional(tensors: Tensors, name: str, channels: int) -> Array:
    """Returns a vector [channels], zero if the checkpoint has none of that name."""
    return tensors.take(name, channels) if name in tensors else np.zeros(channels, np.float32)


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
