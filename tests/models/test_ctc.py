"""The Conformer: padding, context, sizes and serialization."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from tfconformer.config import load_config
from tfconformer.models.config import SUBSAMPLING, ModelConfig
from tfconformer.models.ctc import conformer_ctc

SMALL = {"blocks": 2, "dim": 16, "heads": 2, "conv_kernel": 5, "subsampling_channels": 4}
MEL_BINS = 16


def build(**changes) -> keras.Model:
    return conformer_ctc(ModelConfig(**{**SMALL, **changes}), MEL_BINS, vocabulary=6)


def features(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(*shape, MEL_BINS)).astype(np.float32)


def logits(model: keras.Model, x: np.ndarray, lengths: list[int] | None = None) -> np.ndarray:
    lengths = [x.shape[1]] * x.shape[0] if lengths is None else lengths
    return model([x, np.array(lengths, np.int32)])["logits"].numpy()


@pytest.mark.parametrize("changes", [{}, {"causal": True, "left_context": 4, "right_context": 0}])
def test_padding_does_not_reach_the_utterance(changes):
    model = build(**changes)
    lengths = [61, 40, 9, 1]
    x = features(len(lengths), 61)
    batch = logits(model, x, lengths)
    for row, length in enumerate(lengths):
        alone = logits(model, x[row : row + 1, :length])[0]
        assert len(alone) == -(-length // SUBSAMPLING)
        # Float32 sums in another order: a few units in the last place of numbers around 1.
        np.testing.assert_allclose(batch[row, : len(alone)], alone, atol=2e-5)
        beyond = batch[row, len(alone) :]
        assert np.all(beyond.argmax(axis=-1) == 0)


@pytest.mark.parametrize("positions", ["relative", "none"])
def test_padding_does_not_reach_an_utterance_of_samples(positions):
    """Its frames are those whose samples are all there."""
    waveform = {"channels": (4, 6), "kernels": (10, 3), "strides": (5, 2)}
    changes = {"subsampling_channels": None, "feature_normalization": "utterance", "activation": "gelu"}
    config = ModelConfig(**{**SMALL, **changes, "waveform": waveform, "positions": positions})
    assert (config.encoder_stride, config.waveform.reach) == (10, 20)
    model = conformer_ctc(config, 1, vocabulary=6)
    lengths = [300, 149, 20]
    x = 0.1 * np.random.default_rng(1).normal(size=(3, 300, 1)).astype(np.float32)
    batch = logits(model, x, lengths)
    for row, length in enumerate(lengths):
        alone = logits(model, x[row : row + 1, :length])[0]
        assert len(alone) == (length - 20) // 10 + 1
        # Float32 sums in another order: a few units in the last place of numbers around 1.
        np.testing.assert_allclose(batch[row, : len(alone)], alone, atol=2e-5)
        assert np.all(batch[row, len(alone) :].argmax(axis=-1) == 0)


@pytest.mark.parametrize(("left", "right"), [(3, 0), (2, 1), (None, 2)])
def test_context_is_limited_as_configured(left, right):
    """Changing one input frame changes exactly the outputs whose receptive field holds it."""
    frames, changed = 160, 80
    model = build(causal=True, left_context=left, right_context=right)
    x = features(1, frames)
    other = x.copy()
    other[0, changed] += 10.0
    difference = np.abs(logits(model, x) - logits(model, other)).max(axis=-1)[0]
    affected = np.flatnonzero(difference > 1e-6)
    blocks, kernel = SMALL["blocks"], SMALL["conv_kernel"]
    # Causal subsampling: output t sees inputs 4t - 6 ... 4t; then every block adds its attention and convolution.
    first, last = -(-changed // SUBSAMPLING), (changed + 6) // SUBSAMPLING
    assert affected.min() == first - blocks * right
    if left is not None:
        assert affected.max() == last + blocks * (left + kernel - 1)


def test_intermediate_head_is_an_output_of_its_own():
    outputs = build(intermediate_ctc=1)([features(1, 40), np.array([40], np.int32)])
    assert outputs["intermediate"].shape == outputs["logits"].shape
    assert not np.allclose(outputs["intermediate"], outputs["logits"])


@pytest.mark.parametrize(
    ("blocks", "dim", "heads", "millions"), [(19, 144, 4, 10.3), (18, 256, 4, 30.7), (17, 512, 8, 118.8)]
)
def test_configured_sizes_are_the_published_ones(blocks, dim, heads, millions):
    name = {144: "conformer_s", 256: "conformer_m", 512: "conformer_l"}[dim]
    config = load_config(f"configs/{name}.yaml")
    assert (config.model.blocks, config.model.dim, config.model.heads) == (blocks, dim, heads)
    # Built without allocating: shapes are enough to count.
    parameters = count_parameters(config.model, config.features.mel_bins, config.data.tokenizer.vocabulary_size)
    assert abs(parameters / (millions * 1e6) - 1) < 0.03


def count_parameters(config: ModelConfig, mel_bins: int, vocabulary: int) -> int:
    """Counts from two shallow models, since every block is the same size."""
    one, two = (
        conformer_ctc(
            config.model_copy(update={"blocks": n, "intermediate_ctc": None}), mel_bins, vocabulary
        ).count_params()
        for n in (1, 2)
    )
    return one + (two - one) * (config.blocks - 1)


# The blocks and stackers of the supplement of 2210.13761, in order, and the delay in ms that its rule gives with frames
# of 10 ms. "c" is a causal block, a number one that attends to so many frames ahead, "s" a causal stacker, "s3" one of
# 3 frames ahead. The last three are our own.
FAMILIES = {
    "causal": ("cc s cc s ccccccccccccc", 0),
    "LSA1": ("cc s cc s ccc 5 ccccccccc", 200),
    "LS1": ("cc s3 ccc s4 cccccccccccc", 80),
    "LSA_LS1": ("cc s3 ccc s4 cc 5 ccccccccc", 280),
    "LSA2": ("cc s cc s ccc 4 cccc 4 cccc", 320),
    "LS2": ("cc s4 ccc s4 cccccccccccc", 90),
    "LSA_LS2": ("cc s4 ccc s4 cc 4 cccc 4 cccc", 410),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_families_of_encoders_are_the_published_ones(name):
    expected, expected_delay = FAMILIES[name]
    config = load_config(f"configs/encoders/{name}.yaml").model
    assert (config.blocks, config.dim, config.left_context, config.causal) == (17, 256, 65, True)
    assert config.encoder_stride == SUBSAMPLING
    stackers = {stacker.after: stacker for stacker in config.stackers}
    layers, delay, frame_ms = "", 0, 10
    for block in range(config.blocks):
        if block in stackers:
            right = stackers[block].right
            layers += f" s{right or ''} "
            delay += max(0, right - 1) * frame_ms
            frame_ms *= stackers[block].stride
        right = config.right_context_of(block)
        layers += f" {right} " if right else "c"
        delay += right * frame_ms
    assert (layers.split(), delay) == (expected.split(), expected_delay)


def test_configuration_round_trip():
    model = build(intermediate_ctc=1)
    copy = keras.Model.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    x = features(2, 37)
    np.testing.assert_array_equal(logits(copy, x), logits(model, x))


def test_shapes_that_are_inferred_without_values_are_theirs():
    model = build()
    inferred = [tensor for layer in model.layers for tensor in tf.nest.flatten(layer.output)]
    values = keras.Model(model.inputs, inferred)([features(2, 61), np.array([61, 40], np.int32)])
    for expected, value in zip(inferred, values, strict=True):
        assert expected.shape.is_compatible_with(value.shape), expected
        assert (expected.dtype, expected.shape.rank) == (value.dtype, value.shape.rank)
        assert expected.shape[-1:] in (value.shape[-1:], [None]), expected
