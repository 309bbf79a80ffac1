"""`tfconformer export` as a user runs it: a run directory and shards in, a verified file and a report out."""

import json

import numpy as np
import pytest
import tf_keras as keras
from click.testing import CliRunner

import converters
from converters.commands.export import export as export_command
from converters.exporter import pipeline
from converters.exporter.bundled_utterances import bundled_utterances
from converters.exporter.freeze import FrozenGraphs
from converters.exporter.pipeline import PreparedModel, export_model, prepare, report_path
from converters.exporter.verify import RELATIVE_RMS_LIMIT, Parity, VerificationError
from converters.flatbuffer.model_file import read_model_file
from converters.runtime.model import RUNTIMES
from converters.runtime.stream_model import open_stream
from tests.support.tiny_conformer import (
    ONE_BLOCK,
    WEIGHTS_ONLY,
    tiny_config,
    tiny_model,
    tiny_tokenizer,
    tiny_waveforms,
    write_run,
)
from tfconformer.config import Config
from tfconformer.errors import InputError
from tfconformer.quantization.layers.quantize_wrapper import set_active_bits
from tfconformer.quantization.quantizers.weights import quantize_weights
from tfconformer.tasks import find_task
from tfconformer.training.run import RunDirectory

pytestmark = pytest.mark.usefixtures("native_library")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunDirectory:
    return write_run(RunDirectory(tmp_path_factory.mktemp("run")), tiny_config(WEIGHTS_ONLY))


@pytest.fixture(scope="module")
def float_config() -> Config:
    return tiny_config(context=ONE_BLOCK)


@pytest.fixture(scope="module")
def float_model(float_config) -> keras.Model:
    return tiny_model(float_config)


@pytest.fixture(scope="module")
def float_run(float_config, tmp_path_factory) -> RunDirectory:
    return write_run(RunDirectory(tmp_path_factory.mktemp("float_run")), float_config)


@pytest.fixture(scope="module")
def conversions() -> list[FrozenGraphs]:
    return []


@pytest.fixture
def converted_once(conversions, monkeypatch) -> None:
    """Converts the float model once for the tests that export it, which differ in what comes before and after."""
    convert = pipeline.freeze_prepared

    def once(prepared: PreparedModel, config: Config) -> FrozenGraphs:
        if not conversions:
            conversions.append(convert(prepared, config))
        return conversions[0]

    monkeypatch.setattr(pipeline, "freeze_prepared", once)


def invoke(*arguments):
    return CliRunner().invoke(export_command, [str(argument) for argument in arguments])


def test_a_quantized_run_becomes_a_file_that_every_runtime_agrees_on(run, tiny_shards, tmp_path):
    output = tmp_path / "tiny.tflite"
    chosen = [argument for runtime in RUNTIMES for argument in ("--runtime", runtime)]
    result = invoke(run.path, output, "--shards", tiny_shards, "--utterances", 2, *chosen)
    assert result.exit_code == 0, result.exception
    assert f"{output.stat().st_size:,} bytes" in result.output
    report = json.loads(report_path(output).read_text())
    assert [parity["runtime"].split()[0] for parity in report["parity"]] == list(RUNTIMES)
    assert [parity["utterances"] for parity in report["parity"]] == [2, 2, 2]
    assert [parity["different_hypotheses"] for parity in report["parity"]] == [0, 0, 0]
    assert report["file_bytes"] == output.stat().st_size
    assert report["bits_per_weight"] == 8 * report["weight_bytes"] / report["weights"]
    file = read_model_file(output)
    assert [layer.name for layer in file.layer_rows()] == [layer["name"] for layer in report["layers"]]
    assert {entry.name for entry in tmp_path.iterdir()} == {"tiny.tflite", "tiny.export.json"}


def test_a_run_becomes_a_streaming_file_of_another_context(run, tiny_shards, tmp_path):
    output = tmp_path / "live.tflite"
    context = ["--set", "model.causal=true", "--set", "model.left_context=8", "--set", "model.attention_chunk=2"]
    result = invoke(run.path, output, "--shards", tiny_shards, "--utterances", 1, "--streaming", *context)
    assert result.exit_code == 0, result.exception
    parity = json.loads(report_path(output).read_text())["parity"]
    assert [one["different_hypotheses"] for one in parity] == [0]
    assert open_stream(output).description.step_samples == 2 * 640
    assert read_model_file(output).metadata.config["model"]["attention_chunk"] == 2


@pytest.mark.usefixtures("converted_once")
def test_a_float_model_takes_the_same_path(float_model, float_config, tmp_path):
    output = tmp_path / "float.tflite"
    report = export_model(float_model, float_config, tiny_tokenizer(), output, tiny_waveforms())
    assert report.bits_per_weight is None
    assert report.parity[0].kernel in ("xnnpack", "builtin")
    assert report.parity[0].different_hypotheses == 0
    assert "TfconformerFullyConnected" not in report.operations
    assert read_model_file(output).quantization.weight_bits == 32


