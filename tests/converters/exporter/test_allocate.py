"""`tfconformer allocate` and export without training: a float run and shards in, bits per layer and a file out."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from converters.commands.allocate import allocate as allocate_command
from converters.commands.export import export as export_command
from converters.exporter import allocate
from converters.exporter.allocate import CANDIDATES, parse_size
from converters.flatbuffer.model_file import read_model_file
from tests.support.tiny_conformer import ONE_BLOCK, tiny_config, write_run
from tfconformer.config import load_config
from tfconformer.errors import InputError
from tfconformer.training.run import RunDirectory

pytestmark = pytest.mark.usefixtures("native_library")


@pytest.fixture(scope="module")
def run(tiny_shards, tmp_path_factory) -> RunDirectory:
    """A float run whose training data are there."""
    config = tiny_config(context=ONE_BLOCK)
    data = config.data.model_copy(update={"train": (tiny_shards,), "dev": (tiny_shards,)})
    return write_run(RunDirectory(tmp_path_factory.mktemp("run")), config.model_copy(update={"data": data}))


@pytest.fixture(scope="module", autouse=True)
def measured_once() -> Iterator[None]:
    """All allocations are of one run: what the first one measured and converted serves the others too."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_candidates", "sensitivities", "freeze_prepared"):
            patch.setattr(allocate, name, once(getattr(allocate, name)))
        yield


def once(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that computes its result in its first call, and returns it in all calls."""
    results: list[Any] = []

    def call(*arguments: Any) -> Any:
        if not results:
            results.append(function(*arguments))
        return results[0]

    return call


def invoke(command, *arguments):
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def promised_bytes(output: str) -> int:
    return int(re.search(r"the file will have ([\d,]+) bytes", output)[1].replace(",", ""))


@pytest.mark.timeout(900)  # every candidate in every layer
def test_the_file_fits_the_budget_and_says_how_it_was_made(run, tmp_path):
    rules, file = tmp_path / "rules.yaml", tmp_path / "allocated.tflite"
    unlimited = promised_bytes(invoke(allocate_command, run.path, rules, "--budget", "1MB"))
    budget = unlimited - 8000
    promised = promised_bytes(invoke(allocate_command, run.path, rules, "--budget", budget))
    config = load_config(rules)
    assert config.model == run.config().model
    assert {rule.spec for rule in config.quantization} <= {None, *CANDIDATES}
    invoke(export_command, run.path, file, "--post-training", rules, "--utterances", 2)
    assert file.stat().st_size == promised <= budget
    assert read_model_file(file).training.method == "ptq-nearest"


def test_gptq_needs_calibration_and_stores_other_codes(run, tmp_path):
    rules = tmp_path / "int4.yaml"
    quantization = [{"layers": ".*_head", "spec": None}, {"layers": ".*", "spec": {"bits": 4, "activation_bits": 8}}]
    rules.write_text(yaml.safe_dump({"extends": str(run.config_file), "quantization": quantization}))
    for rounding in ("nearest", "gptq"):
        options = ("--post-training", rules, "--rounding", rounding, "--utterances", 2)
        invoke(export_command, run.path, tmp_path / f"{rounding}.tflite", *options)
    nearest, gptq = (read_model_file(tmp_path / f"{rounding}.tflite") for rounding in ("nearest", "gptq"))
    assert gptq.metadata.method == "ptq-gptq"
    assert gptq.weight_bytes == nearest.weight_bytes
    # GPTQ gives up weights' errors for outputs' errors.
    losses = [[row.sqnr_db for row in file.layer_rows() if row.sqnr_db is not None] for file in (nearest, gptq)]
    assert np.mean(losses[0]) > np.mean(losses[1])


def test_a_budget_below_everything_is_named(run, tmp_path):
    with pytest.raises(InputError, match="smallest choices take"):
        invoke(allocate_command, run.path, tmp_path / "x.yaml", "--budget", "1kB")
    assert not (tmp_path / "x.yaml").exists()


@pytest.mark.parametrize(
    ("text", "size"), [("1.5MB", 1_500_000), ("900kB", 900_000), (" 12345 ", 12_345), ("2mb", 2_000_000)]
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "0", "1.5GBit", "nan", "inf"])
def test_what_is_no_size_is_named(text):
    with pytest.raises(InputError, match="a size looks like"):
        parse_size(text)
