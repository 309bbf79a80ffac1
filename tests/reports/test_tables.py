import pytest

from tests.support.results_samples import changed, results, row
from tfconformer.errors import InputError
from tfconformer.reports import tables
from tfconformer.reports.baseline import compare_with_float


def test_formats():
    assert tables.percent(0.0612) == "6.1"
    assert tables.signed_percent(0.004) == "+0.4"
    assert tables.signed_percent(-0.0123) == "\N{MINUS SIGN}1.2"
    assert tables.interval(0.0412, 0.0912) == "4.1\N{EN DASH}9.1"
    assert tables.megabytes(812_345) == "0.81 MB"
    assert tables.number(1234.5, 1) == "1,234.5"
    assert {tables.percent(None), tables.interval(0.1, None), tables.megabytes(None), tables.number(None, 2)} == {
        "\N{EN DASH}"
    }


def test_scheme_in_words():
    assert tables.scheme(row("float32", "test-clean").quantization) == "float weights"
    rows_in_8_bits = changed(row("float32", "t"), activation_bits=8)
    assert tables.scheme(rows_in_8_bits.quantization) == "float weights; 8-bit activations"
    assert tables.scheme(row("int2", "test-clean").quantization) == "2 bits, asymmetric, block 32"
    per_channel = changed(row("int8", "t"), granularity="channel", block_size=None, activation_bits=8, sparsity="2:4")
    assert tables.scheme(per_channel.quantization) == "8 bits, symmetric, per channel, 2:4 sparse; 8-bit activations"
    assert tables.scheme(changed(row("int8", "t"), weight_bits=None).quantization) == ""
    between = changed(row("int2", "t"), symmetric=True, half_integer=True)
    assert tables.scheme(between.quantization) == "2 bits, half-integer, block 32"
    assert tables.scheme(changed(between, weight_bits=1).quantization) == "1 bit, block 32"


def test_setting_in_words():
    assert tables.setting(row("int8", "t")) == "tflite-runtime 2.14.0, avx2, 1 thread"
    assert tables.setting(changed(row("int8", "t"), kernel=None, threads=4)) == ("tflite-runtime 2.14.0, 4 threads")
    assert tables.setting(changed(row("int8", "t"), evaluated_with="keras")) == "Keras"


def test_a_score_in_one_line():
    assert tables.describe(row("int8", "test-clean")) == (
        "int8 on test-clean: WER 7.4 % [5.4, 10.4] (S 3, D 2, I 1 of 12 words; 3 utterances, 0 skipped);"
        " real-time factor 0.012 (p90 0.023), peak memory 61 MB; tflite-runtime 2.14.0, avx2, 1 thread"
    )


def test_one_line_per_model_and_runtime():
    twice = [*results().rows, changed(row("int8", "test-clean"), runtime="tensorflow 2.17.1")]
    lines = tables.model_lines(twice)
    assert [(line.model, line.runtime) for line in lines] == [
        ("float32", "tflite-runtime 2.14.0"),
        ("int8", "tflite-runtime 2.14.0"),
        ("int2", "tflite-runtime 2.14.0"),
        ("int8", "tensorflow 2.17.1"),
    ]
    assert tables.test_set_names(lines) == ["test-clean", "test-other"]
    assert list(lines[3].scores) == ["test-clean"]


def test_the_same_measurement_twice_is_refused():
    with pytest.raises(InputError, match="two rows for int8 on test-clean"):
        tables.model_lines([row("int8", "test-clean"), row("int8", "test-clean").model_copy(update={"wer": 0.5})])


def test_markdown_table():
    table = tables.render_markdown_table(compare_with_float(results(("test-clean",))).rows)
    assert table == (
        "| model | weights | WER test-clean, % | file | smaller | bits/weight | RTF p50 / p90 | peak memory"
        " | runtime |\n"
        "| :-- | :-- | --: | --: | --: | --: | --: | --: | :-- |\n"
        "| float32 | float weights | 6.4 [4.4\N{EN DASH}9.4] | 6.61 MB | \N{EN DASH} | 32.50 | 0.012 / 0.023 | 61 MB |"
        " tflite-runtime 2.14.0, avx2, 1 thread |\n"
        "| int8 | 8 bits, symmetric, block 32 | 7.4 [5.4\N{EN DASH}10.4] | 2.01 MB"
        " | 3.29x | 8.50 | 0.012 / 0.023 | 61 MB |"
        " tflite-runtime 2.14.0, avx2, 1 thread |\n"
        "| int2 | 2 bits, asymmetric, block 32 | 11.1 [9.1\N{EN DASH}14.1] | 0.81 MB"
        " | 8.14x | 2.50 | 0.012 / 0.023 | 61 MB |"
        " tflite-runtime 2.14.0, avx2, 1 thread |\n"
    )


def test_a_missing_score_is_a_dash():
    rows = [*results(("test-clean",)).rows, row("int8", "test-other")]
    int2 = tables.render_markdown_table(rows).splitlines()[-1]
    assert "| 11.1 [9.1\N{EN DASH}14.1] | \N{EN DASH} |" in int2


BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


def test_markdown_file_is_updated_in_place(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nEnd.\n", encoding="utf-8")
    table = tables.render_markdown_table(results().rows)
    for _ in range(2):
        tables.update_markdown(path, {"results": tables.render_markdown_table(results().rows)})
        assert path.read_text(encoding="utf-8") == (f"# Title\n\n{BEGIN}\n{table}{END}\n\nEnd.\n")


@pytest.mark.parametrize(
    "content",
    [
        "no markers",
        BEGIN,
        f"{END} {BEGIN}",
        f"{BEGIN} {END} {END}",
        f"{BEGIN} {BEGIN} {END}",
    ],
)
def test_markers_must_stand_once_and_in_order(tmp_path, content):
    path = tmp_path / "README.md"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="results:begin"):
        tables.update_markdown(path, {"results": tables.render_markdown_table(results().rows)})
    assert path.read_text(encoding="utf-8") == content


def test_sections_are_replaced_together_or_not_at_all(tmp_path):
    path = tmp_path / "page.md"
    content = f"{BEGIN}{END} <!-- other:begin --><!-- other:end -->"
    path.write_text(content)
    with pytest.raises(InputError, match="missing:begin"):
        tables.update_markdown(path, {"results": "new\n", "missing": "new\n"})
    assert path.read_text() == content
    tables.update_markdown(path, {"other": "1\n", "results": "2\n"})
    assert path.read_text() == f"{BEGIN}\n2\n{END} <!-- other:begin -->\n1\n<!-- other:end -->"


def test_nothing_to_tabulate():
    with pytest.raises(InputError, match="no row"):
        tables.render_markdown_table([])
