from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
import sentencepiece

from tfconformer.data.config import TokenizerConfig
from tfconformer.data.tokenizer import BLANK, Tokenizer
from tfconformer.errors import InputError

TEXTS = ["CALL THE OFFICE", "IT'S A QUIET DAY", "CALL ZÜRICH AGAIN", "THE OFFICE IS QUIET"] * 5


@pytest.fixture(params=["char", "unigram", "bpe"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return Tokenizer.train(TEXTS, TokenizerConfig(model_type=request.param, vocabulary_size=40))


def test_round_trip_in_ctc_identifiers(tokenizer: Tokenizer) -> None:
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert BLANK not in ids and max(ids) <= tokenizer.vocabulary_size <= 40
        assert tokenizer.decode(ids) == text


def test_words_are_those_of_the_text(tokenizer: Tokenizer) -> None:
    unknown = 1
    for text in TEXTS[:4]:
        ids = tokenizer.encode(text)
        words = tokenizer.words(ids)
        assert [word for word, _ in words] == text.split()
        assert [tokenizer.decode([ids[i] for i in tokens]) for _, tokens in words] == text.split()
    ids = [unknown, *tokenizer.encode("A DAY"), unknown]
    assert [word for word, _ in tokenizer.words(ids)] == tokenizer.decode(ids).split()
    assert tokenizer.words([]) == []
    with pytest.raises(ValueError, match="are not in"):
        tokenizer.words([0])


def test_characters_are_one_label_each() -> None:
    tokenizer = Tokenizer.train(TEXTS, TokenizerConfig(model_type="char"))
    assert len(tokenizer.encode("A DAY")) == len("A DAY")
    assert tokenizer.encode("A  DAY ") == tokenizer.encode("A DAY")


def test_missing_characters_are_named(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match=re.escape("lacks the characters '3é' of 'CALL 3é'")):
        tokenizer.encode("CALL 3é")
    assert tokenizer.missing_characters("CALL") == ""


def test_no_text_is_no_label(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("") == []
    assert tokenizer.decode([]) == ""


@pytest.mark.parametrize("ids", [[BLANK], [41], [-1]])
def test_decode_refuses_what_is_no_piece(tokenizer: Tokenizer, ids: list[int]) -> None:
    with pytest.raises(ValueError, match="are not in"):
        tokenizer.decode(ids)


@pytest.mark.parametrize("model_type", ["char", "unigram", "bpe"])
def test_training_is_reproducible(model_type: str) -> None:
    config = TokenizerConfig(model_type=model_type, vocabulary_size=40)
    assert Tokenizer.train(TEXTS, config).to_bytes() == Tokenizer.train(iter(TEXTS), config).to_bytes()


def test_files_and_bytes(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "run" / "tokenizer.model")
    for other in (
        Tokenizer.from_file(tmp_path / "run" / "tokenizer.model"),
        Tokenizer.from_bytes(tokenizer.to_bytes()),
    ):
        assert other.encode(TEXTS[0]) == tokenizer.encode(TEXTS[0])


@pytest.mark.parametrize("content", [b"", b"not a model", None])
def test_bad_files_are_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "tokenizer.model"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(str(path))):
        Tokenizer.from_file(path)


@pytest.mark.parametrize("model_type", ["char", "unigram", "bpe"])
def test_a_vocabulary_too_small_for_the_characters(model_type: str) -> None:
    with pytest.raises(InputError, match=r"(?i)vocabulary"):
        Tokenizer.train(TEXTS, TokenizerConfig(model_type=model_type, vocabulary_size=8))


def test_no_transcripts() -> None:
    with pytest.raises(InputError, match="there is no text"):
        Tokenizer.train(["", "  "], TokenizerConfig())


def test_the_unknown_token_may_have_any_id() -> None:
    """As the models of other programs, which begin with padding or the ends of a sentence."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS), model_writer=model, model_type="char", vocab_size=40, hard_vocab_limit=False,
        character_coverage=1.0, pad_id=0, unk_id=3, bos_id=1, eos_id=2, minloglevel=2,
    )  # fmt: skip
    tokenizer = Tokenizer.from_bytes(model.getvalue())
    assert tokenizer.missing_characters("CALL 7 ÜÖ") == "7Ö"
    with pytest.raises(InputError, match="lacks the characters '7'"):
        tokenizer.encode("CALL 7")
    assert tokenizer.decode(tokenizer.encode("CALL THE OFFICE")) == "CALL THE OFFICE"


def test_long_sentences_are_trained_on() -> None:
    long = " ".join(["CALL"] * 1000) + " XYLOPHONE"
    tokenizer = Tokenizer.train([*TEXTS, long], TokenizerConfig(model_type="char", vocabulary_size=40))
    assert tokenizer.missing_characters(long) == ""
