from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tfconformer.data.speech import debian_packages, plan
from tfconformer.data.speech.debian_packages import ArchiveUnreachableError
from tfconformer.data.speech.normalize import number_words
from tfconformer.data.speech.recordings import Recording
from tfconformer.data.speech.sentences import split_of

SCRIPT = [f"LINE NUMBER {number_words(i)} OF THE SCRIPT" for i in range(300)]


def seconds(texts: tuple[str, ...]) -> float:
    return sum(0.5 + 0.062 * len(text) for text in texts)


def test_no_sentence_is_planned_twice_outside_train() -> None:
    chapters = plan.synthetic_chapters(dict.fromkeys(plan.HOURS, 0.2), [], seed=1)
    by_subset = {name: [t for c in chapters if c.subset == name for t in c.texts] for name in plan.HOURS}
    for texts in by_subset.values():
        assert len(set(texts)) == len(texts)
    for first, second in itertools.combinations(by_subset, 2):
        assert not set(by_subset[first]) & set(by_subset[second])
    for name, texts in by_subset.items():
        assert {split_of(text) for text in texts} == {name.split("-")[0]}


def test_hours_are_kept_and_a_third_of_training_is_script() -> None:
    subset, hours = "train-synthetic", 2.0
    chapters = plan.synthetic_chapters({subset: hours, "test-clean": 0.5}, SCRIPT, seed=0)
    train = [chapter for chapter in chapters if chapter.subset == subset]
    total = sum(seconds(chapter.texts) for chapter in train)
    # Each speaker exceeds the share by less than one sentence of each of the two kinds.
    longest = max(seconds((text,)) for chapter in train for text in chapter.texts)
    assert hours * 3600 <= total <= hours * 3600 + len(train) * 2 * longest
    script = sum(seconds(tuple(text for text in chapter.texts if text in SCRIPT)) for chapter in train)
    assert script / total == pytest.approx(1 / 3, abs=0.03)
    assert not any(text in SCRIPT for chapter in chapters if chapter.subset == "test-clean" for text in chapter.texts)


def test_the_sample_is_the_grammar_alone_with_the_corpus_speakers() -> None:
    sample = plan.sample_plan()
    assert sample.packages == ()
    assert {chapter.subset for chapter in sample.chapters} == set(plan.SAMPLE_HOURS)
    assert sum(plan.SAMPLE_HOURS.values()) * 60 < 50


def test_grammar_subsets_need_no_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(debian_packages, "fetch")
    hours = dict.fromkeys(plan.HOURS, 0.01)
    some = plan.corpus_plan(tmp_path, hours, subsets=("test-other", "dev-other")).chapters
    assert {chapter.subset for chapter in some} == {"test-other", "dev-other"}
    more = plan.corpus_plan(tmp_path, hours, subsets=("test-clean", "test-other", "dev-other")).chapters
    assert set(some) <= set(more), "a subset depends on what else is made"


def test_plans_are_reproducible_and_seeds_differ() -> None:
    first, second = (plan.synthetic_chapters(plan.SAMPLE_HOURS, SCRIPT, seed=4) for _ in range(2))
    assert [chapter.digest() for chapter in first] == [chapter.digest() for chapter in second]
    other = plan.synthetic_chapters(plan.SAMPLE_HOURS, SCRIPT, seed=5)
    assert {chapter.digest() for chapter in first}.isdisjoint(chapter.digest() for chapter in other)


def test_a_character_is_one_speaker_in_all_subsets() -> None:
    def line(speaker: str, text: str) -> Recording:
        return Recording("package 1", "free", speaker, text, text, Path("x"), 0, 1, "u8")

    chapters = plan.human_chapters(
        {"train-human": [line("JOE", "A"), line("BOB", "B"), line("JOE", "C")], "test-human-seen": [line("JOE", "D")]}
    )
    described = {(c.subset, c.name, c.speaker, tuple(r.text for r in c.lines)) for c in chapters}
    assert described == {
        ("train-human", "BOB", 7000, ("B",)),
        ("train-human", "JOE", 7001, ("A", "C")),
        ("test-human-seen", "JOE", 7001, ("D",)),
    }


def test_without_the_archive_there_is_synthetic_speech_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def unreachable(name: str, cache: Path) -> None:
        raise ArchiveUnreachableError("no network")

    monkeypatch.setattr(debian_packages, "fetch", unreachable)
    hours = dict.fromkeys(plan.HOURS, 0.01)
    assert {chapter.subset for chapter in plan.corpus_plan(tmp_path, hours).chapters} == set(plan.HOURS)
    assert "no human speech: no network" in caplog.text
    with pytest.raises(ArchiveUnreachableError):
        plan.corpus_plan(tmp_path, hours, subsets=("test-human",))
