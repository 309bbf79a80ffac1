"""Chapters: the unit in which the corpus is made. One speaker's utterances of one subset, written in one go.

A chapter is a folder in LibriSpeech's layout with one file more, the provenance:

    SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NNNN.flac
    SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt
    SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER.provenance.jsonl

The folder appears under its name only when it is complete. The provenance carries a digest of the chapter's
definition, so a second run skips what is already there and rebuilds what would now come out differently.
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

_RECIPE = 1  # raised whenever the same definition would give other audio
MIN_SECONDS = 0.3
MAX_SECONDS = 20.0
_HUMAN_PEAK = 0.6
_HUMAN_RATES = (2.5, 25.0)  # letters a second; outside, the actor said something else than the script
_SYNTHETIC_PEAKS = (0.25, 0.8)


@dataclass(frozen=True)
class Take:
    """One utterance on its way to disk: words, float32 [samples] at 16 kHz, and where they came from."""

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
      speaker: the voice or the character.
      source: package and version.
      detail: which clip, or how it was synthesized and degraded.
      licence: short name.
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
    """A chapter to be made.

    Attributes:
      subset: name of the subset.
      speaker: speaker id, unique in the corpus.
      name: who that is, for the provenance.
    """

    subset: str
    speaker: int
    name: str

    @property
    def number(self) -> int:
        """The chapter id: each speaker has one chapter in a subset."""
        return 100000 + self.speaker

    @property
    def stem(self) -> str:
        return f"{self.speaker}-{self.number}"

    def folder(self, root: Path) -> Path:
        return root / self.subset / str(self.speaker) / str(self.number)

    def digest(self) -> str:
        """A digest of everything that decides what the chapter contains."""
        return hashlib.sha256(f"{_RECIPE} {self!r}".encode()).hexdigest()[:16]

    def takes(self) -> Iterator[Take]:
        """Makes the audio, in order."""
        raise NotImplementedError


@dataclass(frozen=True)
class SyntheticChapter(Chapter):
    """Sentences spoken by an engine.

    Attributes:
      voice: the speaker's definition.
      texts: normalized transcripts.
      degraded_every: each so-manyth utterance gets noise and a room; 0 is none.
      seed: decides levels, pauses and degradations.
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
    """Recorded lines of one person or character."""

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
    """Sentences put together from a person's single-word recordings, with short random pauses.

    Attributes:
      words: the recording of each word.
      sentences: the words of each sentence, all of them keys of `words`.
      seed: decides the pauses.
    """

    words: tuple[Recording, ...]
    sentences: tuple[tuple[str, ...], ...]
    seed: int

    def takes(self) -> Iterator[Take]:
        generator = random.Random(self.seed)
        audio = {word.text: acoustics.trim(recordings.read(word)) for word in self.words}
        clips = {word.text: word for word in self.words}
        for sentence in self.sentences:
            pieces = [acoustics.pad(audio[word], 0.0, generator.uniform(0.02, 0.12)) for word in sentence]
            samples = acoustics.scale_to_peak(np.concatenate(pieces), _HUMAN_PEAK)
            source, licence = clips[sentence[0]].package, clips[sentence[0]].licence
            yield Take(" ".join(sentence), samples, source, " ".join(clips[word].name for word in sentence), licence)


def is_done(root: Path, chapter: Chapter, encoding: str) -> bool:
    """Whether this very chapter already lies under `root`, in this encoding."""
    path = chapter.folder(root) / f"{chapter.stem}.provenance.jsonl"
    try:
        with path.open(encoding="utf-8") as stream:
            record = json.loads(stream.readline())
        return bool(record["recipe"] == chapter.digest() and record["audio"].endswith(encoding))
    except (OSError, ValueError, KeyError):
        return False


def write(root: Path, chapter: Chapter, encoding: str) -> int:
    """Makes a chapter, replacing what stood in its place, and returns its number of utterances.

    Args:
      root: the corpus folder.
      chapter: what to make.
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
