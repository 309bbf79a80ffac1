"""Chapters: all utterances of one speaker in one subset, the unit of building the corpus.

A chapter is a folder in the layout of LibriSpeech with a provenance file:

    SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NNNN.flac
    SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt
    SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER.provenance.jsonl

The folder gets its name when it is complete. The provenance holds a digest of the chapter's definition, so that a
second build skips chapters that are up to date and rebuilds those whose definition has changed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import random
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfconformer.data.speech import acoustics, recordings, synthesis
from tfconformer.data.speech.acoustics import SAMPLE_RATE, Degradation, Samples
from tfconformer.data.speech.recordings import Recording
from tfconformer.data.speech.voices import Speaker

logger = logging.getLogger(__name__)

_RECIPE = 1  # increased when the same definition gives other audio
MIN_SECONDS = 0.3
MAX_SECONDS = 20.0
_HUMAN_PEAK = 0.6
_HUMAN_RATES = (2.5, 25.0)  # letters a second; outside, the speech differs from the script
_SYNTHETIC_PEAKS = (0.25, 0.8)


@dataclass(frozen=True)
class Take:
    """One utterance before it is written: transcript, [samples] float32 at 16 kHz, and provenance."""

    text: str
    samples: Samples
    source: str
    detail: str
    licence: str


@dataclass(frozen=True)
class Provenance:
    """One line of a provenance file.

    Attributes:
      audio: file name, in the same folder.
      speaker: name of the voice or the character.
      source: package and version.
      detail: name of the clip, or settings of synthesis and degradation.
      licence: short name of the licence.
      recipe: digest of the chapter's definition.
    """

    audio: str
    speaker: str
    source: str
    detail: str
    licence: str
    recipe: str


@dataclass(frozen=True)
class Chapter:
    """The definition of a chapter.

    Attributes:
      subset: name of the subset.
      speaker: speaker id, unique in the corpus.
      name: name of the speaker, for the provenance.
    """

    subset: str
    speaker: int
    name: str

    @property
    def number(self) -> int:
        """The chapter id; a speaker has one chapter in a subset."""
        return 100000 + self.speaker

    @property
    def stem(self) -> str:
        return f"{self.speaker}-{self.number}"

    def folder(self, root: Path) -> Path:
        return root / self.subset / str(self.speaker) / str(self.number)

    def digest(self) -> str:
        """Returns a digest of everything that determines the contents of the chapter."""
        return hashlib.sha256(f"{_RECIPE} {self!r}".encode()).hexdigest()[:16]

    def takes(self) -> Iterator[Take]:
        """Yields the utterances, in order."""
        raise NotImplementedError


@dataclass(frozen=True)
class SyntheticChapter(Chapter):
    """A chapter of synthesized sentences.

    Attributes:
      voice: the synthetic speaker.
      texts: normalized transcripts.
      degraded_every: distance of degraded utterances: 5 degrades every fifth, 0 none.
      seed: seed of levels, pauses and degradations.
    """

    voice: Speaker
    texts: tuple[str, ...]
    degraded_every: int
    seed: int

    def takes(self) -> Iterator[Take]:
        generator = np.random.default_rng([self.seed, self.speaker])
        spoken = synthesis.synthesize(self.voice.voice, self.texts, self.voice.rate)
        for index, (text, samples) in enumerate(zip(self.texts, spoken, strict=True)):
            samples = acoustics.trim(acoustics.warp(samples, self.voice.warp))
            samples = acoustics.scale_to_peak(samples, generator.uniform(*_SYNTHETIC_PEAKS))
            samples = acoustics.pad(samples, *generator.uniform(0.05, 0.25, size=2))
            detail = str(self.voice)
            if self.degraded_every and index % self.degraded_every == self.degraded_every - 1:
                degradation = Degradation.draw(generator)
                samples = degradation.apply(samples, generator)
                detail += f"; {degradation}"
            yield Take(text, samples, self.voice.voice.package, detail, self.voice.voice.licence)


@dataclass(frozen=True)
class HumanChapter(Chapter):
    """A chapter of recorded lines of one person or character."""

    lines: tuple[Recording, ...]

    def takes(self) -> Iterator[Take]:
        for line in self.lines:
            try:
                samples = recordings.read(line)
            except ValueError as error:
                logger.warning("%s %s: skipped, cannot be decoded (%s)", line.package, line.name, error)
                continue
            rate = len(line.text) * SAMPLE_RATE / max(len(samples), 1)
            if not _HUMAN_RATES[0] <= rate <= _HUMAN_RATES[1]:
                logger.info(
                    "%s %s: skipped, %.1f letters a second do not fit the script", line.package, line.name, rate
                )
                continue
            samples = acoustics.scale_to_peak(samples, _HUMAN_PEAK)
            yield Take(line.text, samples, line.package, line.name, line.licence)


@dataclass(frozen=True)
class ConnectedWordsChapter(Chapter):
    """A chapter of sentences joined from a person's recordings of single words, with short random pauses.

    Attributes:
      words: recordings, one per word.
      sentences: words of each sentence; every word has a recording.
      seed: seed of the pauses.
    """

    words: tuple[Recording, ...]
    sentences: tuple[tuple[str, ...], ...]
    seed: int

    def takes(self) -> Iterator[Take]:
        generator = random.Random(self.seed)
        audio = {word.text: acoustics.trim(recordings.read(word)) for word in self.words}
        clips = {word.text: word for word in self.words}
        for sentence in self.sentences:
            audio_of_words = [acoustics.pad(audio[word], 0.0, generator.uniform(0.02, 0.12)) for word in sentence]
            samples = acoustics.scale_to_peak(np.concatenate(audio_of_words), _HUMAN_PEAK)
            source, licence = clips[sentence[0]].package, clips[sentence[0]].licence
            yield Take(" ".join(sentence), samples, source, " ".join(clips[word].name for word in sentence), licence)


def is_done(root: Path, chapter: Chapter, encoding: str) -> bool:
    """Returns true if the folder of the chapter under `root` has this definition and this encoding."""
    path = chapter.folder(root) / f"{chapter.stem}.provenance.jsonl"
    try:
        with path.open(encoding="utf-8") as stream:
            record = json.loads(stream.readline())
        return bool(record["recipe"] == chapter.digest() and record["audio"].endswith(encoding))
    except (OSError, ValueError, KeyError):
        return False


def write(root: Path, chapter: Chapter, encoding: str) -> int:
    """Makes a chapter, replacing its folder, and returns its number of utterances.

    Args:
      root: the corpus folder.
      chapter: the chapter's definition.
      encoding: "flac" or "ogg" (Vorbis).
    """
    import soundfile

    folder = chapter.folder(root)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    transcript: list[str] = []
    provenance: list[str] = []
    for take in chapter.takes():
        if not MIN_SECONDS <= len(take.samples) / SAMPLE_RATE <= MAX_SECONDS or not np.any(take.samples):
            logger.info("%s %s: skipped, %d samples", take.source, take.detail, len(take.samples))
            continue
        identifier = f"{chapter.stem}-{len(transcript):04d}"
        audio = f"{identifier}.{encoding}"
        soundfile.write(partial / audio, np.clip(take.samples, -1.0, 1.0), SAMPLE_RATE, **_ENCODINGS[encoding])
        transcript.append(f"{identifier} {take.text}\n")
        record = Provenance(audio, chapter.name, take.source, take.detail, take.licence, chapter.digest())
        provenance.append(json.dumps(asdict(record), ensure_ascii=False) + "\n")
    (partial / f"{chapter.stem}.trans.txt").write_text("".join(transcript), encoding="utf-8")
    (partial / f"{chapter.stem}.provenance.jsonl").write_text("".join(provenance), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return len(transcript)


_ENCODINGS: dict[str, dict[str, Any]] = {
    "flac": {"format": "FLAC", "subtype": "PCM_16"},
    "ogg": {"format": "OGG", "subtype": "VORBIS", "compression_level": 0.9},
}
