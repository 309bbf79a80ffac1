import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tf_keras as keras
import yaml
from click.testing import CliRunner

from converters.commands.card import card
from converters.commands.evaluate import evaluate
from converters.commands.report import report
from converters.commands.summary import summary
from converters.exporter.pipeline import export_model
from tests.support.results_samples import results
from tests.support.small_files import CONFIG, FRAME, write_recognizer, write_test_set
from tests.support.tiny_conformer import tiny_waveforms
from tfconformer.data.config import TokenizerConfig
from tfconformer.data.shards import write_shards
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.errors import InputError
from tfconformer.quantization.spec import QuantizationRule, QuantSpec
from tfconformer.reports.results import read_results, write_results
from tfconformer.training.callbacks import save_weights
from tfconformer.training.checkpoint import build_model
from tfconformer.training.run import RunDirectory


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A recognizer with random weights, and shards of two test sets of noise."""
    folder = tmp_path_factory.mktemp("commands")
    write_recognizer(folder / "int4.tflite")
    write_test_set(folder, "test-clean", 3)
    write_test_set(folder, "test-other", 2)
    return folder


def run(command, *arguments) -> str:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_evaluate_writes_rows_for_every_test_set(folder, tmp_path):
    output = tmp_path / "rows.json"
    printed = run(evaluate, folder / "int4.tflite", "--shards", f"{folder}/test-*.tfrecord", "--output", output)
    assert [line.split(":")[0] for line in printed.splitlines()] == ["int4 on test-clean", "int4 on test-other"]
    written = read_results(output)
    assert [
        (row.model, row.accuracy.test_set, row.accuracy.utterances, row.accuracy.words) for row in written.rows
    ] == [
        ("int4", "test-clean", 3, 6),
        ("int4", "test-other", 2, 4),
    ]
    assert {row.quantization.weight_bits for row in written.rows} == {4}
    assert all(row.execution.runtime.startswith("ai-edge-litert ") for row in written.rows)
    assert [(one.test_set, one.reference) for one in written.transcripts] == [
        *[("test-clean", "CALL HOME")] * 3,
        *[("test-other", "CALL HOME")] * 2,
    ]
    assert [(one.model, one.layer, one.sqnr_db) for one in written.layers] == [("int4", "ctc_head", 18.25)]


def test_evaluate_takes_another_name_and_runtime(folder, tmp_path):
    output = tmp_path / "rows.json"
    options = ["--shards", f"{folder}/test-other-*.tfrecord", "--runtime", "tflite-runtime", "--name", "mine"]
    run(evaluate, folder / "int4.tflite", *options, "--output", output)
    (row,) = read_results(output).rows
    assert row.model == "mine"
    assert row.execution.runtime.startswith("tflite-runtime ")


def test_evaluate_warns_of_references_that_the_model_cannot_write(folder, tmp_path, caplog):
    for name, text in (("a", "call home,"), ("b", "CALL HOME")):
        soundfile.write(tmp_path / f"{name}.wav", np.random.default_rng(1).uniform(-0.5, 0.5, FRAME * 8), 16000)
        with (tmp_path / "test-own.jsonl").open("a") as file:
            record = {"audio_filepath": f"{name}.wav", "duration": 0.2, "text": text}
            file.write(json.dumps(record) + "\n")
    write_shards(tmp_path / "test-own.jsonl", tmp_path, "test-own")
    run(evaluate, folder / "int4.tflite", "--shards", f"{tmp_path}/test-*.tfrecord")
    assert "1 of 2 references have characters that the model cannot write, ',acehlmo'" in caplog.text
    assert "`tfconformer data shards --normalize`" in caplog.text


def test_an_output_that_cannot_be_written_is_refused_first(folder, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write .*rows\.json: a file has the name of its folder"):
        run(evaluate, folder / "missing.tflite", "--shards", "x", "--output", tmp_path / "file" / "rows.json")


def test_evaluate_refuses_what_is_not_there(folder):
    with pytest.raises(InputError, match="no shard matches"):
        run(evaluate, folder / "int4.tflite", "--shards", folder / "dev-*.tfrecord")
    with pytest.raises(InputError, match=r"missing\.tflite"):
        run(evaluate, folder / "missing.tflite", "--shards", f"{folder}/test-other-*.tfrecord")
    unknown = CliRunner().invoke(evaluate, [str(folder / "int4.tflite"), "--shards", "x", "--runtime", "tensorrt"])
    assert unknown.exit_code == 2
    assert "tensorrt" in unknown.output


def test_report_joins_files_and_compares_with_float(tmp_path):
    for test_set in ("test-clean", "test-other"):
        write_results(tmp_path / f"{test_set}.json", results((test_set,)))
    readme = tmp_path / "README.md"
    readme.write_text("# Title\n<!-- results:begin -->\n<!-- results:end -->\n", encoding="utf-8")
    page = tmp_path / "out" / "report.html"
    inputs = tmp_path / "test-clean.json", tmp_path / "test-other.json"
    printed = run(report, *inputs, "--output", page, "--title", "Two sets", "--markdown", readme)
    assert "<h1>Two sets</h1>" in page.read_text(encoding="utf-8")
    merged = read_results(page.with_suffix(".json"))
    assert len(merged.rows) == 6
    assert {row.model for row in merged.rows if row.size.float_ratio} == {"int8", "int2"}
    assert printed in readme.read_text(encoding="utf-8")
    assert printed.startswith("| model ")


def test_report_of_its_own_json_is_the_same_report(tmp_path):
    write_results(tmp_path / "rows.json", results())
    first, second = tmp_path / "a" / "report.html", tmp_path / "b" / "report.html"
    run(report, tmp_path / "rows.json", "--output", first)
    run(report, first.with_suffix(".json"), "--output", second)
    assert first.read_bytes() == second.read_bytes()
    assert first.with_suffix(".json").read_bytes() == second.with_suffix(".json").read_bytes()


def test_report_refuses_bad_input(tmp_path):
    (tmp_path / "bad.json").write_text(json.dumps({"rows": []}), encoding="utf-8")
    with pytest.raises(InputError, match=r"bad\.json"):
        run(report, tmp_path / "bad.json", "--output", tmp_path / "report.html")
    write_results(tmp_path / "good.json", results())
    with pytest.raises(InputError, match="HTML"):
        run(report, tmp_path / "good.json", "--output", tmp_path / "report.json")
    assert not (tmp_path / "report.html").exists()


def test_summary_of_a_file(folder):
    printed = run(summary, folder / "int4.tflite")
    assert printed.splitlines()[0] == "int4.tflite"
    (layer,) = [line.split() for line in printed.splitlines() if line.startswith("ctc_head")]
    assert layer[1:5] == ["dense", f"{FRAME}x{layer[2].split('x')[1]}", "4", "channel"]
    assert layer[-1] == "18.2"


def test_summary_of_a_run_is_that_of_its_export(tmp_path):
    rule = QuantizationRule(layers=r".*_ff\d_.*", spec=QuantSpec(bits=2, symmetric=False, block_size=8))
    config = CONFIG.model_copy(update={"quantization": (rule,)})
    directory = RunDirectory(tmp_path / "run")
    directory.claim(config)
    tokenizer = Tokenizer.train(["CALL HOME NOW"], TokenizerConfig())
    tokenizer.save(directory.tokenizer_file)
    keras.utils.set_random_seed(0)
    model = build_model(config, tokenizer)
    save_weights(model, directory)
    exported = tmp_path / "run.tflite"
    export_model(model, config, tokenizer, exported, tiny_waveforms())
    of_run, of_file = run(summary, directory.path), run(summary, exported)
    assert of_run.splitlines()[1:] == of_file.splitlines()[1:]
    assert " 16x64 " in of_run
    assert " block 8 " in of_run


def test_a_model_of_2_billion_parameters_has_a_summary():
    text = run(summary, Path(__file__).parents[3] / "configs" / "usm_2b.yaml")
    parameters = int(re.search(r"Parameters +([\d,]+)", text[text.rindex("Parameters ") :]).group(1).replace(",", ""))
    assert 1.8e9 < parameters < 2.1e9
    ratio = float(re.search(r"Compression +([\d.]+)x", text).group(1))
    assert 9.35 < 100 / ratio < 9.5  # % of float32: 3 bits of 32, and what scales, norms and convolutions add


def test_a_card_has_what_was_measured(folder, tmp_path):
    rows, page = tmp_path / "rows.json", tmp_path / "README.md"
    run(evaluate, folder / "int4.tflite", "--shards", f"{folder}/test-*.tfrecord", "--output", rows)
    stated = ["--license", "apache-2.0", "--language", "en", "--data", "Noise, [CC0](https://example.org)."]
    assert run(card, folder / "int4.tflite", "--results", rows, "--output", page, *stated) == f"{page}\n"
    _, block, text = page.read_text(encoding="utf-8").split("---\n", 2)
    metadata = yaml.safe_load(block)
    assert metadata["license"] == "apache-2.0" and metadata["language"] == "en"
    assert metadata["pipeline_tag"] == "automatic-speech-recognition" and "int4" in metadata["tags"]
    (index,) = metadata["model-index"]
    found = {one["dataset"]["name"]: one["metrics"][0]["value"] for one in index["results"]}
    scores = [row.accuracy for row in read_results(rows).rows]
    assert found == {score.test_set: round(100 * score.wer, 2) for score in scores}
    assert f"[{100 * scores[0].wer_low:.1f}" in text
    assert f"| file | {(folder / 'int4.tflite').stat().st_size / 1e6:.2f} MB |" in text
    assert "| 4 bits, per channel | 1 |" in text and "tfconformer transcribe int4.tflite" in text
    assert "Noise, [CC0](https://example.org)." in text


def test_a_card_takes_no_results_of_others(folder, tmp_path):
    rows, page = tmp_path / "rows.json", tmp_path / "README.md"
    run(evaluate, folder / "int4.tflite", "--shards", f"{folder}/test-other-*.tfrecord", "--output", rows)
    with pytest.raises(InputError, match="have no word errors of a model 'mine'; they have those of int4"):
        run(card, folder / "int4.tflite", "--name", "mine", "--results", rows, "--output", page)
    written = json.loads(rows.read_text())
    for row in written["rows"]:
        row["file_bytes"] = 7
    rows.write_text(json.dumps(written))
    with pytest.raises(InputError, match="the results of 'int4' are of a file of 7"):
        run(card, folder / "int4.tflite", "--results", rows, "--output", page)
    assert not page.exists()


def test_a_card_of_a_run(pytestconfig, tmp_path):
    page = tmp_path / "README.md"
    run(card, pytestconfig.rootpath / "models" / "small_streaming", "--output", page)
    _, block, text = page.read_text(encoding="utf-8").split("---\n", 2)
    assert "model-index" not in yaml.safe_load(block)
    assert "tfconformer export small_streaming small_streaming.tflite" in text
    assert "| float32 |" in text and "Not stated." in text
