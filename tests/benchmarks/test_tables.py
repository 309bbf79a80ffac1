"""The pages show what the results files hold."""

import shutil

import pytest
from click.testing import CliRunner

from benchmarks.tables import SIZE_PLOT, layer_table, litert_table, main, time_and_limit
from tfconformer.reports.rows import Gemm, Quantization, ResultRow, Size, Speed, StepTime
from tfconformer.reports.tables import DASH

PAGES = [
    *("README.md", "docs/results/benchmarks.md", "docs/guides/streaming.md"),
    *("docs/reference/conversion.md", "docs/reference/transducer.md"),
]


@pytest.fixture
def pages(tmp_path, pytestconfig):
    for page in PAGES:
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(pytestconfig.rootpath / page, tmp_path / page)
    return tmp_path


def test_the_pages_are_those_that_the_command_writes(pages, pytestconfig):
    results = pytestconfig.rootpath / "results"
    done = CliRunner().invoke(main, ["--results", str(results), "--root", str(pages)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    for page in (*PAGES, SIZE_PLOT):
        assert (pages / page).read_text() == (pytestconfig.rootpath / page).read_text()


def test_litert_stands_beside_the_same_scheme():
    def row(implementation, bits, megabytes, **time):
        quantization = Quantization(weight_bits=bits, symmetric=True, granularity="channel")
        size = Size(file_bytes=megabytes * 1_000_000)
        return ResultRow(implementation=implementation, quantization=quantization, size=size, **time)

    rows = [
        row("tfconformer", 4, 1, speed=Speed(latency_ms_p50=10.4)),
        row("tfconformer", 4, 2, step=StepTime(step_ms_p50=1.0)),
        row("LiteRT 2.3.0", 4, 3, speed=Speed(latency_ms_p50=20.0)),
        row("LiteRT 2.3.0", 4, 4, step=StepTime(step_ms_p50=1.5)),
        row("LiteRT 2.3.0", 8, 5, speed=Speed(latency_ms_p50=30.0)),
        row("onnxruntime 1.31.0", 8, 6, speed=Speed(latency_ms_p50=40.0)),
    ]
    assert litert_table(rows).splitlines()[2:] == [
        "| 4 bits, symmetric, per channel | 1.0 / 3.0 | 10 / 20 | 1.00 / 1.50 |",
        f"| 8 bits, symmetric, per channel | {DASH} / 5.0 | {DASH} / 30 | {DASH} / {DASH} |",
    ]


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
