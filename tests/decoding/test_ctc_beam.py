"""CTC beam search against sums over all alignments, with and without a language model."""

import itertools
import math
import sys

import numpy as np
import pytest

from tfconformer.decoding.ctc import greedy_decode
from tfconformer.decoding.ctc_beam import BeamDecoder, StreamingCTCBeamDecoder
from tfconformer.decoding.ngram import estimate, write_arpa
from tfconformer.errors import InputError

TOKENS = ["A", "B"]
# "A" and "B" by turns, so that a repetition is unlikely.
SENTENCES = ["ABAB", "BABA", "ABA", "AB", "BA", "BAB", "AAB"]


def logits(seed: int, frames: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(frames, 3)).astype(np.float32)


def collapse(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(symbol for symbol, _ in itertools.groupby(path) if symbol)


def all_transcripts(logits: np.ndarray) -> dict[tuple[int, ...], float]:
    """Log-probability of every transcript, path by path."""
    logs = logits.astype(np.float64)
    logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
    totals: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(3), repeat=len(logs)):
        labels, log = collapse(path), logs[np.arange(len(logs)), path].sum()
        totals[labels] = np.logaddexp(totals.get(labels, -np.inf), log)
    return totals


@pytest.fixture(scope="module")
def arpa(tmp_path_factory):
    path = tmp_path_factory.mktemp("lm") / "two.arpa"
    write_arpa(estimate(SENTENCES, order=2), path)
    return path


def sentence_log_probability(labels: tuple[int, ...]) -> float:
    """Of a bigram model, in which both letters follow everything."""
    model = estimate(SENTENCES, order=2)
    tokens = ["<s>", *(TOKENS[label - 1] for label in labels), "</s>"]
    total = 0.0
    for pair in itertools.pairwise(tokens):
        backed_off = model.backoffs[pair[:1]] * model.probabilities[pair[1:]]
        total += math.log(model.probabilities.get(pair, backed_off))
    return total


@pytest.mark.parametrize("seed", range(8))
def test_finds_the_most_likely_transcript(seed):
    totals = all_transcripts(logits(seed))
    assert tuple(BeamDecoder(TOKENS, width=200).decode(logits(seed))) == max(totals, key=totals.__getitem__)


@pytest.mark.parametrize("weight", [0.3, 1.5])
@pytest.mark.parametrize("seed", range(8))
def test_a_language_model_adds_its_weighted_logarithm(seed, weight, arpa):
    totals = all_transcripts(logits(seed))
    scores = {labels: log + weight * sentence_log_probability(labels) for labels, log in totals.items()}
    best = max(scores, key=scores.__getitem__)
    assert tuple(BeamDecoder(TOKENS, 200, arpa, weight).decode(logits(seed))) == best


def test_beam_search_differs_from_the_best_path_where_alignments_add_up():
    # Graves et al. 2006, fig. 2: the best path is blank, but A has more probability over its alignments.
    frames = np.log(np.array([[0.6, 0.4, 1e-9], [0.6, 0.4, 1e-9]]))
    assert greedy_decode(frames) == []
    assert BeamDecoder(TOKENS, width=8).decode(frames) == [1]


def test_a_label_in_every_frame_and_none_at_all():
    decoder = BeamDecoder(TOKENS)
    assert decoder.decode(np.zeros([0, 3])) == []
    assert decoder.decode(-20.0 * (1 - np.eye(3)[[1, 0, 1, 2, 2]])) == [1, 1, 2]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("cuts", [[], [1], [2, 2, 5]])
def test_a_stream_decodes_as_the_whole_utterance(seed, cuts):
    stream = StreamingCTCBeamDecoder(BeamDecoder(TOKENS, width=200))
    for chunk in np.split(logits(seed), cuts):
        stream.push(chunk)
    assert (stream.ids, stream.frames) == (BeamDecoder(TOKENS, width=200).decode(logits(seed)), 6)
    times = list(itertools.chain.from_iterable(zip(stream.starts, stream.ends, strict=True)))
    assert times == sorted(times) and all(a < b for a, b in zip(stream.starts, stream.ends, strict=True))


def test_the_hypothesis_of_a_beam_lies_where_it_was_aligned():
    """Two frames that are rather A than blank by turns: the best path is A, but A in one run is more likely."""
    frames = np.log(np.array([[0.9, 0.05, 0.05], [0.6, 0.4, 1e-9], [0.6, 0.4, 1e-9], [0.1, 0.1, 0.8]]))
    stream = StreamingCTCBeamDecoder(BeamDecoder(TOKENS, width=8))
    stream.push(frames[:2])
    assert (stream.ids, stream.trailing_blanks) == ([], 2)
    stream.push(frames[2:])
    assert greedy_decode(frames) == [2]
    # The survivor of A's alignments in frames 1 and 2 is the one that was most likely when they met.
    assert stream.ids == [1, 2]
    assert stream.starts[0] in (1, 2) and stream.ends[0] in (2, 3) and (stream.starts[1], stream.ends[1]) == (3, 4)
    np.testing.assert_allclose(stream.confidences, [0.4, 0.8], rtol=1e-6)  # log-probabilities are float32
    assert stream.trailing_blanks == 0


def test_bad_input_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"shape \[frames, 3\], got \[5, 4\]"):
        BeamDecoder(TOKENS).decode(np.zeros([5, 4]))
    with pytest.raises(ValueError, match="NaN"):
        BeamDecoder(TOKENS).decode(np.full([5, 3], np.nan))
    with pytest.raises(InputError, match=r"no language model .*missing\.arpa"):
        BeamDecoder(TOKENS, language_model=tmp_path / "missing.arpa")
    (tmp_path / "text.arpa").write_text("not a language model\n")
    with pytest.raises(InputError, match=r"cannot read the language model .*text\.arpa"):
        BeamDecoder(TOKENS, language_model=tmp_path / "text.arpa")


def test_without_the_library_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "flashlight.lib.text", None)
    with pytest.raises(InputError, match=r"tfconformer\[beam\]"):
        BeamDecoder(TOKENS)
