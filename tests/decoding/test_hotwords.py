"""Gains of hotwords against counting them in a list of labels, and searches with them against all transcripts."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from tests.decoding.test_ctc_beam import all_transcripts as all_of_ctc
from tests.decoding.test_transducer import TableNetwork, encodings
from tests.decoding.test_transducer import all_transcripts as all_of_transducer
from tfconformer.data.config import TokenizerConfig
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.decoding.beam import BeamSearch, read_hotwords
from tfconformer.decoding.ctc_beam import BeamDecoder, StreamingCTCBeamDecoder
from tfconformer.decoding.hotwords import HotwordTree
from tfconformer.decoding.transducer import StreamingTransducerDecoder, beam_search, best_hypothesis
from tfconformer.errors import InputError

TOKENS = ["▁A", "B", "▁C", "D"]
BOOST = 1.5


def tree(phrases: list[tuple[int, ...]], tokens: list[str] = TOKENS, boost: float = BOOST) -> HotwordTree:
    """A tree of phrases that are given as labels."""
    labels = {str(phrase): list(phrase) for phrase in phrases}
    return HotwordTree(labels, SimpleNamespace(tokens=tokens, encode=labels.__getitem__), boost)


def counted(phrases: list[tuple[int, ...]], labels: tuple[int, ...], tokens: list[str] = TOKENS) -> float:
    """The boosts of all places where a phrase stands and the next label, if there is one, begins a word."""
    total = 0.0
    for phrase in phrases:
        for end in range(len(phrase), len(labels) + 1):
            stands = labels[end - len(phrase) : end] == phrase
            if stands and (end == len(labels) or tokens[labels[end] - 1].startswith("▁")):
                total += BOOST * len(phrase)
    return total


@pytest.mark.parametrize(
    "phrases",
    [[(1, 2)], [(1, 2), (1,)], [(1, 2, 3), (3, 4)], [(1, 2, 1, 4), (1, 4), (3,)], [(1, 2, 1, 2, 1), (1, 2, 1, 2)]],
)
def test_gains_are_those_of_the_places_where_hotwords_stand(phrases):
    found = tree(phrases)
    for labels in itertools.chain.from_iterable(itertools.product(range(1, 5), repeat=count) for count in range(7)):
        match = found.match(labels)
        assert found.final_gain(match) == counted(phrases, labels)
        gains = found.gains(match)
        assert gains.tolist() == [
            found.gain(match),
            *(found.gain(found.advance(match, label)) for label in range(1, 5)),
        ]


def test_a_phrase_that_is_begun_has_the_gain_of_its_tokens():
    found = tree([(1, 2, 3, 4)])
    assert [found.gain(found.match((1, 2, 3, 4)[:count])) for count in range(5)] == [
        BOOST * count for count in range(5)
    ]
    assert found.gain(found.match((1, 2, 3, 3))) == 0.0


def test_characters_have_a_space_before_them_but_at_the_start():
    tokenizer = Tokenizer.train(["CAT LOG SCAT"], TokenizerConfig(model_type="char"))
    found = HotwordTree(["CAT"], tokenizer, BOOST)
    gains = {
        text: found.final_gain(found.match(tokenizer.encode(text)))
        for text in ("CAT", "LOG CAT", "CAT LOG", "CAT CAT", "CATALOG", "SCAT", "LOG CATS", "CA CA")
    }
    three = 3 * BOOST
    assert gains == {
        "CAT": three, "LOG CAT": three, "CAT LOG": three, "CAT CAT": 2 * three,
        "CATALOG": 0, "SCAT": 0, "LOG CATS": 0, "CA CA": 0,
    }  # fmt: skip


def test_word_pieces():
    tokenizer = Tokenizer.train(
        ["NEW YORK CITY", "YORK IS NEW"], TokenizerConfig(model_type="unigram", vocabulary_size=16)
    )
    found = HotwordTree(["NEW YORK", "YORK"], tokenizer, BOOST)
    tokens = {text: len(tokenizer.encode(text)) for text in ("NEW YORK", "YORK")}
    match = found.match(tokenizer.encode("IS NEW YORK CITY"))
    assert found.final_gain(match) == BOOST * sum(tokens.values())
    assert found.final_gain(found.match(tokenizer.encode("NEW CITY"))) == 0


@pytest.mark.parametrize("seed", range(4))
def test_a_beam_of_ctc_finds_the_best_sum(seed):
    tokens, phrases = ["▁A", "▁B"], [(1, 2), (2, 2, 1)]
    logits = np.random.default_rng(seed).normal(size=(6, 3)).astype(np.float32)
    totals = {labels: log + counted(phrases, labels, tokens) for labels, log in all_of_ctc(logits).items()}
    best = max(totals, key=totals.__getitem__)
    decoder = BeamDecoder(tokens, width=300, hotwords=tree(phrases, tokens))
    assert tuple(decoder.decode(logits)) == best
    stream = StreamingCTCBeamDecoder(decoder)
    for chunk in np.split(logits, [1, 4]):
        stream.push(chunk)
    assert tuple(stream.ids) == best != tuple(BeamDecoder(tokens, width=300).decode(logits))


@pytest.mark.parametrize("seed", range(4))
def test_a_beam_of_a_transducer_finds_the_best_sum(seed):
    tokens, phrases = ["▁A", "▁B"], [(1, 2), (2, 2, 1)]
    frames, hotwords = encodings(seed=seed), tree([(1, 2), (2, 2, 1)], tokens)
    totals = {
        labels: log + counted(phrases, labels, tokens)
        for labels, log in all_of_transducer(frames, max_symbols=2).items()
    }
    best = max(totals, key=totals.__getitem__)
    beam = beam_search(TableNetwork(), frames, width=10_000, max_symbols=2, hotwords=hotwords)
    found = best_hypothesis(beam, hotwords)
    assert found.labels == best
    # The probability stays that of the model; logits are float32.
    expected = all_of_transducer(frames, max_symbols=2)[best]
    np.testing.assert_allclose(found.log_probability, expected, rtol=1e-6)
    stream = StreamingTransducerDecoder(TableNetwork(), width=10_000, max_symbols=2, hotwords=hotwords)
    for frame in frames:
        stream.push(frame[np.newaxis])
    assert tuple(stream.ids) == best and len(stream.confidences) == len(best)


def test_files_of_hotwords(tmp_path):
    path = tmp_path / "names.txt"
    path.write_bytes(b"\xef\xbb\xbfSHOSTAKOVICH\r\n\n  NEW   YORK \n")
    assert read_hotwords(path) == ("SHOSTAKOVICH", "NEW YORK")
    for content, reason in ((b"\n \n", "has no hotword"), (b"\xff\xfe", "it is not UTF-8")):
        path.write_bytes(content)
        with pytest.raises(InputError, match=reason):
            read_hotwords(path)
    with pytest.raises(InputError, match="No such file"):
        read_hotwords(tmp_path / "missing.txt")


def test_what_cannot_be_written_is_refused():
    tokenizer = Tokenizer.train(["CAT LOG"], TokenizerConfig(model_type="char"))
    assert BeamSearch(4).hotword_tree(tokenizer) is None
    with pytest.raises(InputError, match="lacks the characters 'XZ' of 'XZ'"):
        BeamSearch(4, hotwords=("CAT", "XZ")).hotword_tree(tokenizer)
    with pytest.raises(InputError, match="a hotword is empty"):
        BeamSearch(4, hotwords=(" ",)).hotword_tree(tokenizer)
