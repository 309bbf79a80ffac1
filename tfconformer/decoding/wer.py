"""Word error rate with a confidence interval.

    errors = word_errors(references, hypotheses)
    print(f"{errors.wer:.1%} [{errors.wer_low:.1%}, {errors.wer_high:.1%}]")

The alignment is jiwer's (minimal Levenshtein distance over words). Intervals are 95 % percentile bootstraps over
utterances (Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation", ICASSP 2004):
utterances are redrawn with replacement, and the WER is the ratio of the redrawn sums. They estimate how far another
draw of sentences would move the number; they do not cover another choice of speakers or of training seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jiwer
import numpy as np

from tfconformer.errors import InputError

RESAMPLES = 10_000
_PERCENTILES = (2.5, 97.5)
_DRAWS_PER_CHUNK = 1 << 20


@dataclass(frozen=True)
class WordErrors:
    """The score of one system on one test set.

    Attributes:
      utterances: number of scored utterances.
      words: number of words in the references, at least 1.
      substitutions, deletions, insertions: numbers of errors, summed over the utterances.
      wer: (substitutions + deletions + insertions) / words; a fraction, above 1 with many insertions.
      wer_low, wer_high: bounds of the 95 % interval of `wer`.
    """

    utterances: int
    words: int
    substitutions: int
    deletions: int
    insertions: int
    wer: float
    wer_low: float
    wer_high: float


@dataclass(frozen=True)
class WerDifference:
    """The WER of a system minus that of a baseline on the same utterances.

    Attributes:
      difference: WER of the system minus WER of the baseline, a fraction.
      low, high: bounds of the 95 % interval of the difference, from a paired bootstrap.
    """

    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Segment:
    """A run of words with the same kind of edit in the alignment of a reference and a hypothesis.

    Attributes:
      kind: "equal", "substitute", "delete" (words missing in the hypothesis) or "insert" (extra words in it).
      reference, hypothesis: the words on either side; empty for "insert" and "delete", respectively.
    """

    kind: str
    reference: tuple[str, ...]
    hypothesis: tuple[str, ...]


def align(reference: str, hypothesis: str) -> list[Segment]:
    """Aligns two sentences word by word."""
    output = jiwer.process_words([_clean(reference)], [_clean(hypothesis)])
    (expected,), (actual,), (chunks,) = output.references, output.hypotheses, output.alignments
    return [
        Segment(
            kind=chunk.type,
            reference=tuple(expected[chunk.ref_start_idx : chunk.ref_end_idx]),
            hypothesis=tuple(actual[chunk.hyp_start_idx : chunk.hyp_end_idx]),
        )
        for chunk in chunks
    ]


def count_errors(references: Sequence[str], hypotheses: Sequence[str]) -> np.ndarray:
    """Counts the errors of every utterance.

    Words are separated by white space; case and punctuation count. An empty reference is legal: every word of its
    hypothesis is an insertion.

    Args:
      references: transcripts.
      hypotheses: recognized texts, in the same order.

    Returns:
      [utterances, 4] int64: words of the reference, substitutions, deletions, insertions.

    Raises:
      InputError: there is no utterance, or the two differ in number.
    """
    if len(references) != len(hypotheses):
        raise InputError(f"cannot score {len(hypotheses)} hypotheses against {len(references)} references")
    if not references:
        raise InputError("cannot compute a word error rate: there is no utterance")
    output = jiwer.process_words([_clean(text) for text in references], [_clean(text) for text in hypotheses])
    counts = np.zeros((len(references), 4), np.int64)
    counts[:, 0] = [len(words) for words in output.references]
    columns = {"substitute": 1, "delete": 2, "insert": 3}
    for row, chunks in zip(counts, output.alignments, strict=True):
        for chunk in chunks:
            if chunk.type in columns:
                reference_words = chunk.ref_end_idx - chunk.ref_start_idx
                hypothesis_words = chunk.hyp_end_idx - chunk.hyp_start_idx
                row[columns[chunk.type]] += max(reference_words, hypothesis_words)
    return counts


def word_errors(
    references: Sequence[str], hypotheses: Sequence[str], resamples: int = RESAMPLES, seed: int = 0
) -> WordErrors:
    """Scores a system; the same arguments always give the same interval.

    Args:
      references: transcripts.
      hypotheses: recognized texts, in the same order.
      resamples: number of bootstrap resamples.
      seed: seed of the bootstrap.

    Raises:
      InputError: there is no utterance, the two differ in number, or the references hold no word at all.
    """
    counts = count_errors(references, hypotheses)
    words, substitutions, deletions, insertions = (int(total) for total in counts.sum(axis=0))
    _require_words(words)
    errors = counts[:, 1:].sum(axis=1)
    low, high = _interval(errors, counts[:, 0], resamples, seed)
    return WordErrors(
        utterances=len(references),
        words=words,
        substitutions=substitutions,
        deletions=deletions,
        insertions=insertions,
        wer=(substitutions + deletions + insertions) / words,
        wer_low=low,
        wer_high=high,
    )


def character_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Returns character errors over the characters of the references, spaces included; a fraction.

    Raises:
      InputError: the references hold no word at all.
    """
    _require_words(sum(bool(_clean(text)) for text in references))
    return float(jiwer.cer(list(map(_clean, references)), list(map(_clean, hypotheses))))


def wer_difference(
    references: Sequence[str],
    baseline: Sequence[str],
    system: Sequence[str],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> WerDifference:
    """Compares two systems on the same utterances, with a paired bootstrap.

    Both are scored on the same redrawn utterances, so that errors common to both cancel: the interval of the difference
    is narrower than the two systems' own intervals suggest.

    Args:
      references: transcripts.
      baseline: hypotheses of the baseline, in the same order.
      system: hypotheses of the system, in the same order.
      resamples: number of bootstrap resamples.
      seed: seed of the bootstrap.

    Raises:
      InputError: there is no utterance, the three differ in number, or the references hold no word at all.
    """
    baseline_counts, system_counts = count_errors(references, baseline), count_errors(references, system)
    words = baseline_counts[:, 0]
    _require_words(int(words.sum()))
    excess = system_counts[:, 1:].sum(axis=1) - baseline_counts[:, 1:].sum(axis=1)
    low, high = _interval(excess, words, resamples, seed)
    return WerDifference(difference=float(excess.sum() / words.sum()), low=low, high=high)


def _clean(text: str) -> str:
    return " ".join(text.split())


def _require_words(words: int) -> None:
    if words == 0:
        raise InputError("cannot compute a word error rate: the references hold no word")


def _interval(errors: np.ndarray, words: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    """Returns the percentile interval of `sum(errors) / sum(words)` over redrawn utterances.

    Resamples are drawn in chunks to bound the memory. One without a word, which needs empty references, has no WER and
    is left out.
    """
    generator = np.random.default_rng(seed)
    per_utterance = np.stack([errors, words], axis=1)
    chunk = max(1, _DRAWS_PER_CHUNK // len(words))
    rates = []
    for start in range(0, resamples, chunk):
        shape = (min(chunk, resamples - start), len(words))
        drawn = per_utterance[generator.integers(len(words), size=shape)].sum(axis=1)
        drawn = drawn[drawn[:, 1] > 0]
        rates.append(drawn[:, 0] / drawn[:, 1])
    low, high = np.percentile(np.concatenate(rates), _PERCENTILES)
    return float(low), float(high)
