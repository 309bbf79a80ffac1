"""The pages show what the results files hold."""

import shutil

import pytest
from click.testing import CliRunner

from benchmarks.tables import layer_table, main, time_and_limit
from tfconformer.reports.rows import Gemm, Quantization, ResultRow

PAGES = ["README.md", "docs/benchmarks.md", "docs/streaming.md", "docs/transducer.md"]


@pytest.fixture
def pages(tmp_path, pytestconfig):
    (tmp_path / "docs").mkdir()
    for page in PAGES:
        shutil.copy(pytestconfig.rootpath / page, tmp_path / page)
    return tmp_path


def test_the_pages_are_those_that_the_command_writes(pages, pytestconfig):
    results = pytestconfig.rootpath / "results"
    done = CliRunner().invoke(main, ["--results", str(results), "--root", str(pages)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    for page in PAGES:
        assert (pages / page).read_text() == (pytestconfig.rootpath / page).read_text()


def test_a_table_of_layers_has_a_line_for_a_scheme_and_a_column_for_a_number_of_rows():
    quantization = Quantization(weight_bits=2, symmetric=True, granularity="channel")
    rows = [
        ResultRow(implementation="ours", quantization=quantization, gemm=gemm)
        for gemm in (
            Gemm(k=8, n=4, m=16, time_us=123.4, limit_fraction=0.5),
            Gemm(k=8, n=4, m=1, time_us=1.26, limit_fraction=1.0),
            Gemm(k=16, n=4, m=16, time_us=123.4, limit_fraction=0.5),
        )
    ]
    assert layer_table(rows, 8, 4, time_and_limit) == (
        "| implementation, 8 x 4 | M = 1 | M = 16 |\n"
        "| :-- | --: | --: |\n"
        "| ours: 2 bits, symmetric, per channel | 1.3 (100 %) | 123 (50 %) |\n"
    )
