import random

import numpy as np
import pytest

from tfconformer.decoding.wer import Segment, align, count_errors, wer_difference, word_errors
from tfconformer.errors import InputError


def edit_distance(reference: list[str], hypothesis: list[str]) -> int:
    """The textbook dynamic program, as an oracle independent of jiwer."""
    table = [[max(i, j) if 0 in (i, j) else 0 for j in range(len(hypothesis) + 1)] for i in range(len(reference) + 1)]
    for i, expected in enumerate(reference, 1):
        for j, actual in enumerate(hypothesis, 1):
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + (expected != actual))
    return table[-1][-1]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("THE CAT SAT", "THE CAT SAT", [3, 0, 0, 0]),
        ("THE CAT SAT", "THE BAT SAT", [3, 1, 0, 0]),
        ("THE CAT SAT", "THE SAT", [3, 0, 1, 0]),
        ("THE CAT SAT", "THE CAT SAT DOWN", [3, 0, 0, 1]),
        ("THE CAT SAT", "", [3, 0, 3, 0]),
        ("", "THE CAT", [0, 0, 0, 2]),
        ("", "", [0, 0, 0, 0]),
        ("  THE\tCAT\n", "THE  CAT", [2, 0, 0, 0]),
        ("THE CAT", "the cat", [2, 2, 0, 0]),
    ],
)
def test_hand_counted_errors(reference, hypothesis, expected):
    assert count_errors([reference], [hypothesis]).tolist() == [expected]


def test_random_sentences_against_the_oracle():
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)
    generator = random.Random(seed)
    # Five words over lengths up to eight: repeated words make the alignment ambiguous, the distance never is.
    sentences = [[generator.choice("ABCDE") for _ in range(generator.randrange(9))] for _ in range(600)]
    references, hypotheses = sentences[:300], sentences[300:]
    counts = count_errors([" ".join(words) for words in references], [" ".join(words) for words in hypotheses])
    for reference, hypothesis, (words, substitutions, deletions, insertions) in zip(
        references, hypotheses, counts.tolist(), strict=True
    ):
        assert words == len(reference)
        assert substitutions + deletions + insertions == edit_distance(reference, hypothesis)
        assert len(hypothesis) == words - deletions + insertions


def test_totals_and_rate():
    errors = word_errors(["A B C D", "A B", ""], ["A X C", "A B", "Y Z"])
    assert (errors.utterances, errors.words) == (3, 6)
    assert (errors.substitutions, errors.deletions, errors.insertions) == (1, 1, 2)
    assert errors.wer == pytest.approx(4 / 6)
    assert errors.wer_low <= errors.wer <= errors.wer_high


def test_a_perfect_system_has_no_width():
    errors = word_errors(["A B", "C"], ["A B", "C"])
    assert (errors.wer, errors.wer_low, errors.wer_high) == (0.0, 0.0, 0.0)


def test_more_insertions_than_words():
    assert word_errors(["A"], ["A B C"]).wer == 2.0


def test_interval_matches_the_normal_approximation():
    """One word an utterance, right or wrong: WER is a binomial proportion, whose standard error is sqrt(p(1-p)/n)."""
    utterances, wrong = 900, 180
    errors = word_errors(["A"] * utterances, ["B"] * wrong + ["A"] * (utterances - wrong))
    half_width = 1.96 * np.sqrt(0.2 * 0.8 / utterances)
    # The bounds are multiples of 1/900 = 0.0011, and a 2.5 % quantile of 10,000 draws has a standard error of
    # sqrt(.025 * .975 / 10000) / (normal density there, .058) * .0133 = 0.0004: three of them and one step.
    tolerance = 0.0012 + 0.0012
    assert errors.wer_low == pytest.approx(0.2 - half_width, abs=tolerance)
    assert errors.wer_high == pytest.approx(0.2 + half_width, abs=tolerance)


def test_interval_is_over_utterances_not_words():
    """Errors that come in whole utterances widen the interval by sqrt(words an utterance) against scattered ones."""
    clustered = word_errors(["A " * 16] * 400, ["B " * 16] * 80 + ["A " * 16] * 320)
    scattered = word_errors(["A"] * 6400, ["B"] * 1280 + ["A"] * 5120, resamples=2000)
    ratio = (clustered.wer_high - clustered.wer_low) / (scattered.wer_high - scattered.wer_low)
    # sqrt(16) = 4; the wider interval's quantization (1/400) and the resampling error are about 5 % each.
    assert ratio == pytest.approx(4.0, rel=0.2)


def test_the_interval_is_reproducible():
    references = ["A B C", "D E", "F G H I"] * 20
    hypotheses = ["A B", "D E", "F X H I"] * 20
    assert word_errors(references, hypotheses) == word_errors(references, hypotheses)
    assert word_errors(references, hypotheses, seed=1) != word_errors(references, hypotheses, seed=0)


def test_paired_difference_sees_what_separate_intervals_cannot():
    """The system errs exactly where the baseline does and on a few utterances more."""
    references = ["A"] * 1000
    baseline = ["B"] * 300 + ["A"] * 700
    system = ["B"] * 320 + ["A"] * 680
    assert word_errors(references, baseline).wer_high > word_errors(references, system).wer
    difference = wer_difference(references, baseline, system)
    assert difference.difference == pytest.approx(0.02)
    assert not difference.low <= 0.0 <= difference.high
    # The excess is a binomial of rate .02: 1.96 * sqrt(.02 * .98 / 1000) = .0087; steps of .001 and .0003 resampling
    # error, as above.
    assert (difference.high - difference.low) / 2 == pytest.approx(0.0087, abs=0.002)


def test_difference_is_antisymmetric_in_sign_and_zero_for_equals():
    references, one, other = ["A B", "C D"] * 30, ["A B", "C"] * 30, ["A X", "C D"] * 20 + ["A B", "C D"] * 10
    assert wer_difference(references, one, other).difference == -wer_difference(references, other, one).difference
    same = wer_difference(references, one, one)
    assert (same.difference, same.low, same.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("references", "hypotheses", "message"),
    [([], [], "no utterance"), (["A"], [], "0 hypotheses against 1"), (["", " "], ["A", ""], "no word")],
)
def test_what_cannot_be_scored_is_refused(references, hypotheses, message):
    with pytest.raises(InputError, match=message):
        word_errors(references, hypotheses)


def test_alignment_segments():
    assert align("ONE TWO THREE FOUR FIVE SIX", "ONE THREE FOR FIVE SIX SEVEN EIGHT") == [
        Segment("equal", ("ONE",), ("ONE",)),
        Segment("delete", ("TWO",), ()),
        Segment("equal", ("THREE",), ("THREE",)),
        Segment("substitute", ("FOUR",), ("FOR",)),
        Segment("equal", ("FIVE", "SIX"), ("FIVE", "SIX")),
        Segment("insert", (), ("SEVEN", "EIGHT")),
    ]
    assert align("", "") == []
