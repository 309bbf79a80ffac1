"""The pages show what the results files hold."""

import shutil

import pytest
from click.testing import CliRunner

from benchmarks.tables import (
    SIZE_PLOT,
    conversion_table,
    layer_table,
    litert_table,
    main,
    time_and_limit,
)
from tfconformer.decoding.wer import word_errors
from tfconformer.reports.rows import (
    Accuracy,
    Gemm,
    GeneratedSpeech,
    Quantization,
    ResultRow,
    Size,
    Speed,
    StepTime,
)
from tfconformer.reports.tables import DASH

PAGES = [
    *("README.md", "docs/results/benchmarks.md", "docs/guides/streaming.md"),
    *("docs/results/parrotron.md", "docs/reference/transducer.md", "docs/results/amx.md", "docs/results/avx2.md"),
    "docs/guides/scale-out.md",
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


def test_speech_at_several_lags_has_a_line_for_each():
    def row(model, test_set, hypothesis, lag_ms=None, **size):
        accuracy = Accuracy.of_errors(test_set, word_errors(["A B C D"], [hypothesis]), skipped=0)
        speech = GeneratedSpeech(
            cer=0.1,
            mos=3.456,
            length_ratio_p10=1.0,
            length_ratio_p50=1.0,
            length_ratio_p90=1.0,
            lag_ms=lag_ms,
            stopped=1.0,
        )
        return ResultRow(model=model, accuracy=accuracy, generated_speech=speech, size=Size(**size))

    none, one = "A B C D", "A B C"
    rows = [
        *(row("source", "a", one), row("source", "b", one)),
        *(row("int8", "a", none, file_bytes=10**6), row("int8", "b", one, file_bytes=10**6)),
        *(row("int8", "a", one, lag_ms=850.0, file_bytes=10**6), row("int8", "b", one, lag_ms=850.0)),
    ]
    lines = conversion_table(rows).splitlines()
    assert "WER a, % | WER b, %" in lines[0]
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]] == [
        "source", "int8", "int8, 850 ms behind the speaker",
    ]  # fmt: skip
    assert "| 1.00 | 0.0 [0.0–0.0] | 25.0 [25.0–25.0] | 10.0 | 3.46 | 100.0 | 1.00 |" in lines[3]


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
