"""Streaming files: the logits of the whole utterance in every runtime, and state that goes in and out."""

from __future__ import annotations

import json

import numpy as np
import pytest

from converters.exporter.freeze_streaming import FLUSH, STEP
from converters.exporter.verify import RELATIVE_RMS_LIMIT, Reference, keras_references, verify_outputs, verify_weights
from converters.flatbuffer.editor import GraphFile
from converters.flatbuffer.metadata import METADATA, ModelMetadata
from converters.flatbuffer.model_file import read_model_file
from converters.flatbuffer.reader import read_tflite
from converters.runtime.model import RUNTIMES, open_model
from converters.runtime.stream_model import open_stream
from tests.support.edited_file import with_constant
from tests.support.forked import forked
from tests.support.small_files import write_stream
from tests.support.tflite_builder import ModelBuilder
from tfconformer.errors import InputError

pytestmark = pytest.mark.usefixtures("native_library")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_streaming_file_is_the_file_for_whole_utterances(stream, whole_of_stream, waveforms, runtime):
    whole = open_model(whole_of_stream.path, runtime)
    task = stream.prepared.task
    references = [Reference(waveform, task.trace(whole, waveform)) for waveform in waveforms]
    assert RELATIVE_RMS_LIMIT[None] < 1e-3  # activations are in float
    parity = verify_outputs(stream.path, task, references, stream.prepared.plans, runtime)
    assert parity.different_hypotheses == 0
    verify_weights(stream.path, stream.trained, stream.prepared.plans)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("file", "blocks"), [("late_stream", 1), ("late_packed_stream", 2)])
def test_late_logits_are_the_keras_model_s(file, blocks, waveforms, runtime, request):
    exported = request.getfixturevalue(file)
    model = open_stream(exported.path, runtime)
    delay = 1 + blocks * (1 + 2)  # one frame in the subsampling; in every block one in attention, two in convolution
    assert (model.description.delay_frames, model.description.flush_samples) == (delay, delay * 640)
    for reference in keras_references(exported.prepared.task, exported.trained, exported.config, waveforms):
        # Float32 sums in another order, as in `test_freeze.py`.
        np.testing.assert_allclose(
            model.run(reference.waveform), reference.trace.values, atol=1e-4 * np.abs(reference.trace.values).max()
        )


def test_it_says_how_it_is_used_and_is_one_graph_with_two_names(stream, whole_of_stream):
    file = read_tflite(stream.path)
    assert file.signatures.keys() == {STEP, FLUSH}
    assert file.signatures[STEP] == file.signatures[FLUSH]
    (graph,) = ModelMetadata.read(stream.path).graphs
    described = graph.stream
    assert (described.sample_rate, described.step_samples, described.frame_samples) == (16000, 3 * 640, 640)
    assert (described.delay_frames, described.flush_samples) == (0, 0)
    states = {state.name: state.shape for state in graph.states}
    assert states["block_01_attention_key"] == (1, 32, 16)  # 10 past frames and 3 new ones, in columns
    assert states["block_01_attention_value"] == (1, 13, 32)
    assert states["block_01_conv_depthwise"] == (1, 4, 32)
    # 320 samples, two frames of features and one of the first convolution; keys, values and convolution of two blocks;
    # two counters.
    assert graph.state_bytes == 4 * (320 + 2 * 80 + 40 * 3 + 2 * (32 * 16 + 13 * 32 + 4 * 32) + 2)
    # Nothing is there twice: each of the two tables of projected positions, 13 rows of 32, replaces a matrix.
    tables = 2 * 13 * 32 * 4
    assert stream.path.stat().st_size < whole_of_stream.path.stat().st_size + tables + 20_000
    layers = {layer.name: layer for layer in read_model_file(stream.path).layer_rows()}
    assert layers["block_00_attention/position"].bytes == tables / 2
    assert "block_00_attention_position" not in layers


def test_a_child_process_continues_the_stream_of_its_parent(stream, waveforms):
    model = open_stream(stream.path, threads=2)
    size = model.description.step_samples
    first, second = waveforms[2][:size], waveforms[2][size : 2 * size]
    model.step(first)
    of_child = forked(lambda: (model.step(second), model.state()))
    np.testing.assert_array_equal(of_child[0], model.step(second))
    for name, value in model.state().items():
        np.testing.assert_array_equal(of_child[1][name], value, err_msg=name)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    ("file", "operand", "dtype", "value", "sentence"),
    [
        ("stream", "/params", np.int32, 0, "params: version is 0, expected 3"),
        ("stream", "/scales", np.float16, np.nan, "scale 0 of channel 0"),
        ("transducer_stream", "/scales", np.float16, np.nan, "scale 0 of channel 0"),
    ],
)
def test_a_refused_layer_is_one_sentence(file, operand, dtype, value, sentence, runtime, tmp_path, request):
    path = tmp_path / "model.tflite"
    path.write_bytes(with_constant(request.getfixturevalue(file).path, operand, dtype, 0, value))
    with pytest.raises(InputError) as error:
        open_model(path, runtime)
    assert sentence in str(error.value) and "\n" not in str(error.value)


def test_keys_and_values_are_updated_where_they_are(stream):
    runner = open_stream(stream.path)._interpreter.get_signature_runner(STEP)
    inputs, outputs = (
        {name: one["index"] for name, one in details.items()}
        for details in (runner.get_input_details(), runner.get_output_details())
    )
    in_place = {name for name, index in inputs.items() if outputs.get(name) == index}
    assert in_place == {f"block_0{block}_attention_{role}" for block in (0, 1) for role in ("key", "value")}


