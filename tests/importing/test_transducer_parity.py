"""Imported transducers compute and find what the checkpoint's own code does, in Keras and in the exported file."""

import numpy as np
import pytest

from converters.exporter.pipeline import export_model
from converters.runtime.model import open_model
from converters.runtime.search import new_search
from tests.importing.conftest import CHECKPOINTS, PARITY, TRANSDUCERS, Imported, relative_rms
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.decoding.beam import BeamSearch
from tfconformer.decoding.transducer import BLANK, Network, StepNetwork
from tfconformer.errors import InputError
from tfconformer.importing.run import import_checkpoint
from tfconformer.models.transducer import SCORES, Transducer
from tfconformer.tasks.recognition import recognition_task
from tfconformer.training.run import RunDirectory


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


@pytest.mark.parametrize("name", ["parakeet_rnnt", "parakeet_tdt"])
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
    ids, advances = one.expected["steps"]
    (places,) = np.nonzero(ids != one.blank)
    assert search.starts == (np.cumsum(advances) - advances)[places].tolist()
    if model.metadata.task.search == "tdt":
        assert search.ends == [
            start + max(advances[place], 1) for start, place in zip(search.starts, places, strict=True)
        ]
        with pytest.raises(InputError, match="searched greedily: leave out the width of the beam"):
            new_search(model, BeamSearch(4))


def test_the_loss_with_durations(imported):
    """The negative log-likelihood of the greedy transcript per label."""
    one = imported("nemo_tdt/model.nemo", "transducer")
    labels = np.array([one.labels(one.expected["transcript"])], np.int32)
    scores = one.model([*one.features, labels])[SCORES]
    loss, _ = recognition_task(one.config.task).losses(one.model, 0.0)[SCORES]
    np.testing.assert_allclose(loss(labels, scores), one.expected["loss"], rtol=PARITY)


def test_a_decoder_that_a_model_lacks_is_refused(tmp_path):
    for name, decoder in (("parakeet_ctc", "transducer"), ("parakeet_rnnt", "ctc")):
        with pytest.raises(InputError, match=f"has no decoder '{decoder}': leave the choice out"):
            import_checkpoint(CHECKPOINTS / name, RunDirectory(tmp_path / "run"), decoder=decoder)
