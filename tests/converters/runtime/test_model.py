"""Hand-made recognizers in every TFLite runtime: same numbers everywhere."""

from __future__ import annotations

import dataclasses
import gc
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from converters import custom_ops
from converters.custom_ops import kernel_names
from converters.runtime import interpreters
from converters.runtime.model import RUNTIMES, open_model
from converters.runtime.tensor_model import load
from tests.support.forked import forked
from tests.support.packed_layer import RECOGNIZER_FEATURES as FEATURES
from tests.support.packed_layer import recognizer_layers as layers
from tests.support.small_files import write_stream
from tests.support.tflite_builder import ModelBuilder, RecognizerBuilder
from tfconformer.errors import InputError


def waveform(frames: int) -> NDArray[np.float32]:
    return np.random.default_rng(frames).uniform(-1, 1, frames * FEATURES).astype(np.float32)


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recognizer") / "model.tflite"
    path.write_bytes(RecognizerBuilder(layers(), metadata={"format": 1, "layers": []}).finish())
    return path


def our_threads() -> int:
    """How many threads of the native library this process has."""
    names = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    return names.count("tfconformer")


@pytest.fixture(scope="module")
def float_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nothing but a reshape: a model without our operation."""
    builder = ModelBuilder()
    samples = builder.tensor("waveform", [1, -1])
    frames = builder.reshape(samples, [1, -1, FEATURES], "frames")
    builder.signature("transcribe", {"waveform": samples}, {"logits": frames})
    path = tmp_path_factory.mktemp("float") / "model.tflite"
    path.write_bytes(builder.build([samples], [frames]))
    return path


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_computes_the_definition_at_any_length(recognizer: Path, runtime: str, threads: int) -> None:
    before = our_threads()
    model = open_model(recognizer, runtime, threads)
    assert model.runtime.startswith(f"{runtime} ")
    model.run(waveform(3))
    assert our_threads() == before + threads - 1  # besides the one that calls
    tensors = len(model._file.interpreter.get_tensor_details())
    for frames in (1, 5, 130, 2, 0, 5, 64):
        expected = waveform(frames).reshape(frames, FEATURES)
        for layer in layers():
            expected = layer.float32(expected)
        # No tolerance: the operation has one result in every runtime.
        np.testing.assert_array_equal(model.run(waveform(frames)), expected)
    assert len(model._file.interpreter.get_tensor_details()) == tensors, "a change of length leaves something behind"
    del model
    gc.collect()
    assert our_threads() == before


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_child_process_computes_what_its_parent_does(recognizer: Path, runtime: str) -> None:
    """The threads of the parent do not exist in the child, which neither waits for them nor at its end."""
    parents = open_model(recognizer, runtime, threads=3)
    expected = parents.run(waveform(64))

    def run_both() -> bool:
        own = open_model(recognizer, runtime, threads=3)
        results = [model.run(waveform(64)) for model in (parents, own, parents)]
        return all(np.array_equal(result, expected) for result in results)

    def destroy() -> None:
        nonlocal parents
        del parents
        gc.collect()

    assert forked(run_both)
    forked(destroy)
    np.testing.assert_array_equal(parents.run(waveform(64)), expected)


def test_a_child_process_may_run_a_raw_interpreter_of_its_parent(recognizer: Path) -> None:
    interpreter = open_model(recognizer, threads=3)._file.interpreter

    def run() -> NDArray[np.float32]:
        (audio,), (logits,) = interpreter.get_input_details(), interpreter.get_output_details()
        interpreter.resize_tensor_input(audio["index"], [1, 64 * FEATURES])
        interpreter.allocate_tensors()
        interpreter.set_tensor(audio["index"], waveform(64)[np.newaxis])
        interpreter.invoke()
        return interpreter.get_tensor(logits["index"])

    expected = run()
    np.testing.assert_array_equal(forked(run), expected)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_batch_is_refused(recognizer: Path, runtime: str) -> None:
    """The graph would take two utterances for a long one, and one row would come back."""
    interpreter = open_model(recognizer, runtime)._file.interpreter
    (audio,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(audio["index"], [2, 3 * FEATURES])
    with pytest.raises(RuntimeError, match="dimension 0 of the tensor 'waveform' is 2, the file allows only 1"):
        interpreter.allocate_tensors()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_interpreter_without_the_delegate_names_the_operation(recognizer: Path, runtime: str) -> None:
    """The page about targets explains the message."""
    interpreter = interpreters.import_runtime(runtime).Interpreter(str(recognizer))
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], [1, 3 * FEATURES])
    with pytest.raises(RuntimeError) as error:
        interpreter.allocate_tensors()
    message = "Encountered unresolved custom op: TfconformerFullyConnected"
    assert message in str(error.value)
    assert message in " ".join((Path(__file__).parents[3] / "docs" / "reference" / "targets.md").read_text().split())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_tells_who_computes(recognizer: Path, float_model: Path, runtime: str) -> None:
    model = open_model(recognizer, runtime, threads=2)
    model.run(waveform(3))
    use = model.kernels()
    assert (use.name, use.custom_nodes) == (kernel_names()[0], 3)
    assert use.delegate_nodes >= 1
    assert use.operations == {"RESHAPE": 1, "TfconformerFullyConnected": 3}
    plain = open_model(float_model, runtime)
    plain.run(waveform(3))
    assert plain.kernels().name in ("builtin", "xnnpack")
    assert plain.kernels().custom_nodes == 0


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_model_survives_what_it_cannot_compute(recognizer: Path, runtime: str) -> None:
    model = open_model(recognizer, runtime)
    expected = model.run(waveform(4))
    with pytest.raises(InputError, match="cannot compute it on 39 samples"):
        model.run(waveform(1)[:39])
    with pytest.raises(InputError, match=r"shape \[samples\], got \[1, 160\]"):
        model.run(waveform(4)[np.newaxis])
    np.testing.assert_array_equal(model.run(waveform(4)), expected)


def test_two_models_do_not_share_anything(recognizer: Path) -> None:
    first, second = open_model(recognizer), open_model(recognizer)
    expected = first.run(waveform(7))
    second.run(waveform(90))
    np.testing.assert_array_equal(first.run(waveform(7)), expected)


def test_reads_the_metadata(recognizer: Path, float_model: Path, tmp_path: Path) -> None:
    metadata = open_model(recognizer).metadata
    assert (metadata.format, metadata.task.search, metadata.layers) == (2, "ctc", ())  # converted from version 1
    assert [graph.signature for graph in metadata.graphs] == ["transcribe"]
    with pytest.raises(InputError, match="was not written by `tfconformer export`"):
        _ = open_model(float_model).metadata
    broken = RecognizerBuilder(layers(), metadata={"format": 1})
    broken.model.buffers[broken.model.metadata[0].buffer].data = np.frombuffer(b'{"format', np.uint8)
    path = tmp_path / "model.tflite"
    path.write_bytes(broken.finish())
    with pytest.raises(InputError, match="are not JSON"):
        open_model(path)


def test_a_missing_library_is_no_silent_fallback(
    recognizer: Path, float_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> Path:
        raise InputError("the native library does not exist")

    monkeypatch.setattr(interpreters, "library_path", missing)
    with pytest.raises(InputError, match="native library"):
        open_model(recognizer)
    assert open_model(float_model).run(waveform(2)).shape == (2, FEATURES)


def test_an_unusable_library_is_an_input_error(
    recognizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "libtfconformer_ops.so"
    library.write_bytes(b"no library")
    monkeypatch.setattr(custom_ops, "library_path", lambda: library)
    with pytest.raises(InputError, match="cannot be loaded"):
        open_model(recognizer)


def test_bad_arguments(recognizer: Path) -> None:
    with pytest.raises(InputError, match="unknown runtime 'onnx', expected one of tflite-runtime, tensorflow"):
        open_model(recognizer, "onnx")
    with pytest.raises(InputError, match="threads must be at least 1"):
        open_model(recognizer, threads=0)


def test_only_recognizers_are_opened(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    builder = RecognizerBuilder(layers())
    builder.model.operatorCodes[1].customCode = b"FlexErf"
    path.write_bytes(builder.finish())
    with pytest.raises(InputError, match="needs the custom operation 'FlexErf'"):
        open_model(path)
    builder = RecognizerBuilder(layers())
    builder.model.signatureDefs[0].signatureKey = b"serving_default"
    path.write_bytes(builder.finish())
    with pytest.raises(InputError, match="no signature 'transcribe'"):
        open_model(path)
    builder = RecognizerBuilder(layers())
    builder.model.signatureDefs[0].inputs[0].name = b"audio"
    path.write_bytes(builder.finish())
    with pytest.raises(InputError, match=r"from \['audio'\] to \['logits'\]"):
        open_model(path)


def test_a_streaming_file_is_no_tensor_model(tmp_path: Path) -> None:
    write_stream(tmp_path / "stream.tflite")
    with pytest.raises(InputError, match=r"stream\.tflite: a streaming file, which `converters\.Recognizer` or"):
        load(tmp_path / "stream.tflite")


def test_the_rank_of_x_is_kept(tmp_path: Path) -> None:
    """A layer on a vector and on a tensor of rank 4."""
    layer = dataclasses.replace(layers()[0], activation="none")
    path = tmp_path / "model.tflite"
    for shape in ([FEATURES], [2, 1, 3, FEATURES]):
        builder = ModelBuilder()
        samples = builder.tensor("waveform", [1, -1])
        x = builder.reshape(samples, shape, "x")
        y = builder.fully_connected(x, layer, "y", [*shape[:-1], 24])
        logits = builder.reshape(y, [1, -1, 24], "logits")
        builder.signature("transcribe", {"waveform": samples}, {"logits": logits})
        path.write_bytes(builder.build([samples], [logits]))
        frames = int(np.prod(shape)) // FEATURES
        expected = layer.float32(waveform(frames).reshape(-1, FEATURES))
        for runtime in RUNTIMES:
            np.testing.assert_array_equal(open_model(path, runtime).run(waveform(frames)), expected)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_x_whose_size_is_known_only_while_running(runtime: str, tmp_path: Path) -> None:
    """A tile operation whose multiples are computed leaves the size of its output open until it runs."""
    builder = ModelBuilder()
    samples = builder.tensor("waveform", [1, -1])
    x = builder.reshape(samples, [1, -1, FEATURES], "x")
    constant = builder.constant("constant", np.array([[1, 3, 1]], np.int32))
    multiples = builder.reshape(constant, [3], "multiples", np.int32)
    tiled = builder.tensor("tiled", [1, -1, FEATURES])
    builder.operator(schema.BuiltinOperator.TILE, [x, multiples], tiled)
    first = builder.fully_connected(tiled, layers()[0], "first", [1, -1, 24])
    logits = builder.fully_connected(first, layers()[1], "logits", [1, -1, 33])
    builder.signature("transcribe", {"waveform": samples}, {"logits": logits})
    path = tmp_path / "model.tflite"
    path.write_bytes(builder.build([samples], [logits]))
    model = open_model(path, runtime)
    for frames in (2, 50, 1):
        inputs = np.tile(waveform(frames).reshape(frames, FEATURES), (3, 1))
        np.testing.assert_array_equal(model.run(waveform(frames)), layers()[1].float32(layers()[0].float32(inputs)))
