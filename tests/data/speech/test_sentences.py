from __future__ import annotations

import itertools
import random

from tfconformer.data.speech import sentences
from tfconformer.data.speech.normalize import normalize


def test_the_splits_are_disjoint_whatever_the_seeds() -> None:
    drawn = {}
    for split in sentences.SPLITS:
        seed = random.SystemRandom().randrange(1 << 30)
        print("seed", split, seed)
        drawn[split] = list(itertools.islice(sentences.sentences(split, random.Random(seed)), 2000))
        assert len(set(drawn[split])) == 2000, "a sentence came twice"
        assert all(sentences.split_of(sentence) == split for sentence in drawn[split])
    for first, second in itertools.combinations(drawn.values(), 2):
        assert not set(first) & set(second)


def test_the_same_seed_draws_the_same_sentences() -> None:
    first, second = (list(itertools.islice(sentences.sentences("train", random.Random(5)), 50)) for _ in range(2))
    assert first == second


def test_sentences_are_normalized_words_of_the_vocabulary() -> None:
    vocabulary = sentences.vocabulary()
    for sentence in itertools.islice(sentences.sentences("train", random.Random(1)), 2000):
        assert normalize(sentence) == sentence
        assert set(sentence.split()) <= vocabulary


def test_every_word_of_the_vocabulary_occurs() -> None:
    drawn = itertools.islice(sentences.sentences("train", random.Random(2)), 5000)
    # 5000 sentences of 9 words: the rarest word is expected more than ten times.
    assert {word for sentence in drawn for word in sentence.split()} == sentences.vocabulary()


def test_the_shares_are_those_promised() -> None:
    lines = [f"SENTENCE {i}" for i in range(20000)]
    counts = [sum(sentences.split_of(line) == split for line in lines) / len(lines) for split in sentences.SPLITS]
    # A hash is uniform: the standard error of a share of 20000 is below 0.3 %.
    assert all(abs(count - share) < 0.012 for count, share in zip(counts, (0.80, 0.08, 0.12), strict=True)), counts


def test_the_split_never_changes() -> None:
    # Recorded values: a change would turn yesterday's test sentences into today's training sentences.
    recorded = ["train", "train", "test", "train", "test", "train", "train", "dev"]
    assert [sentences.split_of(f"SENTENCE {i}") for i in range(8)] == recorded
