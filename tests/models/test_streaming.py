"""The Conformer on streams, from features and from the waveform, in every attention mode."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from tests.support.stream_checks import assert_streams, whole
from tfconformer.features.config import FeatureConfig
from tfconformer.layers.front_end import LogMel, front_end
from tfconformer.models.config import ModelConfig
from tfconformer.models.ctc import conformer_ctc
from tfconformer.models.streaming import StreamingModel
from tfconformer.quantization.apply import match_layers, quantize_model
from tfconformer.quantization.spec import QuantizationRule, QuantSpec

FEATURES = FeatureConfig(mel_bins=16)
SMALL = {"dim": 16, "heads": 2, "conv_kernel": 5, "subsampling_channels": 4}
# Name: (configuration, unit in 10 ms frames, delay in 40 ms frames behind the features).
MODES = {
    "left context": ({"causal": True, "left_context": 6, "right_context": 0}, 4, 0),
    # Every block waits for its own look-ahead.
    "look-ahead": ({"causal": True, "left_context": 6, "right_context": 2}, 4, 2 * 2),
    "chunks": ({"causal": True, "left_context": 8, "attention_chunk": 4}, 16, 0),
    # Convolutions of 5 frames look 2 ahead in each block.
    # The stackers wait for 2 frames of 10 ms and for 3 of 20 ms, the second block for 2 of 40 ms.
    "stackers": (
        {
            "subsampling_channels": None,
            "causal": True,
            "left_context": 6,
            "right_context": (0, 2),
            "stackers": ({"after": 0, "right": 3}, {"after": 1, "right": 4}),
        },
        4,
        (2 * 1 + 3 * 2 + 2 * 4) // 4,
    ),
    # Windows of 5 along time wait for 2 frames of 20 ms, then 3 of 40 ms; every block for 1 + 2.
    "rotary": (
        {
            "subsampling": "time",
            "positions": "rotary",
            "conv_norm": False,
            "ff_residual": (1.5, 0.5),
            "conv_residual": (2.0, 1.0),
            "final_norm": True,
            "left_context": 6,
            "right_context": 1,
        },
        4,
        3 + 2 * (1 + 2),
    ),
    "look-ahead everywhere": ({"left_context": 6, "right_context": 1}, 4, 2 * (1 + 2)),
}


@functools.cache
def build(mode: str, blocks: int = 2) -> StreamingModel:
    keras.utils.set_random_seed(1)
    config = ModelConfig(**{**SMALL, **MODES[mode][0], "blocks": blocks})
    return StreamingModel(conformer_ctc(config, FEATURES.mel_bins, vocabulary=6))


# The two blocks renormalize sums that are added in another order: a few units in the last place of logits around 1.
TOLERANCE = 2e-5


@pytest.mark.parametrize("pieces", [7, "random"])
@pytest.mark.parametrize("mode", MODES)
def test_from_features(mode, pieces):
    streaming = build(mode)
    _, unit, delay = MODES[mode]
    assert (streaming.step_multiple, streaming.stride, streaming.delay) == (unit, 4, delay)
    x = np.random.default_rng(3).normal(size=(2, 83, FEATURES.mel_bins)).astype(np.float32)
    assert_streams(streaming, x, pieces, TOLERANCE)


def test_from_the_waveform():
    model = build("look-ahead").model
    waveform, lengths = keras.Input([None]), keras.Input([], dtype=tf.int32)
    whole = keras.Model([waveform, lengths], model(LogMel(FEATURES)([waveform, lengths]))["logits"])
    streaming = StreamingModel(whole)
    # The front end is 2 frames of 10 ms late, which the four of a step hide.
    assert (streaming.step_multiple, streaming.lookahead) == (640, 4 * 640)
    x = np.random.default_rng(4).uniform(-0.5, 0.5, (1, 9000)).astype(np.float32)
    assert_streams(streaming, x, "random", 1e-4)  # the front end's 1e-5, amplified by the network


def test_from_samples_by_convolutions():
    """Layer normalization needs no statistics of the utterance."""
    waveform = {"channels": (4, 6), "kernels": (10, 3), "strides": (5, 2), "norm": "layer"}
    limits = {"left_context": 6, "right_context": 1}
    config = ModelConfig(**{**SMALL, **limits, "subsampling_channels": None, "blocks": 1, "waveform": waveform})
    samples, lengths = keras.Input([None]), keras.Input([], dtype=tf.int32)
    features = front_end(FeatureConfig(kind="waveform"), "samples")([samples, lengths])
    model = keras.Model([samples, lengths], conformer_ctc(config, 1, vocabulary=6)(features)["logits"])
    streaming = StreamingModel(model)
    # The first frame has 20 samples, the convolution of the block is 2 frames late, attention one more.
    assert (streaming.step_multiple, streaming.stride, streaming.delay) == (10, 10, 1 + 2 + 1)
    x = np.random.default_rng(7).uniform(-0.5, 0.5, (2, 333)).astype(np.float32)
    assert_streams(streaming, x, "random", TOLERANCE)


def test_look_ahead_of_stackers_is_measured_by_a_change_of_one_sample():
    encoder = build("stackers").model
    waveform, lengths = keras.Input([None]), keras.Input([], dtype=tf.int32)
    model = keras.Model([waveform, lengths], encoder(LogMel(FEATURES)([waveform, lengths]))["logits"])
    changed = np.arange(8000, 9280, 80)
    x = np.random.default_rng(6).uniform(-0.1, 0.1, 16000).astype(np.float32)
    batch = np.repeat(x[np.newaxis], 1 + len(changed), axis=0)
    batch[1 + np.arange(len(changed)), changed] += 1.0
    logits = model([batch, np.full(len(batch), 16000, np.int32)]).numpy()
    different = np.abs(logits[1:] - logits[0]).max(axis=-1) > 1e-6
    # Frame k has the samples up to 640 (k + 1); a feature frame ends 240 samples after those of its own 10 ms.
    ahead = np.max(changed - 640 * (different.argmax(axis=1) + 1))
    expected = (2 * 1 + 3 * 2 + 2 * 4) * 160 + 240
    assert expected - 80 <= ahead < expected
    assert ahead < StreamingModel(model).lookahead < ahead + 640


# Name: (spec of all dense layers, tolerance relative to the largest logit). Codes are the same on streams, and so are
# products but for the order of their sums; a value close to a half goes up here and down there when activations are
# quantized, which moves a logit by a step of 1/127 of what it is summed from.
QUANTIZED = {
    "int8": ({"bits": 8}, 1e-5),
    "int4": ({"bits": 4, "block_size": 8}, 1e-5),
    "int2": ({"bits": 2, "symmetric": False, "block_size": 8}, 1e-5),
    "int8 activations": ({"bits": 8, "activation_bits": 8}, 0.03),
}


@pytest.mark.parametrize("name", QUANTIZED)
def test_quantized(name):
    spec, tolerance = QUANTIZED[name]
    model = build("chunks", blocks=1).model
    specs = match_layers(model, [QuantizationRule(layers=".*", spec=QuantSpec(**spec))])
    quantized = quantize_model(model, specs)
    x = np.random.default_rng(5).normal(size=(1, 83, FEATURES.mel_bins)).astype(np.float32)
    expected = whole(quantized, x)
    assert np.abs(expected - whole(model, x)).max() > 1e-3, "quantized weights compute something else"
    assert_streams(StreamingModel(quantized), x, "random", tolerance * np.abs(expected).max())
