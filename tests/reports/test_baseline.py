import pytest

from tests.support.results_samples import changed, results, row, set_of
from tfconformer.decoding.wer import wer_difference
from tfconformer.errors import InputError
from tfconformer.reports.baseline import compare_with_float


def test_sizes_and_differences_against_float32():
    compared = {(one.model, set_of(one)): one for one in compare_with_float(results()).rows}
    int2 = compared["int2", "test-clean"]
    assert int2.size.float_ratio == pytest.approx(6_612_345 / 812_345)
    # One, two and three errors in the three sentences' 3 + 6 + 3 words; the float model made none.
    assert int2.accuracy.wer_difference == pytest.approx(6 / 12)
    assert compared["int8", "test-other"].accuracy.wer_difference == pytest.approx(1 / 12)
    difference = int2.accuracy
    assert difference.wer_difference_low <= difference.wer_difference <= difference.wer_difference_high


def test_the_interval_is_the_paired_one():
    compared = next(one for one in compare_with_float(results()).rows if one.model == "int2")
    expected = wer_difference(
        ["CALL HOME NOW", "THE CAT SAT ON THE MAT", "OPEN THE DOOR"],
        ["CALL HOME NOW", "THE CAT SAT ON THE MAT", "OPEN THE DOOR"],
        ["CALL HOME", "THE BAT SAT ON MAT", "OPEN THE DOOR PLEASE NOW SIR"],
    )
    difference = compared.accuracy
    assert (difference.wer_difference_low, difference.wer_difference_high) == (expected.low, expected.high)


def test_baselines_and_rows_without_one_stay_as_they_are():
    only_int2 = results().model_copy(update={"rows": (row("int2", "test-clean"),)})
    assert compare_with_float(only_int2) == only_int2
    assert compare_with_float(results()).rows[0] == results().rows[0]


def test_without_transcripts_only_sizes_are_compared():
    compared = compare_with_float(results().model_copy(update={"transcripts": ()}))
    int2 = next(one for one in compared.rows if one.model == "int2")
    assert int2.size.float_ratio is not None
    assert int2.accuracy.wer_difference is None


def test_another_runtime_is_not_a_baseline():
    other = changed(row("int2", "test-clean"), runtime="tensorflow 2.17.1")
    compared = compare_with_float(results().model_copy(update={"rows": (row("float32", "test-clean"), other)}))
    assert compared.rows[1] == other


def test_different_utterances_are_refused():
    damaged = results()
    damaged = damaged.model_copy(update={"transcripts": damaged.transcripts[:-1]})
    with pytest.raises(InputError, match="same utterances of test-other"):
        compare_with_float(damaged)


def test_two_baselines_are_refused():
    twin = changed(row("float32", "test-clean"), model="float32b")
    with pytest.raises(InputError, match="two float32 models"):
        compare_with_float(results().model_copy(update={"rows": (row("float32", "test-clean"), twin)}))


def test_float_weights_with_quantized_activations_are_no_baseline():
    rounded = changed(row("float32", "test-clean"), model="float32 x int8", activation_bits=8)
    compared = compare_with_float(results().model_copy(update={"rows": (row("float32", "test-clean"), rounded)}))
    assert [one.size.float_ratio for one in compared.rows] == [None, 1.0]
