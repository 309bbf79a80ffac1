"""The Conformer transducer: its lattice against its search, quantization of every matrix, streaming, sizes."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from tests.support.stream_checks import assert_streams
from tfconformer.config import load_config
from tfconformer.decoding.transducer import beam_search, greedy_search
from tfconformer.layers.dense import Dense
from tfconformer.losses.transducer import transducer_log_likelihood
from tfconformer.models.config import SUBSAMPLING, ModelConfig
from tfconformer.models.ctc import conformer_ctc
from tfconformer.models.streaming import StreamingModel
from tfconformer.models.transducer import SCORES, Transducer, conformer_transducer, shared_with_ctc
from tfconformer.quantization.apply import QuantizedLayers, copy_float_weights, quantize_model
from tfconformer.quantization.spec import QuantSpec

SMALL = {"blocks": 1, "dim": 16, "heads": 2, "conv_kernel": 5, "subsampling_channels": 4}
TRANSDUCER = {"embedding": 8, "lstm_units": 12, "joint": 10}
MEL_BINS, VOCABULARY = 16, 3


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(2)


def build(**changes) -> keras.Model:
    model = conformer_transducer(ModelConfig(**SMALL, transducer=TRANSDUCER, **changes), MEL_BINS, VOCABULARY)
    head = model.get_layer("joint_head")
    head.kernel.assign(3 * head.kernel)  # so that labels differ in probability
    return model


def features(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(*shape, MEL_BINS)).astype(np.float32)


def test_padding_of_frames_and_labels_does_not_reach_the_utterance():
    model = build()
    x, lengths = features(2, 40), np.array([40, 18], np.int32)
    labels = np.array([[1, 3, 2, 2], [3, 1, -1, -1]], np.int32)
    together = transducer_log_likelihood(model([x, lengths, labels])[SCORES], [4, 2])
    alone = [
        transducer_log_likelihood(model([x[row : row + 1, :n], np.array([n]), labels[row : row + 1, :u]])[SCORES], [u])[
            0
        ]
        for row, (n, u) in enumerate([(40, 4), (18, 2)])
    ]
    np.testing.assert_allclose(together, alone, rtol=1e-5)  # float32 sums in another order


# Float32 sums in another order. 8-bit activations are rounded anew in every layer, and a value close to a half goes up
# here and down there.
@pytest.mark.parametrize(
    ("spec", "tolerance"),
    [(None, 1e-5), (QuantSpec(bits=4, activation_bits=8), 0.02)],
    ids=["float", "int4 with int8 activations"],
)
def test_the_search_finds_the_probability_that_the_loss_trains(spec, tolerance):
    """The lattice of `fit` and the steps of a search are two graphs of the same layers, quantized or not."""
    model = build()
    if spec is not None:
        names = [layer.name for layer in model.layers if isinstance(layer, Dense)]
        model = quantize_model(model, dict.fromkeys(names, spec))
        parts = {f"prediction_{name}" for name in ("embedding", "lstm_input", "lstm_recurrent")}
        assert parts < QuantizedLayers(model).keys()
    transducer = Transducer(model)
    x, lengths = features(1, 8), np.array([8], np.int32)
    frames = transducer.encode(x, lengths)
    assert frames.shape == (1, 2, TRANSDUCER["joint"])
    found = {one.labels: one.log_probability for one in beam_search(transducer, frames[0], width=200, max_symbols=2)}
    for labels in [(), (1,), (3,), (2, 1), (3, 3)]:
        scores = model([x, lengths, np.array([labels], np.int32).reshape(1, -1)])[SCORES]
        # With two labels in a frame at most, these transcripts have all their alignments.
        np.testing.assert_allclose(found[labels], transducer_log_likelihood(scores, [len(labels)])[0], rtol=tolerance)
    (labels,) = greedy_search(transducer, frames, np.array([2]), max_symbols=2).labels
    assert tuple(labels) in found


def test_every_quantized_matrix_trains():
    model = build()
    names = [layer.name for layer in model.layers if isinstance(layer, Dense)]
    model = quantize_model(model, dict.fromkeys(names, QuantSpec(bits=4)))
    with tf.GradientTape() as tape:
        scores = model([features(1, 20), np.array([20]), np.array([[1, 2]])], training=True)[SCORES]
        value = transducer_log_likelihood(scores, [2])
    gradients = tape.gradient(value, model.trainable_variables)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert np.abs(gradient).max() > 0, variable.name


def test_the_encoder_streams():
    encoder = Transducer(build(causal=True, left_context=4, right_context=1)).encoder
    assert_streams(StreamingModel(encoder), features(1, 61), "random", 2e-5)  # as the CTC model


def test_an_encoder_comes_from_a_ctc_model():
    ctc = conformer_ctc(ModelConfig(**SMALL), MEL_BINS, VOCABULARY)
    model = build()
    copy_float_weights(ctc, shared_with_ctc(model))
    x, lengths = features(1, 40), np.array([40], np.int32)
    last = keras.Model(ctc.inputs, ctc.get_layer("block_00_norm").output)([x, lengths])
    np.testing.assert_array_equal(shared_with_ctc(model)([x, lengths])["encoder"], last)


def test_configuration_round_trip():
    model = build()
    copy = keras.Model.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    inputs = [features(1, 4 * SUBSAMPLING), np.array([4 * SUBSAMPLING]), np.array([[2, 1]])]
    np.testing.assert_array_equal(copy(inputs)[SCORES], model(inputs)[SCORES])


def test_configured_size_is_the_published_one():
    config = load_config("configs/conformer_s_transducer.yaml")
    model = conformer_transducer(config.model, config.features.mel_bins, config.data.tokenizer.vocabulary_size)
    assert (config.model.blocks, config.model.dim, config.model.heads) == (16, 144, 4)
    assert config.model.transducer.lstm_units == 320
    assert abs(model.count_params() / 10.3e6 - 1) < 0.03