def test_flush_computes_what_encode_step_computes(stream, waveforms):
    model = open_stream(stream.path)
    audio = waveforms[1][: model.description.step_samples]
    inputs = {"audio": audio[np.newaxis], "count": np.array([700], np.int32), **model.state()}
    step, flush = (model._interpreter.get_signature_runner(name)(**inputs) for name in (STEP, FLUSH))
    assert step.keys() == flush.keys()
    for name, value in step.items():
        np.testing.assert_array_equal(value, flush[name])


def test_a_stream_continues_from_its_state_in_another_interpreter(stream, waveforms):
    first, second = open_stream(stream.path), open_stream(stream.path)
    size = first.description.step_samples
    pieces = waveforms[2][: 10 * size].reshape(10, size)
    for piece in pieces[:4]:
        first.step(piece)
    state = first.state()
    second.restore(state)
    for piece in pieces[4:]:
        np.testing.assert_array_equal(second.step(piece), first.step(piece))
    assert not np.array_equal(second.state()["block_00_attention_key"], state["block_00_attention_key"])
    first.reset()
    assert not any(value.any() for value in first.state().values())


def test_an_utterance_leaves_nothing_behind(stream, waveforms):
    model = open_stream(stream.path)
    expected = model.run(waveforms[0])
    model.run(10 * waveforms[2])
    np.testing.assert_array_equal(model.run(waveforms[0]), expected)


@pytest.mark.parametrize("samples", [0, 1, 399, 400])
def test_short_audio_has_no_frame_or_one(stream, samples):
    assert len(open_stream(stream.path).run(np.zeros(samples, np.float32))) == (samples >= 400)


def test_bad_input_is_refused_and_the_stream_goes_on(stream, late_stream, waveforms):
    model = open_stream(stream.path)
    size = model.description.step_samples
    model.step(waveforms[2][:size])
    before = model.state()
    with pytest.raises(InputError, match="a step takes 1920 samples, got 7"):
        model.step(np.zeros(7, np.float32))
    with pytest.raises(InputError, match="fewer than 1920 samples, got 1920"):
        model.finish(np.zeros(size, np.float32))
    with pytest.raises(InputError, match=r"shape \[samples\], got \[1, 1920\]"):
        model.step(np.zeros([1, size], np.float32))
    for finish in (False, True):
        with pytest.raises(InputError, match="not finite"):
            (model.finish if finish else model.step)(np.full(size - finish, np.nan, np.float32))
    with pytest.raises(InputError, match=r"not of this model: block_00_attention_key should be float32 \[1, 32, 16\]"):
        model.restore(open_stream(late_stream.path).state())
    with pytest.raises(InputError, match=r"received should be int32 .*, got float32"):
        model.restore({**before, "received": np.zeros(1, np.float32)})
    for name, value in model.state().items():
        np.testing.assert_array_equal(value, before[name])
    model.finish(np.zeros(5, np.float32))
    with pytest.raises(InputError, match="the utterance has ended"):
        model.step(waveforms[2][:size])


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_output_of_another_shape_is_one_sentence(runtime, tmp_path):
    path = tmp_path / "stream.tflite"
    write_stream(path)
    file = GraphFile.parse(path.read_bytes())
    graph = file.graphs[0].subgraph
    names = [tensor.name for tensor in graph.tensors]
    (reshape,) = (one for one in graph.operators if one.outputs[0] == names.index(b"frame"))
    reshape.inputs = np.array([reshape.inputs[0], names.index(b"count")])  # [400] in place of [1, 1, 400]
    path.write_bytes(file.to_bytes())
    model = open_stream(path, runtime)
    with pytest.raises(
        InputError, match=r"encode_step computes float32 \[12\] as logits, which should be .* \[1, 1, 12\]"
    ):
        model.step(np.zeros(400, np.float32))


def test_the_longest_stream_ends_with_an_error(stream):
    model = open_stream(stream.path)
    size = model.description.step_samples
    samples = np.array([2**31 - size], np.int32)
    model.restore({**model.state(), "position": samples, "received": samples})
    with pytest.raises(InputError, match="longer than 2147483647 samples"):
        model.step(np.zeros(size, np.float32))


def test_other_files_are_no_streams(whole_of_stream, stream, tmp_path):
    with pytest.raises(InputError, match="not a streaming file"):
        open_stream(whole_of_stream.path)
    metadata = json.loads(read_tflite(stream.path).metadata[METADATA])
    (graph,) = metadata["graphs"]
    builder = ModelBuilder()
    builder.metadata(METADATA, metadata)
    samples = builder.tensor("audio", [1, -1])
    builder.signature(STEP, {"audio": samples}, {"logits": builder.reshape(samples, [1, -1, 400], "frames")})
    path = tmp_path / "other.tflite"
    path.write_bytes(builder.build([samples], [1]))
    with pytest.raises(InputError, match="inputs and outputs of its signature 'encode_step' are not those"):
        open_stream(path)
    builder = ModelBuilder()
    builder.metadata(METADATA, metadata | {"graphs": [graph | {"states": []}]})
    builder.signature(STEP, {"audio": builder.tensor("audio", [1, 1])}, {})
    path.write_bytes(builder.build([0], []))
    with pytest.raises(InputError, match=r"graphs.0 in its TFCONFORMER metadata: .*no int32 state 'position'"):
        open_stream(path)
