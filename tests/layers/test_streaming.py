"""Every layer on streams: the same outputs as on whole utterances, after the delay that it states."""

import functools
import itertools
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from tests.support.stream_checks import PIECES, assert_streams, whole
from tfconformer.errors import InputError
from tfconformer.features.config import FeatureConfig
from tfconformer.layers.attention import RelativeAttention, RelativePositions
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
from tfconformer.layers.front_end import LogMel
from tfconformer.layers.masking import AttentionMask, BlankBeyondEnd, FrameMask, frame_mask
from tfconformer.layers.normalization import (
    FeatureNormalization,
    InstanceNormalization,
    LayerNormalization,
    UtteranceNormalization,
)
from tfconformer.layers.residual import ScaledResidual
from tfconformer.layers.rotary import RotaryAttention
from tfconformer.layers.spectrogram import CausalWindows
from tfconformer.layers.stacker import Stacker
from tfconformer.layers.streaming import Frames, Lengths, register_pointwise
from tfconformer.layers.windows import TimeWindows
from tfconformer.models.streaming import StreamingModel

CHANNELS = 8
EXACT = 0.0
# Sums of the same float32 numbers, around 1, which the library adds in an order that depends on the tensor's size.
REORDERED = 2e-6


def on_frames(layer):
    """A model of a layer of frames alone."""
    return lambda x, lengths: layer(x)


def with_mask(layer):
    return lambda x, lengths: layer([x, FrameMask()([x, lengths])])


def with_lengths(layer):
    return lambda x, lengths: layer([x, lengths])[0]


def subsampling(causal):
    def build(x, lengths):
        patches, _ = Patches(causal)(FeatureConvolution(3, causal)([x, lengths]))
        return JoinBins()(Convolution(4)(patches))

    return build


def depthwise_subsampling(causal):
    def build(x, lengths):
        x, lengths = FeatureConvolution(3, causal)([x, lengths])
        x, _ = DepthwiseHalving(causal)([x, lengths])
        return JoinBins()(PointwiseConvolution(4)(x))

    return build


def side_by_side(x, lengths):
    """Frames beside those of a layer that looks ahead."""
    return keras.layers.Concatenate()([x, DepthwiseConvolution(6)([x, FrameMask()([x, lengths])])])


def delayed_residual(x, lengths):
    """A residual around a layer that looks ahead, and frames in front that are late already."""
    x = DepthwiseConvolution(3)([x, FrameMask()([x, lengths])])
    return ScaledResidual(0.5)([x, DepthwiseConvolution(5)([x, FrameMask()([x, lengths])])])


def attention(left, right, chunk=None, late=False):
    def build(x, lengths):
        mask = FrameMask()([x, lengths])
        if late:
            x = DepthwiseConvolution(3)([x, mask])
        query, key, value = (Dense(CHANNELS)(x) for _ in range(3))
        position = Dense(CHANNELS, use_bias=False)(RelativePositions(left, right, chunk)(x))
        return RelativeAttention(2)([query, key, value, position, AttentionMask(left, right, chunk)(mask)])

    return build


def rotary(left, right, chunk=None):
    def build(x, lengths):
        query, key, value = (Dense(CHANNELS)(x) for _ in range(3))
        mask = AttentionMask(left, right, chunk)(FrameMask()([x, lengths]))
        return RotaryAttention(2)([query, key, value, mask])

    return build


