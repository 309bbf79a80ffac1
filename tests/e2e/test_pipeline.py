"""The whole way as a user types it: manifest -> shards -> train -> quantize -> export -> evaluate -> report."""

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import tensorflow as tf
import tf_keras as keras
import yaml

from converters.experiments import execute
from converters.runtime.model import RUNTIMES
from tfconformer.cli import main
from tfconformer.config import Config
from tfconformer.training.run import RunDirectory
from tfconformer.training.train import train

SAMPLE = Path("samples/speech/manifests")
TRAINING_UTTERANCES, TEST_UTTERANCES = 16, 4
INT2_BLOCK_64 = 2.5  # bits: 2, and a float16 scale and offset for every 64 weights


def tfconformer(*arguments: str | Path, status: int = 0) -> str:
    """Runs a command and returns its output, or its errors if it is to fail.

    In this process: that of a command of its own takes five seconds to load TensorFlow.
    """
    output, errors = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["tfconformer", *map(str, arguments)]),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
        pytest.raises(SystemExit) as finished,
    ):
        main()
    assert (finished.value.code or 0) == status, f"{arguments}: {errors.getvalue()[-2000:]}"
    return output.getvalue() if status == 0 else errors.getvalue()


def train_eagerly(config: Config, run: RunDirectory) -> keras.Model:
    """Trains without graphs: to trace them takes many times longer than the few steps of these trainings."""
    tf.config.run_functions_eagerly(True)
    try:
        return train(config, run)
    finally:
        tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Shards of a few sample sentences and a float model of a few training steps."""
    folder = tmp_path_factory.mktemp("pipeline")
    for subset, name, count in (
        ("train-synthetic", "train", TRAINING_UTTERANCES),
        ("dev-clean", "dev", TEST_UTTERANCES),
        ("test-clean", "test", TEST_UTTERANCES),
    ):
        lines = [json.loads(line) for line in (SAMPLE / f"{subset}.jsonl").read_text().splitlines()[:count]]
        for line in lines:
            line["audio_filepath"] = str((SAMPLE / line["audio_filepath"]).resolve())
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    manifests = [folder / f"{name}.jsonl" for name in ("train", "dev", "test")]
    tfconformer("data", "shards", *manifests, "--output", folder / "shards")
    config = {
        "data": {
            "train": ["shards/train-*.tfrecord"],
            "dev": ["shards/dev-*.tfrecord"],
            "batch_seconds": 16,
        },
        "model": {"blocks": 1, "dim": 64, "heads": 2, "conv_kernel": 5, "subsampling_channels": 8},
        "training": {"epochs": 1, "steps_per_epoch": 3, "learning_rate": 1e-3},
    }
    write_config(folder / "float.yaml", config)
    quantization = [
        {"layers": ".*_head", "spec": None},
        {"layers": "block_00_ff.*", "spec": {"bits": 4, "activation_bits": 8}},
        {"layers": ".*", "spec": {"bits": 2, "symmetric": False, "block_size": 64}},
    ]
    write_config(folder / "mixed.yaml", config | {"quantization": quantization})
    with mock.patch("tfconformer.training.train.train", train_eagerly):
        tfconformer("train", folder / "float.yaml", folder / "float")
    return folder


def write_config(path: Path, tree: dict) -> None:
    path.write_text(yaml.safe_dump(tree, sort_keys=False))


@pytest.mark.timeout(900)  # two exports, each verified in three runtimes
def test_from_a_manifest_to_a_report(folder):
    tfconformer("quantize", folder / "mixed.yaml", folder / "float", folder / "mixed")
    tests = f"--shards={folder}/shards/test-*.tfrecord"
    everywhere = [f"--runtime={runtime}" for runtime in RUNTIMES]
    for name in ("float", "mixed"):
        file = folder / f"{name}.tflite"
        verified = tfconformer("export", folder / name, file, tests, "--utterances", TEST_UTTERANCES, *everywhere)
        assert verified.count(f"of {TEST_UTTERANCES} transcripts differ") == len(RUNTIMES)
        tfconformer("evaluate", file, tests, "--output", folder / f"{name}.json")

    tfconformer("dev", "report", folder / "float.json", folder / "mixed.json", "--output", folder / "report.html")
    report = json.loads((folder / "report.json").read_text())
    rows = {row["model"]: row for row in report["rows"]}
    assert rows.keys() == {"float", "mixed"}
    for row in rows.values():
        assert row["utterances"] == TEST_UTTERANCES and row["evaluated_with"] == "tflite"
        assert row["wer_low"] <= row["wer"] <= row["wer_high"]
        assert row["peak_rss_mb"] > 0 and row["rtf_p50"] > 0
    assert rows["float"]["weight_bits"] == rows["float"]["activation_bits"] == 32
    assert rows["mixed"]["kernel"] != rows["float"]["kernel"]
    assert rows["mixed"]["file_bytes"] < rows["float"]["file_bytes"] / 2
    assert "<html" in (folder / "report.html").read_text()

    summary = tfconformer("summary", folder / "mixed.tflite")
    assert "block_00_attention_query" in summary
    layers = {layer["name"]: layer for layer in json.loads((folder / "mixed.export.json").read_text())["layers"]}
    query = layers["block_00_attention_query"]
    stored = query["code_bytes"] + query["scale_bytes"] + query["offset_bytes"]
    assert 8 * stored / (query["k"] * query["n"]) == INT2_BLOCK_64


def test_a_process_ends_with_the_status_of_its_error(folder):
    command = [sys.executable, "-m", "tfconformer.cli", "summary", str(folder / "x.tflite")]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 2
    (line,) = [line for line in finished.stderr.splitlines() if line.startswith("tfconformer: ")]
    assert "cannot be read" in line


def test_wrong_input_is_one_clear_sentence(folder):
    def message(*arguments: str | Path) -> str:
        (line,) = [line for line in tfconformer(*arguments, status=2).splitlines() if line.startswith("tfconformer: ")]
        return line

    config = folder / "float.yaml"
    assert "unknown key 'model.bloks'" in message("train", config, folder / "x", "--set", "model.bloks=3")
    assert "no rule" in message("quantize", config, folder / "float", folder / "x")
    assert "no shard matches" in message("train", config, folder / "x", "--set", "data.train=[nowhere]")
    for section in ("data.train", "data.dev"):
        assert "no shards are named" in message("train", config, folder / "x", "--set", f"{section}=[]")
    assert "holds a run of another configuration" in message(
        "train", config, folder / "float", "--set", "training.seed=9"
    )
    wider = ("--set", "model.dim=32")
    assert "weights of other shapes" in message(
        "quantize", folder / "mixed.yaml", folder / "float", folder / "x", *wider
    )
    assert "not a run directory" in message("export", folder, folder / "x.tflite")
    damaged = folder / "damaged"
    damaged.mkdir()
    for name in ("config.yaml", "tokenizer.model"):
        (damaged / name).write_bytes((folder / "float" / name).read_bytes())
    (damaged / "best.h5").write_bytes((folder / "float" / "best.h5").read_bytes()[:5000])
    assert "does not fit its configuration" in message("export", damaged, folder / "x.tflite")
    assert not (folder / "x.tflite").exists()


@pytest.mark.timeout(900)  # three trainings and four exports
def test_a_grid_of_experiments_ends_as_a_table(folder, monkeypatch):
    training = yaml.safe_load((folder / "float.yaml").read_text())["training"]
    write_config(
        folder / "shared.yaml",
        {
            "extends": "float.yaml",
            "training": {**training, "initial_weights": "float"},
            "quantization": [{"layers": ".*_head", "spec": None}],
        },
    )
    int4 = {"bits": 4, "block_size": 64}
    grid = {
        "title": "A grid",
        "config": "shared.yaml",
        "test_sets": [f"{folder}/shards/test-*.tfrecord"],
        "baseline": "float32",
        "variants": {
            "float32": {"post_training": "nearest", "evaluated_with": "keras"},
            "int4": {"spec": int4},
            "int4 rounded": {"spec": int4, "post_training": "gptq"},
            "int4 activations": {"spec": {**int4, "activation_bits": 4}, "evaluated_with": "keras"},
            "int2 of three": {
                "quantization": [{"layers": ".*", "spec": {"bits": 8}, "co_train": [int4, {"bits": 2}]}],
                "bits": 2,
            },
        },
    }
    write_config(folder / "grid.yaml", grid)
    places = ("--runs", folder / "experiments", "--results", folder / "results")
    tfconformer("dev", "experiments", folder / "grid.yaml", *places, "--only", "float32")
    # One run in a process of its own, as all are elsewhere, says that this works.
    monkeypatch.setattr(execute, "_execute_alone", execute._execute)
    monkeypatch.setattr(execute, "train", train_eagerly)
    tfconformer("dev", "experiments", folder / "grid.yaml", *places)
    rows = {row["model"]: row for row in json.loads((folder / "results" / "grid.json").read_text())["rows"]}
    assert list(rows) == list(grid["variants"])
    assert [row["method"] for row in rows.values()] == ["float", "qat", "ptq-gptq", "qat", "qat"]
    assert [row.get("steps") for row in rows.values()] == [0, 3, 0, 3, 3]
    assert len({row["data"] for row in rows.values()}) == 1
    for name, row in rows.items():
        assert row["utterances"] == TEST_UTTERANCES
        if name != "float32":
            assert row["wer_difference_low"] <= row["wer_difference"] <= row["wer_difference_high"]
    assert rows["int4"]["file_bytes"] == pytest.approx(rows["int4 rounded"]["file_bytes"], rel=1e-3)
    assert rows["int2 of three"]["weight_bits"] == 2
    assert rows["int4 activations"]["evaluated_with"] == "keras" and "file_bytes" not in rows["int4 activations"]
    assert len(list((folder / "experiments" / "trainings").iterdir())) == 3
    page = folder / "page.md"
    page.write_text("<!-- grid:begin --><!-- grid:end -->")
    tfconformer("dev", "recipes", folder / "grid.yaml", "--results", folder / "results", "--page", page)
    assert page.read_text().count("| int4 ") == 3 and "Not measured" not in page.read_text()
