"""The corpus of speech-to-speech conversion: the sentences of many voices, each beside the same in a canonical voice.

| subset           | source speakers                                        | sentences                   |
|------------------|--------------------------------------------------------|-----------------------------|
| train-pairs      | 70 synthetic, several per sentence; a fifth degraded   | grammar, a third game script|
| dev-pairs        | new warps and variants of the trained voices           | grammar                     |
| test-pairs       | new warps and variants of the trained voices           | grammar                     |
| test-pairs-other | base voices not used elsewhere; every other degraded   | grammar                     |

The canonical voice is synthetic (`rms` of flite, in no source speaker) or recorded: a folder in LibriSpeech layout with
the subsets train-NAME, dev-NAME and test-NAME, whose sentences the source voices speak then.

Parrotron (1904.04169) was trained on such pairs. Here both sides are synthesized from one text, so they are parallel by
construction.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tfconformer.data import librispeech
from tfconformer.data.manifest import Utterance, read_manifest, write_manifest
from tfconformer.data.speech import acoustics, sentences, synthesis
from tfconformer.data.speech.build import build
from tfconformer.data.speech.chapters import Chapter, SyntheticChapter, Take
from tfconformer.data.speech.debian_packages import DebianPackage
from tfconformer.data.speech.plan import SCRIPT_SHARE, Plan, usable_script
from tfconformer.data.speech.synthesis import Voice
from tfconformer.data.speech.voices import SPEAKERS, Speaker
from tfconformer.errors import InputError

CANONICAL = Voice("flite", "rms")

# Subset of pairs -> subset of the speakers, whose sources are degraded every so many utterances.
_SOURCES = {
    "train-pairs": ("train-synthetic", 5),
    "dev-pairs": ("dev-clean", 0),
    "test-pairs": ("test-clean", 0),
    "test-pairs-other": ("test-other", 2),
}
_HELD_OUT = {"dev-pairs": 60, "test-pairs": 240, "test-pairs-other": 120}  # sentences, with one source each
_SAMPLE = {"train-pairs": 48, "dev-pairs": 6, "test-pairs": 6}  # sentences

# Subset of pairs -> subset of its targets, for a vocoder.
_VOICE_OF = {"train-pairs": "train-canonical", "dev-pairs": "dev-canonical"}

# Level and silence of the canonical voice, equal in all utterances: a decoder cannot predict a drawn one.
_PEAK = 0.6
_PAUSES = 0.05, 0.15
_TEXTS_PER_CHAPTER = 100
_TARGET_SPEAKER = 9000


@dataclass(frozen=True)
class CanonicalChapter(Chapter):
    """A chapter of sentences in the canonical voice.

    Attributes:
      part: number of the chapter.
      texts: normalized transcripts.
    """

    part: int
    texts: tuple[str, ...]

    @property
    def number(self) -> int:
        """The chapter id."""
        return 200000 + self.part

    def takes(self) -> Iterator[Take]:
        """Yields the utterances, see `Chapter.takes`."""
        for text, samples in zip(self.texts, synthesis.synthesize(CANONICAL, self.texts), strict=True):
            level = acoustics.pad(acoustics.scale_to_peak(acoustics.trim(samples), _PEAK), *_PAUSES)
            yield Take(text, level, CANONICAL.package, str(CANONICAL), CANONICAL.licence)


def synthetic_texts(count: int, script: Sequence[str], seed: int) -> dict[str, list[str]]:
    """Draws the different sentences of every subset.

    Args:
      count: number of sentences of train-pairs.
      script: lines of the games' training subset, a third of train-pairs; empty for the grammar alone.
      seed: seed of the sentences.
    """
    grammar = {split: sentences.sentences(split, random.Random(f"pairs {seed} {split}")) for split in sentences.SPLITS}
    lines = usable_script(script)
    from_script = random.Random(f"pairs {seed} script").sample(lines, min(len(lines), round(SCRIPT_SHARE * count)))
    texts = {"train-pairs": from_script}
    for subset, size in {"train-pairs": count - len(from_script), **_HELD_OUT}.items():
        texts.setdefault(subset, []).extend(next(grammar[subset.split("-")[0]]) for _ in range(size))
    return texts


def sample_texts() -> dict[str, list[str]]:
    """Draws the sentences of the small sample of pairs, from the grammar alone."""
    drawn = synthetic_texts(max(_SAMPLE.values()), (), seed=0)
    return {subset: drawn[subset][:count] for subset, count in _SAMPLE.items()}


def recorded_targets(folder: Path, name: str) -> dict[str, list[Utterance]]:
    """Reads the recordings of a canonical voice by the subset of pairs, one of every sentence.

    Args:
      folder: folder in LibriSpeech layout.
      name: name of the voice; the subsets are train-NAME, dev-NAME and test-NAME.

    Raises:
      InputError: a subset is missing or empty.
    """
    targets = {}
    for subset in ("train-pairs", "dev-pairs", "test-pairs"):
        path = folder / f"{subset.split('-')[0]}-{name}"
        found = librispeech.read_subset(path)[0] if path.is_dir() else []
        if not found:
            raise InputError(f"{path} has no recordings of the canonical voice")
        targets[subset] = list({utterance.text: utterance for utterance in found}.values())
    return targets


def source_chapters(texts: Mapping[str, Sequence[str]], sources: int, seed: int) -> list[SyntheticChapter]:
    """Assigns the sentences of every subset to source speakers: `sources` in training, one elsewhere.

    Raises:
      InputError: there are fewer speakers than sources.
    """
    chapters = []
    for subset, subset_texts in texts.items():
        speaker_subset, every = _SOURCES[subset]
        speakers = [speaker for speaker in SPEAKERS[speaker_subset] if speaker.voice != CANONICAL]
        count = sources if subset.startswith("train") else 1
        if count > len(speakers):
            raise InputError(f"{count} sources for a sentence, but {subset} has {len(speakers)} speakers")
        generator = random.Random(f"pairs {seed} {subset}")
        by_speaker: dict[Speaker, list[str]] = {}
        for text in subset_texts:
            for speaker in generator.sample(speakers, count):
                by_speaker.setdefault(speaker, []).append(text)
        chapters += [
            SyntheticChapter(subset, speaker.number, str(speaker), speaker, tuple(assigned), every, seed)
            for speaker, assigned in sorted(by_speaker.items(), key=lambda item: item[0].number)
        ]
    return chapters


def canonical_chapters(texts: Mapping[str, Sequence[str]]) -> list[CanonicalChapter]:
    """Returns the chapters of the synthetic canonical voice, every sentence once."""
    every = sorted({text for subset_texts in texts.values() for text in subset_texts})
    parts = [tuple(every[i : i + _TEXTS_PER_CHAPTER]) for i in range(0, len(every), _TEXTS_PER_CHAPTER)]
    return [
        CanonicalChapter("canonical", _TARGET_SPEAKER, str(CANONICAL), number, part)
        for number, part in enumerate(parts)
    ]


def build_pairs(
    output: Path,
    texts: Mapping[str, Sequence[str]],
    recordings: Mapping[str, Sequence[Utterance]] | None = None,
    packages: Sequence[DebianPackage] = (),
    *,
    sources: int = 3,
    encoding: str = "flac",
    jobs: int = 2,
    seed: int = 0,
) -> list[Path]:
    """Builds or completes a corpus of pairs; see `build.build` for interruptions.

    Args:
      output: corpus folder: a folder per subset of sources, `target/` with the synthetic canonical voice, `manifests/`.
      texts: sentences by subset.
      recordings: the canonical voice by subset, one utterance for each sentence; None synthesizes it.
      packages: the packages that sentences of `texts` were taken from, for their licences.
      sources: number of source speakers for a sentence of train-pairs, at least 1.
      encoding: of the synthetic speech, "flac" or "ogg".
      jobs: number of processes, at least 1.
      seed: seed of speakers, levels and degradations.

    Returns:
      The manifests of the subsets, whose utterances have a `target_filepath`, and those of the canonical voice alone,
      every sentence once: train-canonical and dev-canonical.

    Raises:
      InputError: a synthesis engine is missing, or the folder holds other speech.
    """
    chapters = source_chapters(texts, sources, seed)
    manifests = build(Plan(tuple(chapters), tuple(packages)), output, encoding, jobs)
    if recordings is None:
        synthesis.require([CANONICAL])
        (target_manifest,) = build(Plan(tuple(canonical_chapters(texts))), output / "target", encoding, jobs)
        spoken = read_manifest(target_manifest)
    else:
        spoken = [utterance for subset in recordings.values() for utterance in subset]
    targets = {utterance.text: utterance for utterance in spoken}
    canonical = []
    for manifest in manifests:
        sources_of_subset = read_manifest(manifest)
        pairs = [replace(one, target_filepath=targets[one.text].audio_filepath) for one in sources_of_subset]
        write_manifest(manifest, (librispeech.relative(pair, manifest.parent) for pair in pairs))
        if manifest.stem in _VOICE_OF:
            path = manifest.with_stem(_VOICE_OF[manifest.stem])
            voice = (targets[text] for text in dict.fromkeys(one.text for one in sources_of_subset))
            write_manifest(path, (librispeech.relative(one, path.parent) for one in voice))
            canonical.append(path)
    return [*manifests, *canonical]
