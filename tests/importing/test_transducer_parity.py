"""Imported transducers compute and find what the checkpoint's own code does, in Keras and in the exported file."""

import numpy as np
import pytest

from converters.exporter.pipeline import export_model
from converters.runtime.model import open_model
from converters.runtime.search import new_search
from tests.importing.conftest import CHECKPOINTS, PARITY, TRANSDUCERS, Imported, relative_rms
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.decoding.transducer import BLANK, Network, StepNetwork
from tfconformer.errors import InputError
from tfconformer.importing.run import import_checkpoint
from tfconformer.layers.dense import Dense
from tfconformer.models.transducer import Transducer
from tfconformer.quantization.spec import QuantizationRule, QuantSpec
from tfconformer.tasks.recognition import recognition_task
from tfconformer.training.post_training import post_training_model
from tfconformer.training.run import RunDirectory

MIXED = [
    QuantizationRule(layers="joint_.*", spec=QuantSpec(bits=8)),
    QuantizationRule(layers=".*", spec=QuantSpec(bits=4, block_size=8)),
]


def check_networks(network: Network, encodings: np.ndarray, one: Imported) -> None:
    """Compares encodings, predictions along the greedy transcript, and the logits of their lattice."""
    expected = one.expected
    assert relative_rms(encodings, expected["encodings"][: len(encodings)]) < PARITY
    state, predictions = network.start(1), []
    for label in [BLANK, *one.labels(expected["transcript"])]:
        (prediction,), state = network.predict(np.array([label], np.int32), state)
        predictions.append(prediction)
    assert relative_rms(np.array(predictions), expected["predictions"]) < PARITY
    logits = [
        network.join(np.repeat(encoding[np.newaxis], len(predictions), axis=0), np.array(predictions))
        for encoding in encodings
    ]
    assert relative_rms(np.array(logits), expected["logits"][: len(encodings)]) < PARITY


@pytest.mark.parametrize("name", TRANSDUCERS)
def test_the_networks_and_the_transcript_in_keras(imported, name):
    one = imported(name, "transducer")
    labels = one.labels(one.expected["transcript"])
    assert len(set(labels)) > 3, "otherwise nothing is tested"
    transducer = Transducer(one.model)
    (encodings,) = transducer.encode(*one.features)
    check_networks(transducer, encodings, one)
    recognize = recognition_task(one.config.task).recognizer(one.model, Tokenizer.from_file(one.run.tokenizer_file))
    assert recognize(*one.features) == [labels]


@pytest.mark.parametrize("name", ["parakeet_rnnt"])
def test_the_networks_and_the_transcript_in_a_file(imported, name, tmp_path):
    one, output = imported(name, "transducer"), tmp_path / "float.tflite"
    tokenizer, speech = Tokenizer.from_file(one.run.tokenizer_file), one.expected["speech"]
    export_model(one.model, one.config, tokenizer, output, [speech])
    model = open_model(output, "ai-edge-litert")
    encodings = model.run(speech)
    check_networks(StepNetwork(model), encodings, one)
    search = new_search(model)
    search.push(encodings)
    assert search.ids == one.labels(one.expected["transcript"])


@pytest.mark.parametrize("name", ["parakeet_rnnt"])
def test_every_matrix_of_a_transducer_is_packed(imported, native_library, name, tmp_path):
    """The export itself compares the file with the quantized Keras model, along its greedy path."""
    one = imported(name, "transducer")
    model, config = post_training_model(one.run, MIXED, "nearest")
    tokenizer = Tokenizer.from_file(one.run.tokenizer_file)
    report = export_model(model, config, tokenizer, tmp_path / "int4.tflite", [one.expected["speech"]])
    packed = {layer.name: layer.spec["bits"] for layer in report.layers if layer.spec}
    assert packed.keys() == {layer.name for layer in one.model.layers if isinstance(layer, Dense)}
    assert (packed["joint_head"], packed["prediction_lstm_recurrent_1"]) == (8, 4)
    assert all(parity.relative_rms < PARITY for parity in report.parity)


def test_a_decoder_that_a_model_lacks_is_refused(tmp_path):
    for name, decoder in (("parakeet_ctc", "transducer"), ("parakeet_rnnt", "ctc")):
        with pytest.raises(InputError, match=f"has no decoder '{decoder}': leave the choice out"):
            import_checkpoint(CHECKPOINTS / name, RunDirectory(tmp_path / "run"), decoder=decoder)
