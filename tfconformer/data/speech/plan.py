"""The plan of the corpus: speakers and sentences of every subset.

| subset          | speakers                                             | sentences                   |
|-----------------|------------------------------------------------------|-----------------------------|
| train-synthetic | 70 synthetic                                         | grammar, a third game script|
| dev-clean       | new warps and variants of the trained voices         | grammar                     |
| dev-other       | base voices not used elsewhere; every other degraded | grammar                     |
| test-clean      | new warps and variants of the trained voices         | grammar                     |
| test-other      | base voices not used elsewhere; every other degraded | grammar                     |
| train-human     | characters of two games                              | game script                 |
| dev-human       | held-out characters                                  | game script                 |
| test-human      | held-out characters                                  | game script                 |
| test-human-seen | training characters                                  | held-out game script        |
| test-prompts    | one telephone speaker, words joined into sentences   | digits, dates, spelling     |

"Degraded" means a room, noise or a telephone channel (`acoustics.Degradation`); in train-synthetic, every fifth
utterance is degraded. The human subsets need the Debian archive.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfconformer.data.speech import amazon_queen, asterisk, debian_packages, drascula, partition, sentences
from tfconformer.data.speech.chapters import Chapter, HumanChapter, SyntheticChapter
from tfconformer.data.speech.debian_packages import ArchiveUnreachableError, DebianPackage
from tfconformer.data.speech.recordings import Recording
from tfconformer.data.speech.voices import SPEAKERS

HOURS = {"train-synthetic": 3.5, "dev-clean": 0.12, "dev-other": 0.08, "test-clean": 0.46, "test-other": 0.46}
SAMPLE_HOURS = {"train-synthetic": 0.31, "dev-clean": 0.045, "test-clean": 0.19, "test-other": 0.155}
GAME_SUBSETS = ("train-human", "dev-human", "test-human", "test-human-seen")
SUBSETS = (*HOURS, *GAME_SUBSETS, asterisk.SUBSET)

logger = logging.getLogger(__name__)

_DEGRADED_EVERY = {"train-synthetic": 5, "dev-other": 2, "test-other": 2}
SCRIPT_SHARE = 1 / 3  # of the synthetic training speech
_SCRIPT_WORDS = range(2, 26)
_FIRST_HUMAN_SPEAKER = 7000
_PROMPTS = 200  # sentences


@dataclass(frozen=True)
class Plan:
    """Chapters of a corpus, and the packages that contain their human speech."""

    chapters: tuple[Chapter, ...]
    packages: tuple[DebianPackage, ...] = ()


def corpus_plan(
    cache: Path, hours: Mapping[str, float] = HOURS, subsets: Collection[str] = SUBSETS, seed: int = 0
) -> Plan:
    """Plans the corpus, or some of its subsets.

    If the Debian archive cannot be reached, the human subsets are left out with a warning, and the training sentences
    come from the grammar alone.

    Args:
      cache: folder of downloaded packages.
      hours: approximate duration of each synthetic subset, in hours.
      subsets: names of the subsets.
      seed: seed of sentences, levels and degradations.

    Raises:
      ArchiveUnreachableError: only human subsets are asked for, and the archive cannot be reached.
      InputError: a package lacks an expected file, or the file has another format.
    """
    try:
        packages = {name: debian_packages.fetch(name, cache) for name in _needed_packages(subsets)}
    except ArchiveUnreachableError as error:
        if set(HOURS).isdisjoint(subsets):
            raise
        logger.warning("the corpus will have no human speech: %s", error)
        packages = {}
    chapters: list[Chapter] = []
    script: list[str] = []
    if amazon_queen.PACKAGE in packages:
        lines = game_lines(packages)
        script = [line.text for line in lines["train-human"]]
        chapters += human_chapters(lines)
    if asterisk.PACKAGE in packages:
        chapters.append(asterisk.chapter(packages[asterisk.PACKAGE], _PROMPTS, seed))
    chapters += synthetic_chapters(hours, script, seed)
    # Selected last, so that a subset does not depend on which others are made.
    return Plan(tuple(chapter for chapter in chapters if chapter.subset in subsets), tuple(packages.values()))


def training_script(cache: Path) -> tuple[list[str], tuple[DebianPackage, ...]]:
    """Returns the lines of the games' training subset and their packages; none if the archive cannot be reached.

    Args:
      cache: folder of downloaded packages.

    Raises:
      InputError: a package lacks an expected file, or the file has another format.
    """
    try:
        packages = {name: debian_packages.fetch(name, cache) for name in (amazon_queen.PACKAGE, drascula.PACKAGE)}
    except ArchiveUnreachableError as error:
        logger.warning("the sentences will come from the grammar alone: %s", error)
        return [], ()
    return [line.text for line in game_lines(packages)["train-human"]], tuple(packages.values())


def game_lines(packages: Mapping[str, DebianPackage]) -> dict[str, list[Recording]]:
    """Returns the lines of the two games by subset.

    Raises:
      InputError: a package lacks an expected file, or the file has another format.
    """
    return partition.partition(
        amazon_queen.recordings(packages[amazon_queen.PACKAGE]) + drascula.recordings(packages[drascula.PACKAGE])
    )


def usable_script(script: Sequence[str]) -> list[str]:
    """Returns the different lines of 2 to 25 words, sorted."""
    return sorted({line for line in script if len(line.split()) in _SCRIPT_WORDS})


def sample_plan(hours: Mapping[str, float] = SAMPLE_HOURS, seed: int = 0) -> Plan:
    """Plans a small corpus of synthetic speech: sentences of the grammar, speakers and splits of the large corpus."""
    return Plan(tuple(synthetic_chapters(hours, [], seed)))


def synthetic_chapters(hours: Mapping[str, float], script: Sequence[str], seed: int) -> list[SyntheticChapter]:
    """Assigns sentences to the synthetic speakers.

    Args:
      hours: approximate duration of each synthetic subset, in hours.
      script: lines of the games' training subset; empty for the grammar alone.
      seed: seed of the sentences.
    """
    grammar = {split: sentences.sentences(split, random.Random(f"{seed} {split}")) for split in sentences.SPLITS}
    usable = usable_script(script)
    script_lines = _shuffled_forever(usable, random.Random(f"{seed} script"))
    plan = []
    for subset, budget in hours.items():
        seconds = budget * 3600 / len(SPEAKERS[subset])
        from_script = SCRIPT_SHARE * seconds if usable and subset.startswith("train") else 0.0
        for speaker in SPEAKERS[subset]:
            texts = _take(script_lines, from_script)
            texts += _take(grammar[subset.split("-")[0]], seconds - from_script)
            random.Random(f"{seed} {speaker.number}").shuffle(texts)  # so that the degraded ones are of both kinds
            every = _DEGRADED_EVERY.get(subset, 0)
            plan.append(SyntheticChapter(subset, speaker.number, str(speaker), speaker, tuple(texts), every, seed))
    return plan


def human_chapters(lines: Mapping[str, Sequence[Recording]]) -> list[HumanChapter]:
    """Returns one chapter per subset and character; a character has the same speaker id in all subsets."""
    names = sorted({line.speaker for subset in lines.values() for line in subset})
    numbers = {name: _FIRST_HUMAN_SPEAKER + index for index, name in enumerate(names)}
    plan = []
    for subset, recordings in lines.items():
        by_speaker: dict[str, list[Recording]] = {}
        for line in recordings:
            by_speaker.setdefault(line.speaker, []).append(line)
        plan += [HumanChapter(subset, numbers[name], name, tuple(by_speaker[name])) for name in sorted(by_speaker)]
    return plan


def _needed_packages(subsets: Collection[str]) -> list[str]:
    # Both games are needed for any of their subsets: training lines of one are no test lines of the other.
    games = not {"train-synthetic", *GAME_SUBSETS}.isdisjoint(subsets)
    return [amazon_queen.PACKAGE, drascula.PACKAGE] * games + [asterisk.PACKAGE] * (asterisk.SUBSET in subsets)


def _take(lines: Iterable[str], seconds: float) -> list[str]:
    """Takes lines until their speech lasts about `seconds`."""
    taken = []
    for line in lines if seconds > 0 else ():
        taken.append(line)
        seconds -= 0.5 + 0.062 * len(line)  # pauses and letters, the mean over voices
        if seconds <= 0:
            break
    return taken


def _shuffled_forever(lines: Sequence[str], generator: random.Random) -> Iterable[str]:
    while lines:
        yield from generator.sample(lines, len(lines))
