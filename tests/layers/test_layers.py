"""Layers against loops in float64 that follow the papers' definitions."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from tfconformer.layers.attention import RelativeAttention, RelativePositions, relative_shift
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
from tfconformer.layers.dense import Dense
from tfconformer.layers.dropout import Dropout
from tfconformer.layers.masking import NEVER, AttentionMask, BlankBeyondEnd, FrameMask, frame_mask, valid_frames
from tfconformer.layers.normalization import (
    FeatureNormalization,
    InstanceNormalization,
    LayerNormalization,
    UtteranceNormalization,
)
from tfconformer.layers.residual import ScaledResidual
from tfconformer.layers.rotary import RotaryAttention, RotaryInputs
from tfconformer.layers.windows import TimeWindows

RANDOM = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


def test_relative_shift_picks_the_distance():
    frames = 5
    # Every score states its own distance, query minus key.
    scores = np.tile(np.arange(frames - 1, -frames, -1, dtype=np.float32), (2, 3, frames, 1))
    shifted = relative_shift(tf.constant(scores)).numpy()
    position = np.arange(frames)
    np.testing.assert_array_equal(shifted, np.broadcast_to(position[:, None] - position[None, :], shifted.shape))


def test_relative_attention_is_the_definition():
    batch, frames, heads, width = 2, 7, 3, 4
    query, key, value = (normal(batch, frames, heads * width) for _ in range(3))
    position = normal(1, 2 * frames - 1, heads * width)
    mask = np.where(RANDOM.random((batch, 1, frames, frames)) < 0.2, NEVER, 0.0).astype(np.float32)
    layer = RelativeAttention(heads)
    layer.build([tf.TensorShape(x.shape) for x in (query, key, value, position, mask)])
    layer.set_weights([normal(heads, width), normal(heads, width)])
    u, v = layer.get_weights()

    expected = np.zeros((batch, frames, heads * width))
    for b in range(batch):
        for h in range(heads):
            part = slice(h * width, (h + 1) * width)
            for t in range(frames):
                q = query[b, t, part].astype(np.float64)
                scores = [
                    ((q + u[h]) @ key[b, s, part] + (q + v[h]) @ position[0, frames - 1 - (t - s), part]) / width**0.5
                    + mask[b, 0, t, s]
                    for s in range(frames)
                ]
                weights = np.exp(scores - np.max(scores))
                expected[b, t, part] = weights / weights.sum() @ value[b, :, part]
    # Float32 against float64, sums of a few products around 1.
    np.testing.assert_allclose(layer([query, key, value, position, mask]).numpy(), expected, atol=1e-5)


def test_positions_are_sinusoids_of_the_distance():
    encoding = RelativePositions()(tf.zeros([2, 4, 6])).numpy()
    assert encoding.shape == (1, 7, 6)
    distances = np.array([3, 2, 1, 0, -1, -2, -3])[:, None] / 10000.0 ** (np.array([0, 2, 4]) / 6)
    np.testing.assert_allclose(encoding[0], np.concatenate([np.sin(distances), np.cos(distances)], -1), atol=1e-6)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kernel", [1, 4, 5])
def test_depthwise_convolution_is_the_definition(causal, kernel):
    batch, frames, channels = 2, 9, 3
    lengths = [9, 6]
    x = normal(batch, frames, channels)
    mask = frame_mask(tf.constant(lengths), frames)
    layer = DepthwiseConvolution(kernel, causal)
    layer([x, mask])
    layer.set_weights([normal(1, kernel, channels, 1), normal(channels)])
    weights, bias = layer.get_weights()
    before = kernel - 1 if causal else (kernel - 1) // 2
    expected = np.tile(bias.astype(np.float64), (batch, frames, 1))
    for b, length in enumerate(lengths):
        for t in range(frames):
            for k in range(kernel):
                source = t - before + k
                if 0 <= source < length:
                    expected[b, t] += x[b, source] * weights[0, k, :, 0]
    np.testing.assert_allclose(layer([x, mask]).numpy(), expected, atol=1e-5)  # float32


@pytest.mark.parametrize("causal", [False, True])
def test_subsampling_lengths_and_width(causal):
    first, patches = FeatureConvolution(6, causal), Patches(causal)
    for frames in range(1, 13):
        x, lengths = patches(first([normal(1, frames, 10), tf.constant([frames])]))
        assert x.shape == (1, -(-frames // 4), 3, 9 * 6)
        assert lengths.numpy() == [-(-frames // 4)]
        assert JoinBins()(x).shape == (1, -(-frames // 4), 3 * 9 * 6)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("frames", "bins"), [(1, 1), (6, 7), (9, 4)])
def test_a_convolution_of_patches_is_the_definition(causal, frames, bins):
    channels, units, lengths = 2, 5, [frames, max(1, frames - 3)]
    x = normal(2, frames, bins, channels)
    patches, new_lengths = Patches(causal)([x, tf.constant(lengths)])
    layer = Convolution(units)
    layer(patches)
    layer.set_weights([normal(9 * channels, units), normal(units)])
    kernel, bias = layer.get_weights()
    before = 2 if causal else 1
    expected = np.tile(bias.astype(np.float64), (2, -(-frames // 2), -(-bins // 2), 1))
    for b, t, f, i, j in itertools.product(*map(range, expected.shape[:3]), range(3), range(3)):
        frame, bin_ = 2 * t - before + i, 2 * f - 1 + j
        if 0 <= frame < lengths[b] and 0 <= bin_ < bins:
            expected[b, t, f] += x[b, frame, bin_] @ kernel.reshape(3, 3, channels, units)[i, j].astype(np.float64)
    np.testing.assert_allclose(layer(patches).numpy(), expected, atol=1e-5)  # float32
    assert new_lengths.numpy().tolist() == [-(-length // 2) for length in lengths]


def test_gated_linear_unit():
    x = normal(2, 3, 8)
    np.testing.assert_allclose(GatedLinearUnit()(x).numpy(), x[..., :4] / (1 + np.exp(-x[..., 4:])), rtol=1e-5)


def test_dense_is_a_matrix_product_for_every_rank_and_batch():
    layer = Dense(5)
    for shape in [(4, 7), (3, 4, 7), (1, 4, 7), (2, 3, 4, 7)]:
        x = normal(*shape)
        outputs = layer(x).numpy()
        layer.bias.assign(normal(5))
        np.testing.assert_allclose(layer(x).numpy(), x @ layer.kernel.numpy() + layer.bias.numpy(), atol=1e-5)
        assert outputs.shape == (*shape[:-1], 5)


def test_layer_normalization():
    x = 3.0 + 2.0 * normal(2, 4, 16)
    expected = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(LayerNormalization()(x).numpy(), expected, atol=1e-5)


def test_feature_normalization_standardizes_what_it_adapted_to():
    frames = 5.0 + 3.0 * normal(1000, 4)
    layer = FeatureNormalization()
    layer.build(tf.TensorShape([None, None, 4]))
    layer.adapt(frames)
    normalized = layer(frames[None]).numpy()[0]
    np.testing.assert_allclose(normalized.mean(0), 0.0, atol=1e-4)
    np.testing.assert_allclose(normalized.std(0), 1.0, atol=1e-4)


def test_instance_normalization_counts_valid_frames_alone():
    x, lengths = 3.0 + 2.0 * normal(2, 9, 4), [9, 5]
    layer = InstanceNormalization(0.01)
    layer.build((tf.TensorShape([None, None, 4]), tf.TensorShape([None])))
    gamma, beta = normal(4), normal(4)
    layer.set_weights([gamma, beta])
    normalized = layer([x, tf.constant(lengths)]).numpy()
    for actual, one, length in zip(normalized, x.astype(np.float64), lengths, strict=True):
        valid = one[:length]
        expected = gamma * (valid - valid.mean(axis=0)) / np.sqrt(valid.var(axis=0) + 0.01) + beta
        np.testing.assert_allclose(actual[:length], expected, atol=1e-5)
    plain = InstanceNormalization(0.01, affine=False)([x, tf.constant(lengths)]).numpy()
    np.testing.assert_allclose(normalized, gamma * plain + beta, atol=1e-5)


def test_attention_of_rotated_inputs_is_the_definition():
    """A pair of channels is a complex number, which its position turns."""
    frames, heads, width = 6, 2, 4
    x, value = normal(1, frames, heads * width), normal(1, frames, heads * width)
    pairs = x[0].astype(np.float64).reshape(frames, heads, 2, width // 2)
    frequencies = 10000.0 ** -(np.arange(width // 2) / (width // 2))
    turned = (pairs[:, :, 0] + 1j * pairs[:, :, 1]) * np.exp(1j * np.arange(frames)[:, None, None] * frequencies)
    expected = np.stack([turned.real, turned.imag], axis=2).reshape(frames, heads * width)
    rotated = RotaryInputs(heads)(x)
    np.testing.assert_allclose(rotated[0], expected, atol=1e-5)
    mask = np.where(RANDOM.random((1, 1, frames, frames)) < 0.2, NEVER, 0.0).astype(np.float32)
    attended = ContentAttention(heads)([rotated, x, value, mask]).numpy()[0]
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        scores = expected[:, part] @ x[0, :, part].T / np.sqrt(width) + mask[0, 0]
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(attended[:, part], weights @ value[0, :, part], atol=1e-5)


def test_attention_mask_limits_context_and_padding():
    mask = FrameMask()([tf.zeros([2, 4, 1]), tf.constant([4, 2])])
    allowed = AttentionMask(left_context=1, right_context=0)(mask).numpy()[:, 0] == 0
    np.testing.assert_array_equal(allowed[0], [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]])
    np.testing.assert_array_equal(allowed[1], [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]])
    assert AttentionMask()(mask).shape == (2, 1, 1, 4)


def test_attention_mask_draws_its_chunk_only_while_training():
    keras.utils.set_random_seed(5)
    chunks = (1, 2, 7)
    layer = AttentionMask(left_context=6, chunk=3, training_chunks=chunks)
    mask = tf.ones([1, 7, 1])
    masks = {chunk: AttentionMask(left_context=6, chunk=chunk)(mask).numpy().tobytes() for chunk in (*chunks, 3)}
    assert layer(mask).numpy().tobytes() == masks[3]
    drawn = [layer(mask, training=True).numpy().tobytes() for _ in range(300)]
    # 300 draws of three: 100 of each, with a standard deviation of 8.
    assert all(abs(drawn.count(masks[chunk]) - 100) < 40 for chunk in chunks)


def test_padded_frames_are_certain_blanks_and_count_as_such():
    logits = normal(3, 5, 4) - 50.0
    lengths = tf.constant([5, 2, 0])
    marked = BlankBeyondEnd()([logits, frame_mask(lengths, 5)])
    np.testing.assert_array_equal(valid_frames(marked), lengths)
    np.testing.assert_array_equal(marked[1, :2], logits[1, :2])
    np.testing.assert_allclose(tf.nn.softmax(marked)[1, 2:, 0], 1.0)


def test_scaled_residual():
    x, branch = normal(2, 3), normal(2, 3)
    np.testing.assert_allclose(ScaledResidual(0.5)([x, branch]).numpy(), x + 0.5 * branch)


def test_dropout_drops_its_share_only_while_training():
    keras.utils.set_random_seed(3)
    layer = Dropout(0.25)
    x = tf.ones([100, 100])
    np.testing.assert_array_equal(layer(x), x)
    dropped = layer(x, training=True).numpy()
    # 10,000 draws: the share's standard deviation is 0.0043.
    assert abs((dropped == 0).mean() - 0.25) < 0.02
    np.testing.assert_allclose(dropped[dropped > 0], 1 / 0.75, rtol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [
        Dense(3, use_bias=False),
        LayerNormalization(1e-3),
        FeatureConvolution(2, causal=True),
        Patches(causal=True),
        Convolution(3),
        PointwiseConvolution(3),
        DepthwiseHalving(causal=True),
        TimeWindows(5, 2),
        UtteranceNormalization(),
        InstanceNormalization(1e-3, affine=False),
        ContentAttention(2),
        RotaryAttention(2),
        RotaryInputs(2),
        JoinBins(),
        DepthwiseConvolution(3, causal=True),
        AttentionMask(2, 1),
        AttentionMask(2, training_chunks=[1, 2]),
        RelativeAttention(2),
        ScaledResidual(0.5, shortcut=1.5),
        Dropout(0.3),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_are_registered_and_rebuilt_from_their_configuration(layer):
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(copy) is type(layer)
    assert copy.get_config() == layer.get_config()
