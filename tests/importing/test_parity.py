"""Imported models compute what the checkpoint's own code computes, in Keras and in the exported file."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from converters.exporter.pipeline import ExportReport, export_model
from converters.runtime.model import open_model
from tests.importing.conftest import ALL, PARITY, relative_rms
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.importing.layers import separated_sinusoids
from tfconformer.layers.dense import Dense
from tfconformer.quantization.apply import apply_rules
from tfconformer.quantization.spec import QuantizationRule, QuantSpec
from tfconformer.tasks import find_task
from tfconformer.training.post_training import post_training_model

HEADS = {"ctc": "ctc_head", "transducer": "joint_head"}
INT4 = [QuantizationRule(layers=".*", spec=QuantSpec(bits=4, block_size=8))]


@pytest.mark.parametrize(("name", "decoder"), ALL)
def test_features_blocks_and_logits(imported, name, decoder):
    one = imported(name, decoder)
    model, config, expected = one.model, one.config, one.expected
    projection = "feature" if config.model.subsampling_channels is None else "subsampling"
    names = ["feature_normalization", f"{projection}_dropout"]
    names += [f"block_{index:02d}_norm" for index in range(config.model.blocks - 1)]
    last = "final_norm" if config.model.final_norm else f"block_{config.model.blocks - 1:02d}_norm"
    values, lengths = one.features
    assert values.shape[1] == expected["valid"]
    outputs = [model.get_layer(layer).output for layer in (*names, last)]
    if decoder == "ctc":
        outputs.append(model.output["logits"])
    features, *blocks = (one[0].numpy() for one in keras.Model(model.inputs[:2], outputs)([values, lengths]))
    if decoder == "ctc":
        assert relative_rms(blocks.pop(), expected["logits"]) < PARITY
    assert relative_rms(features, expected["features"][: len(features)]) < PARITY
    # The first is the input of the first block.
    for actual, block in zip(blocks, expected["blocks"], strict=True):
        assert relative_rms(actual, block) < PARITY


@pytest.mark.parametrize(("name", "decoder"), ALL)
def test_the_tokenizer_has_the_ids_and_texts_of_the_checkpoint(imported, name, decoder):
    one = imported(name, decoder)
    tokenizer, expected = Tokenizer.from_file(one.run.tokenizer_file), one.expected
    durations = one.config.model.transducer.durations if decoder == "transducer" else ()
    assert tokenizer.vocabulary_size == one.model.get_layer(HEADS[decoder]).units - 1 - len(durations)
    labels = one.labels(expected["ids"])
    assert tokenizer.encode(str(expected["sentence"])) == labels
    assert tokenizer.decode(labels) == str(expected["text"])


@pytest.mark.parametrize(
    "name", ["lasr_ctc", "parakeet_ctc", "nemo_conformer/model.nemo", "wav2vec2_relative", "wav2vec2_rotary"]
)
def test_the_exported_file_computes_the_logits_of_the_checkpoint(imported, name, tmp_path):
    one, output = imported(name), tmp_path / "float.tflite"
    tokenizer = Tokenizer.from_file(one.run.tokenizer_file)
    export_model(one.model, one.config, tokenizer, output, [one.expected["speech"]])
    logits = open_model(output, "ai-edge-litert").run(one.expected["speech"])
    assert relative_rms(logits, one.expected["logits"]) < PARITY


def test_every_matrix_is_packed_after_training(imported, native_library, tmp_path):
    """The export itself compares the file with the quantized Keras model."""
    one = imported("parakeet_ctc")
    model, config = post_training_model(one.run, INT4, "nearest")
    tokenizer = Tokenizer.from_file(one.run.tokenizer_file)
    report = export_model(model, config, tokenizer, tmp_path / "int4.tflite", [one.expected["speech"]])
    assert packed_layers(report) == {layer.name for layer in one.model.layers if isinstance(layer, Dense)}
    assert all(parity.relative_rms < PARITY for parity in report.parity)


@pytest.mark.parametrize("name", ["lasr_ctc", "wav2vec2_none"])
def test_an_imported_model_is_fine_tuned_with_quantization(imported, native_library, tmp_path, name):
    one = imported(name)
    task, tokenizer = find_task(one.config.task), Tokenizer.from_file(one.run.tokenizer_file)
    model = apply_rules(one.model, INT4)
    losses = {name: loss for name, (loss, _) in task.losses(model, 0.0).items()}
    model.compile("adam", losses, run_eagerly=True)  # tracing takes longer than the steps
    inputs, targets = task.example(model, tuple(one.features), tf.constant([tokenizer.encode("the fox")]))
    losses = model.fit(inputs, targets, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    report = export_model(model, one.config, tokenizer, tmp_path / "int4.tflite", [one.expected["speech"]])
    assert packed_layers(report) == {layer.name for layer in one.model.layers if isinstance(layer, Dense)}


def packed_layers(report: ExportReport) -> set[str]:
    return {layer.name for layer in report.layers if layer.spec}


def test_sines_and_cosines_in_turn_are_separated():
    np.testing.assert_array_equal(separated_sinusoids(np.arange(6)[:, None])[:, 0], [0, 2, 4, 1, 3, 5])
