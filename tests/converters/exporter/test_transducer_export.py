"""Exported transducers: every graph computes what the Keras model computes, and searches hear the same labels."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.evaluation.evaluate import evaluate
from converters.exporter.verify import (
    RELATIVE_RMS_LIMIT,
    VerificationError,
    keras_references,
    verify_outputs,
    verify_weights,
)
from converters.flatbuffer.editor import GraphFile
from converters.flatbuffer.metadata import METADATA, ModelMetadata
from converters.flatbuffer.model_file import read_model_file
from converters.flatbuffer.reader import Signature, read_tflite
from converters.runtime.isolated import IsolatedRecognizer
from converters.runtime.model import RUNTIMES, open_model
from converters.runtime.stream_model import open_stream
from converters.streaming.online_recognizer import OnlineRecognizer
from tests.support.tflite_builder import ModelBuilder
from tests.support.tiny_conformer import tiny_tokenizer
from tfconformer.decoding.beam import BeamSearch
from tfconformer.decoding.transducer import StepNetwork, beam_search
from tfconformer.errors import InputError
from tfconformer.models.transducer import Transducer

pytestmark = pytest.mark.usefixtures("native_library")
RATE = 16000
FILES = ["transducer_stream", "whole_transducer", "late_transducer"]


@pytest.fixture(scope="module")
def references(transducer_stream, waveforms):
    """Of the model of `transducer_stream` and `whole_transducer`."""
    return references_to(transducer_stream, waveforms)


@pytest.fixture(scope="module")
def late_references(late_transducer, waveforms):
    return references_to(late_transducer, waveforms)


def references_to(exported, waveforms):
    return keras_references(exported.prepared.task, exported.trained, exported.config, waveforms)


def references_of(name, request):
    return request.getfixturevalue("late_references" if name == "late_transducer" else "references")


def test_the_model_says_something(references, late_references):
    """Otherwise nothing below tests anything."""
    for one in (references[-1], late_references[-1]):
        starts = one.trace.path.starts
        assert len(set(one.trace.hypothesis)) > 1
        assert 3 < len(set(starts)) < 48, "frames with labels, of 50"


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", FILES)
def test_every_graph_computes_what_keras_computes(name, runtime, request, references, late_references):
    file = request.getfixturevalue(name)
    # Along the path of the Keras model: of encoder, prediction network with its state, and joint network.
    parity = verify_outputs(file.path, file.prepared.task, references_of(name, request), file.prepared.plans, runtime)
    # Activations are in float: only the order of float32 sums differs.
    assert parity.relative_rms < 1e-5 < RELATIVE_RMS_LIMIT[None]
    assert parity.different_hypotheses == 0
    verify_weights(file.path, file.trained, file.prepared.plans)


def test_a_step_of_each_network_is_that_of_keras(transducer_stream, waveforms):
    keras_model, model = Transducer(transducer_stream.trained), StepNetwork(open_model(transducer_stream.path))
    random = np.random.default_rng(0)
    state = random.normal(size=(3, 2, 24)).astype(np.float32)
    labels = np.array([0, 1, 29], np.int32)
    encodings = random.normal(size=(3, 20)).astype(np.float32)
    predictions, after = model.predict(labels, state)
    for ours, theirs in zip((predictions, after), keras_model.predict(labels, state), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)  # float32 sums of some ten terms of order one
    logits = model.join(encodings, predictions)
    np.testing.assert_allclose(logits, keras_model.join(encodings, predictions), atol=1e-4)  # logits of order ten
    np.testing.assert_array_equal(model.start(2), keras_model.start(2))


def test_it_says_how_it_is_used(transducer_stream, whole_transducer):
    file = read_tflite(transducer_stream.path)
    assert file.signatures.keys() == {"encode_step", "flush", "predict", "join"}
    assert file.signatures["encode_step"] == file.signatures["flush"]
    assert {"encoded", "frames"} < file.signatures["encode_step"].outputs
    metadata = ModelMetadata.read(transducer_stream.path)
    first, predict, join = metadata.graphs
    assert first.stream is not None and first.output.name == "encoded"
    task = metadata.task.model_dump(exclude_none=True)  # as the file has it
    expected = {"name": "recognition_transducer", "search": "transducer", "vocabulary": 29, "max_symbols": 5}
    assert task == expected
    assert [(one.name, one.shape) for one in predict.states] == [("state", (1, 2, 24))]
    assert [(one.name, one.shape) for one in join.inputs] == [("encoding", (1, 20)), ("prediction", (1, 20))]
    assert join.output.shape == (1, 30)
    whole = read_tflite(whole_transducer.path)
    assert whole.signatures.keys() == {"encode", "predict", "join"}
    assert whole.signatures["encode"] == Signature(frozenset({"waveform"}), frozenset({"encoded"}))
    of_whole = ModelMetadata.read(whole_transducer.path)
    assert (of_whole.task, of_whole.graphs[1:]) == (metadata.task, metadata.graphs[1:])


def test_weights_are_in_it_once(transducer_stream):
    layers = {layer["name"]: layer for layer in json.loads(metadata_of(transducer_stream))["layers"]}
    decoder = {name for name in layers if name.startswith(("prediction_", "joint_"))}
    assert decoder == {
        "prediction_embedding",
        "prediction_lstm_input",
        "prediction_lstm_recurrent",
        "joint_prediction",
        "joint_encoder",
        "joint_head",
    }
    assert (layers["prediction_lstm_recurrent"]["k"], layers["prediction_lstm_recurrent"]["n"]) == (24, 96)
    matrices = read_model_file(transducer_stream.path).matrices
    assert len(matrices) == sum(layer["kind"] == "dense" for layer in layers.values())
    constants = sum(
        layer.get(f"{part}_bytes", 0) for layer in layers.values() for part in ("float", "code", "scale", "offset")
    )
    mel_filter_bank, window, structure = 257 * 80 * 4, 400 * 4, 100_000
    metadata = len(metadata_of(transducer_stream))
    assert transducer_stream.path.stat().st_size < constants + mel_filter_bank + window + metadata + structure


def metadata_of(exported) -> bytes:
    return read_tflite(exported.path).metadata[METADATA]


@pytest.mark.parametrize("size", [33, 640, 1920, 5000, 10**6])
@pytest.mark.parametrize("name", ["transducer_stream", "late_transducer"])
def test_pieces_of_any_size_give_the_labels_of_the_whole(name, size, request, references, late_references):
    recognizer = OnlineRecognizer(request.getfixturevalue(name).path, rules=())
    reference = references_of(name, request)[-1]
    texts = []
    for start in range(0, len(reference.waveform), size):
        recognizer.accept_waveform(RATE, reference.waveform[start : start + size])
        recognizer.decode()
        texts.append(recognizer.result.tokens)
    recognizer.input_finished()
    recognizer.decode()
    result = recognizer.result
    assert result.is_final
    assert result.text == tiny_tokenizer().decode(reference.trace.hypothesis)
    assert result.timestamps == tuple(0.04 * start for start in reference.trace.path.starts)
    # A greedy search changes nothing that it has said.
    assert all(result.tokens[: len(text)] == text for text in texts)


def test_the_next_utterance_begins_anew(transducer_stream, references):
    recognizer = OnlineRecognizer(transducer_stream.path, rules=())
    for reference in (*references, references[0]):
        recognizer.accept_waveform(RATE, reference.waveform)
        recognizer.input_finished()
        recognizer.decode()
        assert recognizer.result.text == tiny_tokenizer().decode(reference.trace.hypothesis)
        recognizer.reset()


def test_silence_is_counted_from_the_last_label(late_transducer, late_references):
    recognizer, reference = OnlineRecognizer(late_transducer.path), late_references[-1]
    recognizer.accept_waveform(RATE, reference.waveform)
    recognizer.input_finished()
    recognizer.decode()
    search, last = recognizer._search, reference.trace.path.starts[-1]
    assert (search.frames, search.trailing_blanks) == (50, 49 - last)


def test_a_beam_is_that_of_keras(transducer_stream, whole_transducer, references):
    reference = references[1]
    model = open_model(whole_transducer.path)
    encodings = model.run(reference.waveform)
    expected = beam_search(Transducer(transducer_stream.trained), encodings, width=3)[0]
    recognizer = OnlineRecognizer(transducer_stream.path, rules=(), beam=BeamSearch(3))
    recognizer.accept_waveform(RATE, reference.waveform)
    recognizer.input_finished()
    recognizer.decode()
    assert recognizer.result.text == tiny_tokenizer().decode(expected.labels)
    timestamps = recognizer.result.timestamps
    assert len(timestamps) == len(expected.labels) and list(timestamps) == sorted(timestamps)
    with IsolatedRecognizer(whole_transducer.path, "ai-edge-litert", beam=BeamSearch(3)) as isolated:
        assert isolated.decode(reference.waveform).ids == list(expected.labels)


@pytest.mark.parametrize("name", ["transducer_stream", "whole_transducer"])
def test_files_are_scored(name, request, references):
    path = request.getfixturevalue(name).path
    texts = [tiny_tokenizer().decode(one.trace.hypothesis) for one in references]
    utterances = [(one.waveform, text, text[:9]) for one, text in zip(references, texts, strict=True)]
    evaluation = evaluate(path, utterances)
    assert [one.hypothesis for one in evaluation.utterances] == texts
    assert evaluation.row("tiny", "test").accuracy.wer == 0
    assert all(one.compute_seconds > 0 for one in evaluation.utterances)


def test_wrong_states_and_labels_are_refused(transducer_stream):
    decoder = StepNetwork(open_stream(transducer_stream.path), vocabulary=29)
    state = decoder.start(1)
    for label in (-1, 30):
        with pytest.raises(InputError, match=rf"label lies in \[0, 29\], got {label}"):
            decoder.predict(np.array([label], np.int32), state)
    label = np.zeros(1, np.int32)
    with pytest.raises(InputError, match=r"the state is not of these hypotheses: it should have 1 rows, got 2"):
        decoder.predict(label, np.concatenate([state, state]))
    for wrong in (state[:, :1], state.astype(np.float64)):
        with pytest.raises(InputError, match=r"the state is not of this model: it should be float32 \[1, 2, 24\]"):
            decoder.predict(label, wrong)
    prediction, _ = decoder.predict(label, state)
    with pytest.raises(InputError, match=r"the encoding is not of this model: .* got float32 \[1, 19\]"):
        decoder.join(prediction[:, :19], prediction)
    with pytest.raises(InputError, match=r"the prediction is not of this model"):
        decoder.join(prediction, prediction[:, :19])


def test_outputs_of_another_shape_are_refused(transducer_stream, tmp_path):
    """A graph whose activation reads another tensor: the search would fail far from the file."""
    file = GraphFile.parse(transducer_stream.path.read_bytes())
    (join,) = (one for one in file.model.signatureDefs if one.signatureKey == b"join")
    subgraph = file.graphs[join.subgraphIndex].subgraph
    codes = [file.model.operatorCodes[one.opcodeIndex].builtinCode for one in subgraph.operators]
    (matrix,) = (index for index, one in enumerate(subgraph.tensors) if len(one.shape) == 2 and one.shape[0] > 1)
    subgraph.operators[codes.index(schema.BuiltinOperator.TANH)].inputs = np.array([matrix], np.int32)
    (tmp_path / "damaged.tflite").write_bytes(file.to_bytes())
    model = open_model(tmp_path / "damaged.tflite")
    rows = np.zeros([1, 20], np.float32)
    with pytest.raises(InputError, match=r"damaged.tflite: join computes float32 \[.*\] as logits, which should be"):
        StepNetwork(model).join(rows, rows)


@pytest.mark.parametrize("layer", ["prediction_lstm_recurrent", "prediction_embedding", "joint_encoder", "joint_head"])
def test_a_mistake_in_the_decoder_is_found(transducer_stream, waveforms, layer):
    """One matrix, a tenth too large."""
    trained = transducer_stream.trained
    names = {one.name.removeprefix("quant_"): one for one in trained.layers}
    kernel = getattr(names[layer], "layer", names[layer]).kernel
    value = kernel.numpy()
    kernel.assign(1.1 * value)
    try:
        references = references_to(transducer_stream, waveforms[1:2])
    finally:
        kernel.assign(value)
    prepared = transducer_stream.prepared
    with pytest.raises(VerificationError, match="relative RMS"):
        verify_outputs(transducer_stream.path, prepared.task, references, prepared.plans, "ai-edge-litert")


def test_files_that_do_not_fit_their_description_are_refused(whole_transducer, tmp_path):
    path = tmp_path / "other.tflite"
    metadata = json.loads(metadata_of(whole_transducer))

    def refused(content) -> str:
        builder = ModelBuilder()
        builder.metadata(METADATA, content)
        samples = builder.tensor("waveform", [1, -1])
        encoded = builder.reshape(samples, [1, -1, 20], "encoded")
        builder.signature("encode", {"waveform": samples}, {"encoded": encoded})
        path.write_bytes(builder.build([samples], [encoded]))
        with pytest.raises(InputError) as error:
            open_model(path)
        return str(error.value)

    assert "no signature 'transcribe'" in refused({"format": 1})
    assert "no signature 'predict', which its metadata describe" in refused(metadata)
    predict = metadata["graphs"][1]
    wrong = [metadata["graphs"][0], predict | {"outputs": []}]
    assert "graphs.1.outputs in its TFCONFORMER metadata" in refused(metadata | {"graphs": wrong})
    assert "metadata of version 1 are incomplete" in refused({"format": 1, "transducer": {"joint": 20}})
