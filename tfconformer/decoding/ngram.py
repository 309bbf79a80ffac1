"""N-gram language models over tokens, written as ARPA files that any n-gram toolkit reads.

Interpolated modified Kneser-Ney smoothing (Chen and Goodman 1998, "An empirical study of smoothing techniques for
language modeling", sec. 4.1.2 and 3.6): with c(h w) the count of an n-gram, in lower orders the number of different
words that precede it,

    p(w | h) = (c(h w) - D(c(h w))) / c(h .) + gamma(h) p(w | h without its first word)

where gamma passes the probability that the discounts D take away to the next lower order, and the lowest is uniform.
N-grams at the beginning of a sentence follow no word and keep their count.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfconformer import atomic
from tfconformer.errors import InputError

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
# Used where a corpus is too small or too regular to estimate discounts from.
_USUAL_DISCOUNTS = (0.5, 1.0, 1.5)
_IMPOSSIBLE = -99.0  # log10, as the format writes it

Gram = tuple[str, ...]


@dataclass(frozen=True)
class NGrams:
    """The probabilities of a language model.

    Attributes:
      probabilities: for each n-gram of any order, the probability of its last token after the others, in (0, 1].
      backoffs: for each n-gram that is the context of another, its backoff weight gamma.
      order: length of the longest n-gram, at least 1.
    """

    probabilities: dict[Gram, float]
    backoffs: dict[Gram, float]
    order: int


def estimate(sentences: Iterable[Sequence[str]], order: int) -> NGrams:
    """Estimates a language model.

    Args:
      sentences: the tokens of every sentence.
      order: length of the longest n-gram, at least 1.

    Raises:
      InputError: there is no sentence, or a token is reserved by the ARPA format or holds white space.
    """
    raw = _raw_counts(sentences, order)
    vocabulary = len(raw[0].keys() - {(BEGIN,)}) + 1  # plus the unknown token
    probabilities: dict[Gram, float] = {(): 1.0 / vocabulary}
    backoffs: dict[Gram, float] = {}
    for length in range(1, order + 1):
        counts = _adjusted_counts(raw, length)
        discount = _discounts(counts)
        totals: dict[Gram, int] = defaultdict(int)
        removed: dict[Gram, float] = defaultdict(float)
        for gram, count in counts.items():
            totals[gram[:-1]] += count
            removed[gram[:-1]] += discount(count)
        gammas = {context: removed[context] / total for context, total in totals.items()}
        for gram, count in counts.items():
            context = gram[:-1]
            own = (count - discount(count)) / totals[context]
            probabilities[gram] = own + gammas[context] * probabilities[gram[1:]]
        backoffs |= gammas
    probabilities[(UNKNOWN,)] = backoffs.pop(()) * probabilities.pop(())
    return NGrams(probabilities, backoffs, order)


def write_arpa(model: NGrams, path: str | Path) -> None:
    """Writes a model in ARPA format (log10), atomically."""
    lines = ["\\data\\"]
    grams = [sorted(gram for gram in model.probabilities if len(gram) == n + 1) for n in range(model.order)]
    grams[0].append((BEGIN,))
    lines += [f"ngram {n + 1}={len(grams[n])}" for n in range(model.order)]
    for n in range(model.order):
        lines += ["", f"\\{n + 1}-grams:"]
        for gram in grams[n]:
            log = math.log10(model.probabilities[gram]) if gram in model.probabilities else _IMPOSSIBLE
            backoff = [f"{math.log10(model.backoffs[gram]):.7g}"] if gram in model.backoffs else []
            lines.append("\t".join([f"{log:.7g}", " ".join(gram), *backoff]))
    atomic.write_text(path, "\n".join([*lines, "", "\\end\\", ""]))


def _raw_counts(sentences: Iterable[Sequence[str]], order: int) -> list[Counter[Gram]]:
    counts: list[Counter[Gram]] = [Counter() for _ in range(order)]
    for sentence in sentences:
        reserved = [token for token in sentence if token in (BEGIN, END, UNKNOWN) or token.split() != [token]]
        if reserved:
            raise InputError(f"a language model cannot have the token {reserved[0]!r}")
        padded = (BEGIN, *sentence, END)
        for length, counter in enumerate(counts, 1):
            counter.update(padded[start : start + length] for start in range(len(padded) - length + 1))
    if not counts[0]:
        raise InputError("cannot estimate a language model: there is no sentence")
    return counts


def _adjusted_counts(raw: Sequence[Counter[Gram]], length: int) -> Counter[Gram]:
    """Returns the counts of the longest n-grams; for shorter ones, the number of different tokens that precede them."""
    if length == len(raw):
        return Counter({gram: count for gram, count in raw[length - 1].items() if gram != (BEGIN,)})
    adjusted = Counter(gram[1:] for gram in raw[length])
    beginnings = {gram: count for gram, count in raw[length - 1].items() if gram[0] == BEGIN and length > 1}
    return adjusted + Counter(beginnings)


def _discounts(counts: Counter[Gram]) -> Callable[[int], float]:
    """Returns the discount as a function of the count: constants for 1, 2 and more (Chen and Goodman, eq. 26)."""
    n1, n2, n3, n4 = (sum(count == wanted for count in counts.values()) for wanted in (1, 2, 3, 4))
    estimates = _USUAL_DISCOUNTS
    if n1 and n2 and n3:
        y = n1 / (n1 + 2 * n2)
        found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
        if all(0 < value <= limit for limit, value in enumerate(found, 1)):
            estimates = found
    return lambda count: min(estimates[min(count, 3) - 1], count)
