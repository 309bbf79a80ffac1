"""Kneser-Ney against the definition written as plain sums, and the file in another program (KenLM)."""

import itertools
import math

import pytest

from tfconformer.decoding.ngram import BEGIN, END, estimate, write_arpa
from tfconformer.errors import InputError

SENTENCES = [
    list(text) for text in ("ABRACADABRA", "BARBARA", "CADABRA", "ABBA", "DAD", "A", "CAB", "RADAR", "BRA", "")
]
TOKENS = ["A", "B", "C", "D", "R", END]


def definition(context: tuple[str, ...], word: str, order: int) -> float:
    """p(word | context) by Chen and Goodman's formulas, each count summed anew from the sentences."""
    padded = [[BEGIN, *sentence, END] for sentence in SENTENCES]

    def occurrences(length: int) -> list[tuple[str, ...]]:
        return [tuple(s[i : i + length]) for s in padded for i in range(len(s) - length + 1)]

    def count(gram: tuple[str, ...]) -> int:
        if len(gram) == order or (gram[0] == BEGIN and len(gram) > 1):
            return occurrences(len(gram)).count(gram)
        return len({longer for longer in occurrences(len(gram) + 1) if longer[1:] == gram})

    length = len(context) + 1
    counts = {gram: count(gram) for gram in set(occurrences(length)) if gram != (BEGIN,)}
    n = [sum(value == k for value in counts.values()) for k in range(5)]
    discounts = [0.5, 1.0, 1.5]
    if n[1] and n[2] and n[3]:
        y = n[1] / (n[1] + 2 * n[2])
        estimates = [k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3)]
        if all(0 < estimates[k - 1] <= k for k in (1, 2, 3)):
            discounts = estimates
    following = {gram: value for gram, value in counts.items() if gram[:-1] == context}
    lower = definition(context[1:], word, order) if context else 1 / (len(TOKENS) + 1)
    if not following:
        return lower
    taken = sum(min(discounts[min(value, 3) - 1], value) for value in following.values())
    value = counts.get((*context, word), 0)
    own = value - min(discounts[min(value, 3) - 1], value) if value else 0.0
    return (own + taken * lower) / sum(following.values())


@pytest.mark.parametrize("order", [1, 2, 3])
def test_probabilities_are_those_of_the_definition(order):
    model = estimate(SENTENCES, order)
    assert {len(gram) for gram in model.probabilities} == set(range(1, order + 1))
    for gram, probability in model.probabilities.items():
        if gram != ("<unk>",):
            assert probability == pytest.approx(definition(gram[:-1], gram[-1], order), rel=1e-9), gram


def test_another_program_reads_a_distribution(tmp_path):
    decoder = pytest.importorskip("flashlight.lib.text.decoder")
    from flashlight.lib.text.decoder.kenlm import KenLM
    from flashlight.lib.text.dictionary import Dictionary

    assert decoder is not None
    write_arpa(estimate(SENTENCES, 3), tmp_path / "model.arpa")
    tokens = [token for token in TOKENS if token != END]
    model = KenLM(str(tmp_path / "model.arpa"), Dictionary(tokens))
    for context in itertools.product(range(len(tokens)), repeat=3):
        state = model.start(False)
        for index in context:
            state, _ = model.score(state, index)
        scores = [model.score(state, index)[1] for index in range(len(tokens))] + [model.finish(state)[1]]
        last = tuple(tokens[index] for index in context[1:])
        for token, score in zip(TOKENS, scores, strict=True):
            assert score == pytest.approx(math.log10(definition(last, token, 3)), abs=1e-5)  # 7 digits in the file


def test_bad_corpora_are_refused():
    with pytest.raises(InputError, match="no sentence"):
        estimate([], 2)
    for token in ("<s>", "A B", ""):
        with pytest.raises(InputError, match="cannot have the token"):
            estimate([["A", token]], 2)