def test_a_co_trained_model_is_packed_in_the_chosen_precision():
    rules = [
        {"layers": "block_.*", "spec": {"bits": 8}, "co_train": [{"bits": 2, "symmetric": False, "block_size": 8}]}
    ]
    config = tiny_config(rules, ONE_BLOCK)
    trained = tiny_model(config)
    for bits in (8, 2):
        set_active_bits(trained, bits)
        packed = prepare(find_task(config.task), trained).packed
        assert {layer.spec.bits for layer in packed.values()} == {bits}
        expected = quantize_weights(
            trained.get_layer("quant_block_00_ff1_expand").layer.kernel, packed["block_00_ff1_expand"].spec
        )
        np.testing.assert_array_equal(packed["block_00_ff1_expand"].dequantize(), expected.dequantize())


@pytest.mark.usefixtures("converted_once")
def test_a_failed_verification_leaves_what_was_there(float_model, float_config, tmp_path, monkeypatch):
    output = tmp_path / "old.tflite"
    output.write_bytes(b"old")
    monkeypatch.setitem(RELATIVE_RMS_LIMIT, None, 1e-12)
    with pytest.raises(VerificationError, match="relative RMS"):
        export_model(float_model, float_config, tiny_tokenizer(), output, tiny_waveforms()[:1])
    assert [entry.name for entry in tmp_path.iterdir()] == ["old.tflite"]
    assert output.read_bytes() == b"old"


@pytest.mark.usefixtures("converted_once")
def test_different_transcripts_beyond_the_limit_are_one_sentence_and_no_file(
    float_run, tiny_shards, tmp_path, monkeypatch
):
    found = Parity("litert", "amx", utterances=3, max_abs_difference=0.1, relative_rms=0.01, different_hypotheses=2)
    monkeypatch.setattr(pipeline, "verify_outputs", lambda *_: found)
    result = invoke(float_run.path, tmp_path / "m.tflite", "--shards", tiny_shards, "--allow-different", 1)
    assert isinstance(result.exception, VerificationError)
    assert result.exception.exit_status == 1
    assert "2 of 3 transcripts in litert are not the Keras model's, expected at most 1" in str(result.exception)
    assert not list(tmp_path.iterdir())
    result = invoke(float_run.path, tmp_path / "m.tflite", "--shards", tiny_shards, "--allow-different", 2)
    assert result.exit_code == 0
    assert "2 of 3 transcripts differ" in result.output


def test_weights_that_no_code_can_stand_for_are_refused(tmp_path):
    config = tiny_config([{"layers": "ctc_head", "spec": {"bits": 4}}], ONE_BLOCK)
    model = tiny_model(config)
    for weight in model.get_layer("quant_ctc_head").trainable_weights:
        weight.assign(np.full(weight.shape, np.nan, np.float32))
    with pytest.raises(InputError, match="layer ctc_head cannot be packed"):
        export_model(model, config, tiny_tokenizer(), tmp_path / "nan.tflite", tiny_waveforms()[:1])
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("converted_once")
def test_without_a_corpus_the_utterances_of_the_package_verify(float_run, tiny_shards, tmp_path):
    report = converters.export(float_run, tmp_path / "a.tflite")
    assert [parity.utterances for parity in report.parity] == [3]
    result = invoke(float_run.path, tmp_path / "b.tflite", "--bundled-utterances")
    assert result.exit_code == 0 and "0 of 3 transcripts differ" in result.output
    error = invoke(float_run.path, tmp_path / "c.tflite", "--bundled-utterances", "--shards", tiny_shards).exception
    assert str(error) == "give either --shards or --bundled-utterances"
    seconds = [len(waveform) / 8000 for waveform in bundled_utterances(8000)]
    assert len(seconds) == 3 and 1 < min(seconds) < max(seconds) < 5


def test_a_file_is_never_left_unverified(float_model, float_config, tmp_path):
    with pytest.raises(InputError, match="at least one utterance"):
        export_model(float_model, float_config, tiny_tokenizer(), tmp_path / "x.tflite", [])
    assert not list(tmp_path.iterdir())


def test_wrong_requests_are_one_sentence(run, tiny_shards, tmp_path):
    def message(*arguments) -> str:
        error = invoke(*arguments).exception
        assert isinstance(error, InputError), error
        return str(error)

    output = tmp_path / "x.tflite"
    assert "ends in .tflite" in message(run.path, tmp_path / "x.bin", "--shards", tiny_shards)
    assert "no config.yaml" in message(tmp_path / "nothing", output)
    assert "no shard matches" in message(run.path, output)
    assert "without limits cannot run on a stream" in message(run.path, output, "--shards", tiny_shards, "--streaming")
    assert "unknown key 'model.chunks'" in message(run.path, output, "--shards", tiny_shards, "--set", "model.chunks=1")
    empty = RunDirectory(tmp_path / "empty")
    empty.claim(tiny_config(WEIGHTS_ONLY))
    assert "cannot read the tokenizer" in message(empty.path, output, "--shards", tiny_shards)
    tiny_tokenizer().save(empty.tokenizer_file)
    assert f"has no {empty.weights_file.name}" in message(empty.path, output, "--shards", tiny_shards)