class Windows(keras.layers.Layer):
    """The frames of every window side by side, for windows of all sizes and strides."""

    def __init__(self, left, right, stride):
        super().__init__()
        self.left, self.right, self.stride = left, right, stride

    def call(self, inputs):
        x, lengths = inputs
        x = tf.pad(x * frame_mask(lengths, tf.shape(x)[1]), [(0, 0), (self.left, self.right), (0, 0)])
        return self.join(x), -(-lengths // self.stride)

    def stream(self, inputs, step):
        x, lengths = inputs
        masked = replace(x, values=x.values * step.mask(x, lengths))
        window, delay = step.strided_window(self.name, masked, self.left, self.right, self.stride)
        stride = x.stride * self.stride
        return Frames(self.join(window), delay, stride), Lengths(-(-lengths.values // self.stride), stride)

    def join(self, window):
        last = self.left + self.right
        return tf.concat([window[:, i : i - last or None : self.stride] for i in range(last + 1)], axis=-1)


def twice(layer):
    """The same layer, with a state for each of its calls."""

    def build(x, lengths):
        mask = FrameMask()([x, lengths])
        return layer([layer([x, mask]), mask])

    return build


# Name: (layer on inputs, delay in output frames, tolerance).
LAYERS = {
    "dense": (on_frames(Dense(5)), 0, REORDERED),
    "layer normalization": (on_frames(LayerNormalization()), 0, REORDERED),
    "feature normalization": (on_frames(FeatureNormalization()), 0, EXACT),
    "gated linear unit": (on_frames(GatedLinearUnit()), 0, REORDERED),
    "activation": (on_frames(keras.layers.Activation("swish")), 0, REORDERED),
    "dropout": (on_frames(Dropout(0.5)), 0, EXACT),
    "blank beyond end": (with_mask(BlankBeyondEnd()), 0, EXACT),
    "causal depthwise": (with_mask(DepthwiseConvolution(5, causal=True)), 0, REORDERED),
    "delayed depthwise": (with_mask(DepthwiseConvolution(6)), 3, REORDERED),
    "delayed residual": (delayed_residual, 3, REORDERED),
    "causal convolution": (with_lengths(FeatureConvolution(3, causal=True)), 0, REORDERED),
    "causal subsampling": (subsampling(causal=True), 0, REORDERED),
    "look-ahead subsampling": (subsampling(causal=False), 0, REORDERED),
    "depthwise subsampling": (depthwise_subsampling(causal=False), 0, REORDERED),
    "windows along time": (with_lengths(TimeWindows(5, 2)), 2, EXACT),
    "causal windows side by side": (on_frames(CausalWindows(3)), 0, EXACT),
    "delayed and undelayed side by side": (side_by_side, 3, REORDERED),
    "causal window": (with_lengths(Windows(1, 0, 2)), 0, EXACT),
    "look-ahead window": (with_lengths(Windows(0, 3, 2)), 1, EXACT),
    "window that skips": (with_lengths(Windows(0, 0, 3)), 0, EXACT),
    "causal stacker": (with_lengths(Stacker(0, 2)), 0, EXACT),
    "stacker of one frame ahead": (with_lengths(Stacker(1, 2)), 0, EXACT),
    # It waits for right - stride + 1 = 2 frames, one of those after it.
    "look-ahead stacker": (with_lengths(Stacker(3, 2)), 1, EXACT),
    "look-ahead stacker of stride 3": (with_lengths(Stacker(6, 3)), 2, EXACT),
    "a layer called twice": (twice(DepthwiseConvolution(5, causal=True)), 0, REORDERED),
    "a delayed layer called twice": (twice(DepthwiseConvolution(4)), 4, REORDERED),
    "left context": (attention(4, 0), 0, REORDERED),
    "left context and look-ahead": (attention(5, 2), 2, REORDERED),
    "look-ahead alone": (attention(0, 3), 3, REORDERED),
    "look-ahead on late frames": (attention(3, 2, late=True), 3, REORDERED),
    "chunks": (attention(6, None, chunk=3), 0, REORDERED),
    "rotary left context and look-ahead": (rotary(5, 2), 2, REORDERED),
    "rotary chunks": (rotary(6, None, chunk=3), 0, REORDERED),
    "chunks of late frames": (attention(4, None, chunk=4, late=True), 4, REORDERED),
}


@functools.cache
def build(name: str) -> StreamingModel:
    keras.utils.set_random_seed(1)
    x, lengths = keras.Input([None, CHANNELS], name="x"), keras.Input([], dtype=tf.int32, name="lengths")
    model = keras.Model([x, lengths], LAYERS[name][0](x, lengths))
    random = np.random.default_rng(2)
    for weight in model.trainable_weights:  # biases and gains too
        weight.assign(weight + 0.1 * random.normal(size=weight.shape))
    return StreamingModel(model)


def frames(count: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2, count, CHANNELS)).astype(np.float32)


@pytest.mark.parametrize("pieces", PIECES)
@pytest.mark.parametrize("name", LAYERS)
def test_a_stream_is_the_whole_utterance(name, pieces):
    assert_streams(build(name), frames(29), pieces, LAYERS[name][2])


@pytest.mark.parametrize("name", LAYERS)
def test_delay_is_the_one_expected_and_utterances_may_be_short(name):
    assert build(name).delay == LAYERS[name][1]
    for count in (1, 2, 5):
        assert_streams(build(name), frames(count), 1, LAYERS[name][2])


@pytest.mark.parametrize("name", LAYERS)
def test_nothing_looks_further_ahead_than_the_delay_allows(name):
    """Outputs that are out after n inputs do not change with the inputs that follow."""
    streaming, changed = build(name), 16
    x = frames(32)
    other = x.copy()
    other[:, changed:] += 1.0
    certain = changed // streaming.step_multiple * streaming.step_multiple // streaming.stride - streaming.delay
    np.testing.assert_allclose(
        whole(streaming.model, x)[:, :certain],
        whole(streaming.model, other)[:, :certain],
        rtol=0,
        atol=LAYERS[name][2],
    )


def log_mel_stream(features: FeatureConfig) -> StreamingModel:
    waveform, lengths = keras.Input([None]), keras.Input([], dtype=tf.int32)
    return StreamingModel(keras.Model([waveform, lengths], LogMel(features)([waveform, lengths])[0]))


@pytest.fixture(scope="module")
def front_end() -> StreamingModel:
    return log_mel_stream(FeatureConfig())


@pytest.mark.parametrize(
    ("samples", "pieces"),
    # Sample by sample only where they are few, for it is slow.
    [*itertools.product([0, 399, 400], [1]), *itertools.product([0, 399, 400, 3217], [160, 161, "random"])],
)
def test_front_end(front_end, samples, pieces):
    # 400 samples end in the third step.
    assert (front_end.step_multiple, front_end.stride, front_end.delay) == (160, 160, 2)
    x = np.random.default_rng(samples).uniform(-1, 1, (1, samples)).astype(np.float32)
    # A float32 FFT of more frames at once rounds differently; the logarithm makes the relative error absolute.
    assert_streams(front_end, x, pieces, 1e-5)


def test_front_end_of_centered_frames_with_pre_emphasis():
    streaming = log_mel_stream(FeatureConfig(preemphasis=0.97, centered=True))
    # The 200 samples after the middle of a frame end in the second step.
    assert (streaming.step_multiple, streaming.delay) == (160, 1)
    x = np.random.default_rng(0).uniform(-1, 1, (2, 3217)).astype(np.float32)
    assert_streams(streaming, x, "random", 1e-5)  # as of the front end above


def test_windows_are_the_published_case():
    """The frame stacker of 2210.13761: every third frame with its neighbors."""
    x = np.array([4, 1, 9, 3, 5, 2, 8], np.float32).reshape(1, 7, 1)
    joined, lengths = Windows(1, 1, 3)([x, np.array([7], np.int32)])
    np.testing.assert_array_equal(joined[0], [[0, 4, 1], [9, 3, 5], [2, 8, 0]])
    assert lengths.numpy() == [3]


@pytest.mark.parametrize(("right", "before", "stride"), [(0, 1, 2), (0, 2, 3), (3, 0, 2), (4, 0, 2), (5, 0, 3)])
def test_stackers_hold_the_frames_of_their_windows(right, before, stride):
    """Against `Windows`, which slices frame by frame."""
    x, lengths = frames(13), np.array([13, 6], np.int32)
    actual, actual_lengths = Stacker(right, stride)([x, lengths])
    expected, expected_lengths = Windows(before, right, stride)([x, lengths])
    count = -(-13 // stride)
    np.testing.assert_array_equal(actual[:, : expected.shape[1]], expected[:, :count])
    assert actual.shape[1] == count
    np.testing.assert_array_equal(actual_lengths, expected_lengths)


def test_layers_of_others_stream_if_declared_pointwise():
    class Doubled(keras.layers.Layer):
        def call(self, inputs):
            return 2 * inputs

    x, lengths = keras.Input([None, CHANNELS]), keras.Input([], dtype=tf.int32)
    model = keras.Model([x, lengths], Doubled()(x))
    with pytest.raises(InputError, match=r"doubled .Doubled. cannot run on a stream"):
        StreamingModel(model)
    register_pointwise(Doubled)
    assert_streams(StreamingModel(model), frames(9), 2, EXACT)


def test_what_cannot_stream_is_refused():
    x, lengths = keras.Input([None, CHANNELS]), keras.Input([], dtype=tf.int32)
    with pytest.raises(InputError, match=r"the layer mixer .LSTM. cannot run on a stream"):
        StreamingModel(keras.Model([x, lengths], keras.layers.LSTM(3, name="mixer")(x)))
    for layer in (UtteranceNormalization(name="features"), InstanceNormalization(1e-5, name="features")):
        reason = (
            rf"layer features .{type(layer).__name__}. cannot run on a stream, which lacks the statistics of the whole"
        )
        with pytest.raises(InputError, match=reason):
            StreamingModel(keras.Model([x, lengths], layer([x, lengths])))
    for context in [(None, 0, None), (4, None, None), (None, None, 4)]:
        with pytest.raises(InputError, match="without limits"):
            StreamingModel(keras.Model([x, lengths], attention(*context)(x, lengths)))


def test_bad_chunks_and_states_are_refused():
    streaming = build("causal depthwise")
    stream = streaming.open()
    with pytest.raises(InputError, match="not finite"):
        stream.push(np.full([1, 2, CHANNELS], np.nan))
    with pytest.raises(InputError, match=r"shape \[1, frames, \.\.\.\], got \[1, 2, 3\]"):
        stream.push(np.zeros([1, 2, 3]))
    other = build("left context").zero_state()
    with pytest.raises(InputError, match="the state is not of this model: depthwise"):
        streaming.step(tf.zeros([1, 1, CHANNELS]), tf.constant([1]), other, {})
