"""An imported transducer is trained further, then quantized after training and by training, and exported both ways."""

import shutil

import pytest
import tensorflow as tf
import tf_keras as keras

from converters.exporter.pipeline import export_model
from tests.importing.conftest import Imported
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.layers.dense import Dense
from tfconformer.quantization.apply import apply_rules
from tfconformer.quantization.spec import QuantizationRule, QuantSpec
from tfconformer.tasks import find_task
from tfconformer.training.checkpoint import load_model
from tfconformer.training.post_training import post_training_model
from tfconformer.training.run import RunDirectory

pytestmark = pytest.mark.timeout(900)  # two trainings and two exports
RULES = [
    QuantizationRule(layers="joint_.*", spec=QuantSpec(bits=8)),
    QuantizationRule(layers=".*", spec=QuantSpec(bits=4, block_size=8)),
]


def fit(model: keras.Model, one: Imported, tokenizer: Tokenizer) -> tuple[float, float]:
    """Trains a model for three steps with the speech of the checkpoint; returns the losses before and after."""
    task = find_task(one.config.task)
    losses = {name: loss for name, (loss, _) in task.losses(model, 0.0).items()}
    model.compile("adam", losses, run_eagerly=True)  # tracing takes longer than the steps
    inputs, targets = task.example(model, tuple(one.features), tf.constant([tokenizer.encode("the fox")]))
    before = model.evaluate(inputs, targets, verbose=0, return_dict=True)["loss"]  # without dropout
    model.fit(inputs, targets, epochs=3, verbose=0)
    return before, model.evaluate(inputs, targets, verbose=0, return_dict=True)["loss"]


def test_from_a_checkpoint_to_four_bits(imported, native_library, tmp_path):
    """Exports compare every weight and the logits along the greedy path with the Keras model's."""
    keras.utils.set_random_seed(0)
    one = imported("parakeet_tdt", "transducer")
    tokenizer, speech = Tokenizer.from_file(one.run.tokenizer_file), [one.expected["speech"]]
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(one.run.path, run.path)
    trained = load_model(run)
    before, after = fit(trained, one, tokenizer)
    assert after < before
    trained.save_weights(run.weights_file)
    rounded, config = post_training_model(run, RULES, "nearest")
    tuned = apply_rules(trained, RULES)
    before, after = fit(tuned, one, tokenizer)
    assert after < before
    for name, model in (("rounded", rounded), ("tuned", tuned)):
        report = export_model(model, config, tokenizer, tmp_path / f"{name}.tflite", speech)
        packed = {layer.name: layer.spec["bits"] for layer in report.layers if layer.spec}
        assert packed.keys() == {layer.name for layer in one.model.layers if isinstance(layer, Dense)}
        assert (packed["joint_head"], packed["prediction_lstm_recurrent_1"]) == (8, 4)
