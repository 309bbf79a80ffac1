import json
from pathlib import Path

import pytest

from tests.support.results_samples import results, row
from tfconformer.errors import InputError
from tfconformer.reports.results import Machine, merge_results, read_results, write_results
from tfconformer.reports.rows import Columns, Gemm, ResultRow

DESIGN_KEYS = (
    "model, parameters, weight_bits, activation_bits, symmetric, granularity, block_size, clip, sparsity, method, "
    "seed, steps, test_set, utterances, wer, wer_low, wer_high, substitutions, deletions, insertions, evaluated_with, "
    "file_bytes, weight_bytes, bits_per_weight, float_ratio, rtf_p50, rtf_p90, latency_ms_p50, latency_ms_p90, "
    "peak_rss_mb, runtime, kernel, threads, implementation, k, n, m, working_set_mb, time_us, gops, "
    "limit_fraction, isa, instructions"
)


RESULTS = Path(__file__).parents[2] / "results"


def test_the_contract_has_every_key_of_the_design():
    columns = {key for record in Columns.__subclasses__() for key in record.model_fields}
    assert set(DESIGN_KEYS.split(", ")) <= columns | set(ResultRow.model_fields)


def test_no_column_is_in_two_records():
    columns = [key for record in Columns.__subclasses__() for key in record.model_fields]
    assert len(columns) == len(set(columns))


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_committed_results_are_written_as_they_were_read(path, tmp_path):
    write_results(tmp_path / "r.json", read_results(path))
    assert (tmp_path / "r.json").read_bytes() == path.read_bytes()


def test_round_trip(tmp_path):
    write_results(tmp_path / "r.json", results())
    assert read_results(tmp_path / "r.json") == results()


def test_keys_without_meaning_are_left_out(tmp_path):
    plain = results().model_copy(update={"rows": (), "layers": (), "stages": (), "transcripts": ()})
    write_results(tmp_path / "r.json", plain)
    tree = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert list(tree) == ["command", "commit", "date", "machine", "rows"]
    write_results(tmp_path / "r.json", results())
    first = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["rows"][0]
    assert first["model"] == "float32"
    assert None not in first.values()
    assert not {"symmetric", "block_size", "implementation", "wer_difference"} & first.keys()


def test_a_kernel_row_needs_no_model():
    gemm = Gemm(k=512, n=512, m=1, time_us=4.5)
    assert ResultRow(implementation="xnnpack", gemm=gemm).model is None


def test_a_row_is_flat_in_the_file_and_composed_in_python():
    row = ResultRow.model_validate_json('{"implementation": "xnnpack", "k": 3, "n": 2, "m": 1, "kernel": "avx2"}')
    assert row.gemm == Gemm(k=3, n=2, m=1) and row.execution.kernel == "avx2" and row.accuracy is None
    assert list(row.model_dump(exclude_none=True)) == ["kernel", "implementation", "k", "n", "m"]
    with pytest.raises(ValueError, match="Extra inputs"):
        ResultRow(implementation="xnnpack", k=3)


def test_a_column_is_read_by_its_former_name():
    row = '{"implementation": "xnnpack", "k": 3, "n": 2, "m": 1, "weights_rotated_mb": 4.5}'
    assert ResultRow.model_validate_json(row).gemm.working_set_mb == 4.5


def broken(edit) -> str:
    tree = json.loads(results().model_dump_json(exclude_none=True))
    edit(tree)
    return json.dumps(tree)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not a results file"),
        ("{", "not a results file"),
        ("[]", "not a results file"),
        (broken(lambda tree: tree.pop("commit")), "'commit': Field required"),
        (broken(lambda tree: tree["rows"][1].update(wer_percent=6.1)), r"'rows\.1\.wer_percent'"),
        (broken(lambda tree: tree["rows"][0].update(wer="6.1")), r"'rows\.0\.wer'"),
        (broken(lambda tree: tree["rows"][0].update(wer=-0.1)), r"'rows\.0\.wer'"),
        (broken(lambda tree: tree["rows"][0].update(substitutions=1.5)), r"'rows\.0\.substitutions'"),
        (broken(lambda tree: tree["rows"][0].update(granularity="row")), r"'rows\.0\.granularity'"),
        (broken(lambda tree: tree["rows"][0].pop("model")), r"'rows\.0': a row needs 'model' or 'implementation'"),
        (broken(lambda tree: tree["rows"][0].pop("words")), r"'rows\.0\.words': Field required"),
        (broken(lambda tree: tree["rows"][0].update(accuracy={})), r"'rows\.0': a row is flat, .* no key 'accuracy'"),
        (broken(lambda tree: tree["machine"].update(cores=0)), r"'machine\.cores'"),
        (broken(lambda tree: tree["rows"][0].update(wer=float("nan"))), r"'rows\.0\.wer'"),
    ],
)
def test_a_malformed_file_is_one_clear_error(tmp_path, content, message):
    path = tmp_path / "r.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message) as error:
        read_results(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unreadable_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        read_results(tmp_path / "missing.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot read"):
        read_results(tmp_path / "binary.json")


def test_merging_keeps_every_row_and_command():
    early = results(("test-clean",))
    late = results(("test-other",)).model_copy(update={"command": "second", "date": "2026-11-22T00:00:00+00:00"})
    merged = merge_results([early, late])
    assert merged.rows == early.rows + late.rows
    assert merged.transcripts == early.transcripts + late.transcripts
    assert merged.layers == early.layers
    assert merged.command == f"{early.command}\nsecond"
    assert merged.date == late.date
    assert merge_results([early]) == early


@pytest.mark.parametrize(
    "update", [{"commit": "another"}, {"machine": Machine(cpu="Other CPU", cores=2, limits="8.0 GB memory")}]
)
def test_rows_of_different_origin_are_not_merged(update):
    with pytest.raises(InputError, match="cannot be joined"):
        merge_results([results(), results().model_copy(update=update)])


def test_nothing_to_merge():
    with pytest.raises(InputError, match="no results file"):
        merge_results([])


def test_rows_are_values():
    assert row("int2", "test-clean") == row("int2", "test-clean")
    with pytest.raises(ValueError, match="frozen"):
        row("int2", "test-clean").accuracy = None
