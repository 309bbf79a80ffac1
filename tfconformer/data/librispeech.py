"""Manifests of corpora in the layout of LibriSpeech.

    DIR/LibriSpeech/dev-clean/1272/128104/1272-128104-0000.flac
    DIR/LibriSpeech/dev-clean/1272/128104/1272-128104.trans.txt     "1272-128104-0000 MISTER QUILTER IS ..." per line

A subset is any folder with transcripts three levels down, whatever its name. Unusable utterances are counted, logged
and left out.
"""

from __future__ import annotations

import collections
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from tfconformer.data.audio import UnusableError, measure_seconds
from tfconformer.data.manifest import Utterance, read_lines, write_manifest
from tfconformer.errors import InputError

OFFICIAL_SUBSETS = (
    "dev-clean", "dev-other", "test-clean", "test-other", "train-clean-100", "train-clean-360", "train-other-500",
)  # fmt: skip
AUDIO_SUFFIXES = (".flac", ".wav", ".ogg")

logger = logging.getLogger(__name__)


def write_manifests(directory: str | Path, output: str | Path) -> list[Path]:
    """Writes `output`/SUBSET.jsonl for every subset in `directory` or in `directory`/LibriSpeech.

    Audio paths are relative to `output`, so that the two folders can move together.

    Returns:
      The manifests, sorted by name.

    Raises:
      InputError: there is no subset, or a subset has no usable utterance.
    """
    output = Path(output)
    manifests = []
    for subset in subsets(directory):
        found, skipped = read_subset(subset)
        for reason, count in sorted(skipped.items()):
            logger.warning("%s: %d utterances skipped: %s", subset.name, count, reason)
        if not found:
            raise InputError(f"{subset} has transcripts but no usable utterance")
        manifest = output / f"{subset.name}.jsonl"
        write_manifest(manifest, (relative(utterance, output) for utterance in found))
        hours = sum(utterance.duration for utterance in found) / 3600
        logger.info("%s: %d utterances, %.2f hours", subset.name, len(found), hours)
        manifests.append(manifest)
    return manifests


def subsets(directory: str | Path) -> list[Path]:
    """Returns the subset folders of a LibriSpeech tree, sorted by name.

    Raises:
      InputError: there is no subset.
    """
    directory = Path(directory)
    for root in (directory / "LibriSpeech", directory):
        found = sorted({path.parents[2] for path in root.glob("*/*/*/*.trans.txt") if not _hidden(path, root)})
        if found:
            return found
    raise InputError(
        f"{directory} holds no LibriSpeech subset: expected SUBSET/SPEAKER/CHAPTER/*.trans.txt, "
        f"where SUBSET is {', '.join(OFFICIAL_SUBSETS)} or any other name"
    )


def read_subset(subset: Path) -> tuple[list[Utterance], collections.Counter[str]]:
    """Reads one subset.

    Returns:
      The utterances with absolute audio paths, sorted by speaker, chapter and number; and the number of skipped ones
      by reason.
    """
    utterances: list[Utterance] = []
    skipped: collections.Counter[str] = collections.Counter()
    transcripts = [path for path in subset.glob("*/*/*.trans.txt") if not _hidden(path, subset)]
    transcripts.sort(key=lambda path: (_natural(path.parent.parent), path))
    for transcript in tqdm(transcripts, desc=subset.name, unit="chapter", delay=2, leave=False):
        for path, text, problem in _chapter(transcript):
            duration = 0.0
            if not problem:
                duration, problem = _duration(path)
            if problem:
                skipped[problem] += 1
                logger.info("%s: %s", path, problem)
                continue
            speaker = transcript.parent.parent.name
            utterances.append(Utterance(os.path.realpath(path), round(duration, 4), text, speaker))
    return _with_unique_names(utterances), skipped


def _with_unique_names(utterances: list[Utterance]) -> list[Utterance]:
    """Names utterances of several chapters by speaker and chapter too, if their files have the same name."""
    counts = collections.Counter(utterance.name for utterance in utterances)

    def named(utterance: Utterance) -> Utterance:
        chapter = Path(utterance.audio_filepath).parent.name
        return replace(utterance, id=f"{utterance.speaker}-{chapter}-{utterance.name}")

    return [named(utterance) if counts[utterance.name] > 1 else utterance for utterance in utterances]


def relative(utterance: Utterance, folder: Path) -> Utterance:
    """Returns an utterance whose paths are relative to `folder`, as in a manifest there."""
    audio, target = (
        os.path.relpath(path, folder.resolve()) if path else ""
        for path in (utterance.audio_filepath, utterance.target_filepath)
    )
    return replace(utterance, audio_filepath=audio, target_filepath=target)


def _chapter(transcript: Path) -> Iterator[tuple[Path, str, str]]:
    """Yields (audio file, text, problem or "") for every transcript line and every audio file of a chapter."""
    audio: dict[str, Path] = {}
    for path in sorted(transcript.parent.iterdir()):
        if path.suffix.lower() in AUDIO_SUFFIXES and audio.setdefault(path.stem, path) != path:
            yield path, "", "another audio file has the same name"
    try:
        lines = read_lines(transcript)
    except (OSError, UnicodeDecodeError) as error:
        lines = []
        logger.warning("%s cannot be read as UTF-8 text: %s", transcript, error)
    for line in lines:
        if not line.strip():
            continue
        identifier, *rest = line.split(maxsplit=1)
        text = rest[0] if rest else ""
        if identifier not in audio:
            yield transcript.parent / f"{identifier}.flac", text, "the transcript names a missing audio file"
        else:
            yield audio.pop(identifier), text.strip(), "" if text.strip() else "the transcript is empty"
    for path in audio.values():
        yield path, "", "the audio has no transcript"


def _duration(path: Path) -> tuple[float, str]:
    """Returns (seconds, problem or "") of an audio file."""
    try:
        if path.stat().st_size == 0:
            return 0.0, "the audio file is empty"
        seconds = measure_seconds(path)
    except (OSError, UnusableError):
        return 0.0, "the audio file is corrupt"
    return (seconds, "") if seconds > 0 else (0.0, "the audio file holds no samples")


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _natural(path: Path) -> tuple[int, str]:
    return (int(path.name), "") if path.name.isdigit() else (1 << 62, path.name)
