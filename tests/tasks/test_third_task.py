"""A task that is defined in this file alone trains, is exported, runs and streams without a change elsewhere.

`Loudness` predicts the mean of the features at every encoder frame; a step graph with a state smooths its output.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from converters.exporter.pipeline import ExportReport, export
from converters.flatbuffer.metadata import ModelMetadata
from converters.runtime.model import RUNTIMES, open_model
from converters.runtime.search import new_search
from converters.runtime.stream_model import StreamModel
from converters.runtime.transcribe import transcribe
from tests.support.tiny_conformer import ONE_BLOCK, STREAMING, tiny_config, tiny_waveforms
from tfconformer.config import Config
from tfconformer.errors import InputError
from tfconformer.layers.dense import Dense, float_layer
from tfconformer.models.config import SUBSAMPLING
from tfconformer.models.encoder import encoder, encoder_inputs
from tfconformer.tasks import find_task, register_task, task_names
from tfconformer.tasks.graphs import AudioGraph, StepGraph
from tfconformer.tasks.task import Task, Trace
from tfconformer.training.run import RunDirectory
from tfconformer.training.train import train

pytestmark = pytest.mark.usefixtures("native_library")
SMOOTHING = 0.5


class Loudness(Task):
    """The mean of the features at every encoder frame, smoothed."""

    name = "loudness"
    metric = "error"

    def build(self, config, mel_bins, vocabulary):
        features, lengths = encoder_inputs(mel_bins)
        x = encoder(config, features, lengths, vocabulary).blocks[-1]
        loudness = Dense(4, name="smoothing_input")(Dense(1, name="loudness_head")(x))
        return keras.Model([features, lengths], {"loudness": loudness}, name=self.name)

    def example(self, model, inputs, labels):
        features, _ = inputs
        target = tf.reduce_mean(features, axis=2)[:, ::SUBSAMPLING, tf.newaxis]
        return inputs, {"loudness": tf.repeat(target, 4, axis=2)}

    def losses(self, model, auxiliary_weight):
        return {"loudness": (keras.losses.MeanSquaredError(), 1.0)}

    def exported_part(self, trained, streaming):
        return keras.Model(trained.inputs, trained.output["loudness"], name=trained.name)

    def graphs(self, exported):
        layers = {float_layer(layer).name: layer for layer in exported.layers}
        audio = keras.Model(exported.inputs, layers["loudness_head"].output)
        value = keras.Input([1])
        expand = keras.Model(value, layers["smoothing_input"](value))

        def smooth(value, average):
            average = SMOOTHING * average + expand(value)
            return {"smoothed": average, "average": average}

        one, four = tf.TensorSpec([1, 1], tf.float32, "value"), tf.TensorSpec([1, 4], tf.float32, "average")
        output = tf.TensorSpec([1, 4], tf.float32, "smoothed")
        return AudioGraph("measure", audio, "loudness"), (
            StepGraph("smooth", (one, four), (output,), ("average",), smooth, (expand,)),
        )

    def describe(self, exported):
        return {"smoothing": SMOOTHING}

    def dev_metric(self, model, tokenizer):
        def score(batches):
            errors = 0.0
            for inputs, texts, _ in batches:
                _, targets = self.example(model, inputs, texts)
                errors += float(tf.reduce_sum(tf.abs(model(inputs)["loudness"] - targets["loudness"])))
            return errors, 1.0

        return score

    def trace(self, graphs, waveform, path=None):
        state, smoothed = graphs.zero_states("smooth"), []
        for value in graphs.run(waveform):
            outputs = graphs.call("smooth", {"value": value[np.newaxis], **state})
            smoothed.append(outputs.pop("smoothed")[0])
            state = outputs
        return Trace(np.stack(smoothed))


@pytest.fixture(scope="module", autouse=True)
def registered():
    if "loudness" not in task_names():  # once in a process
        register_task(Loudness())


@pytest.fixture(scope="module")
def run(registered, tiny_shards, tmp_path_factory) -> RunDirectory:
    """A run of one step of quantization-aware training."""
    tree = tiny_config([{"layers": ".*", "spec": {"bits": 4, "block_size": 16}}], STREAMING | ONE_BLOCK).model_dump()
    config = Config.model_validate(tree | {"task": "loudness", "data": {"train": [tiny_shards], "dev": [tiny_shards]}})
    directory = RunDirectory(tmp_path_factory.mktemp("loudness"))
    train(config, directory)
    return directory


def test_a_step_of_training_is_scored_by_the_metric_of_the_task(run):
    (epoch,) = run.history()
    assert epoch["error"] == pytest.approx(epoch["error_test"])
    assert run.weights_file.is_file()


@pytest.fixture(scope="module", params=[False, True], ids=["offline", "streaming"])
def streaming(request) -> bool:
    return request.param


@pytest.fixture(scope="module")
def exported(run, streaming, tmp_path_factory) -> tuple[Path, ExportReport]:
    """The file of the run, verified in every runtime."""
    path = tmp_path_factory.mktemp("exported") / "loudness.tflite"
    return path, export(run, path, tiny_waveforms()[:2], RUNTIMES, streaming=streaming)


def test_its_file_runs_and_streams_in_every_runtime(exported, streaming):
    path, report = exported
    # Weights alone are quantized: only the order of float32 sums differs.
    assert all(parity.relative_rms < 1e-5 for parity in report.parity)
    assert "smoothing_input" in {layer.name for layer in report.layers if layer.spec}
    metadata = ModelMetadata.read(path)
    assert metadata.task.search is None
    assert metadata.task.model_dump(exclude_none=True) == {"name": "loudness", "smoothing": SMOOTHING}
    signatures = [graph.signature for graph in metadata.graphs]
    assert signatures == ["encode_step" if streaming else "measure", "smooth"]
    model, waveform = open_model(path), tiny_waveforms()[2]
    assert isinstance(model, StreamModel) == streaming
    assert model.run(waveform).shape == (50, 1)
    trace = find_task("loudness").trace(model, waveform)
    assert trace.values.shape == (50, 4)
    assert trace.hypothesis is None


def test_it_has_no_search(exported):
    path, _ = exported
    with pytest.raises(InputError, match="its task loudness has no search of ctc, transducer"):
        new_search(open_model(path))
    with pytest.raises(InputError, match="its task loudness has no search of ctc, transducer"):
        transcribe(path, "any.wav")


def test_names_of_tasks_are_unique_and_listed():
    with pytest.raises(ValueError, match="there is a task 'loudness' already"):
        register_task(Loudness())
    names = "conversion, loudness, recognition_ctc, recognition_transducer, speech_to_speech, vocoder"
    with pytest.raises(InputError, match=f"expected one of {names}"):
        find_task("translation")
