"""TFRecord shards of a manifest: `NAME-00000-of-00005.tfrecord`, each with a JSON index of the same name.

Every audio file is decoded once, so that training reads no bad one. Unusable utterances are left out, counted and
logged; audio at another rate, with more channels or in another encoding is converted. A shard is written atomically
and its index after it, so that an index means a complete shard. An interrupted run continues with the first incomplete
shard, and a complete shard is rewritten only if its utterances, their audio files or the options changed.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import io
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import soxr
import tensorflow as tf
from pydantic import TypeAdapter
from tqdm import tqdm

from tfconformer import atomic, strict_json
from tfconformer.data import records
from tfconformer.data.audio import Audio, MonoMix, UnusableError, read_audio
from tfconformer.data.limits import MAX_SECONDS
from tfconformer.data.manifest import Utterance, read_manifest
from tfconformer.data.speech.normalize import normalize
from tfconformer.errors import InputError

logger = logging.getLogger(__name__)

# Formats that are stored unchanged, with their first bytes. All others become WAV, and WAV files are rewritten:
# tensorflow-io fails on, or returns no samples of, files with the extra chunks and open-ended sizes that some programs
# write.
_STORABLE = {("FLAC", "PCM_16"): b"fLaC", ("OGG", "VORBIS"): b"OggS"}
# Audio may be this much shorter than its manifest says before it counts as truncated: manifests round durations.
_DURATION_TOLERANCE = 0.1
# Share of samples beyond [-1, 1] from which an utterance counts as clipped: peaks of lossy encodings are fewer.
_CLIPPED = 1e-3
_FORMAT = 1  # of shard and index; a change rewrites every shard


@dataclass(frozen=True)
class ShardOptions:
    """The options of the conversion of utterances to records.

    Attributes:
      sample_rate: sampling rate of the stored audio, in Hz.
      encoding: "original" keeps the bytes of mono 16-bit FLAC and Ogg Vorbis at the sample rate; "wav" stores 16-bit
        PCM throughout, about twice as large and some 15 times cheaper to decode than FLAC is by tensorflow-io.
      min_duration: shortest usable utterance, in seconds.
      max_duration: longest usable utterance, in seconds.
      normalize: True if transcripts become English words of A-Z and apostrophes, as `normalize` makes them.
    """

    sample_rate: int = 16000
    encoding: Literal["original", "wav"] = "original"
    min_duration: float = 0.1
    max_duration: float = MAX_SECONDS
    normalize: bool = False


@dataclass(frozen=True)
class Skip:
    """An utterance that was left out: its file and the reason."""

    audio_filepath: str
    reason: str


@dataclass(frozen=True)
class ShardIndex:
    """The contents of a shard.

    Attributes:
      fingerprint: hash of the utterances, the size and time of their files, and the options.
      sample_rate: sampling rate of the audio, in Hz.
      samples: length of every record, in samples, of the longer side in a pair, in the order of the records.
      characters: distinct characters of the transcripts, sorted.
      skipped: utterances of the manifest that were left out.
      manifest: absolute path of the manifest; empty in older indexes.
    """

    fingerprint: str
    sample_rate: int
    samples: tuple[int, ...]
    characters: str
    skipped: tuple[Skip, ...]
    manifest: str = ""


_INDEX = TypeAdapter(ShardIndex)


@dataclass(frozen=True)
class ShardJob:
    """A shard to write.

    Attributes:
      path: the shard.
      utterances: the lines of the manifest that it holds.
      fingerprint: see `ShardIndex`.
      options: options of the conversion.
      manifest: see `ShardIndex`.
    """

    path: Path
    utterances: tuple[Utterance, ...]
    fingerprint: str
    options: ShardOptions
    manifest: str


# Writes shards in any order and place, and returns how often each remark about a used utterance was made.
ShardRunner = Callable[[Sequence[ShardJob]], Counter[str]]


def write_locally(jobs: Sequence[ShardJob]) -> Counter[str]:
    """Writes shards in this process, one after the other; see `ShardRunner`."""
    remarks: Counter[str] = Counter()
    total = sum(len(job.utterances) for job in jobs)
    with tqdm(total=total, desc="shards", unit="utt", disable=None) as progress:
        for job in jobs:
            remarks += write_shard(job)
            progress.update(len(job.utterances))
    return remarks


def write_shards(
    manifest: str | Path,
    output_dir: str | Path,
    name: str,
    *,
    utterances_per_shard: int = 256,
    options: ShardOptions | None = None,
    runner: ShardRunner = write_locally,
) -> list[Path]:
    """Writes the shards of a manifest, except those that are already up to date.

    Args:
      manifest: JSONL file of `tfconformer.data.manifest`.
      output_dir: folder, created if missing. Other shards of this name are removed.
      name: first part of the file names.
      utterances_per_shard: number of manifest lines per shard; order is kept.
      options: options of the conversion; None takes the defaults.
      runner: writes those that are not up to date; by default this process does.

    Returns:
      The shards in order. Their indexes (`read_index`) list the skipped utterances.

    Raises:
      InputError: the manifest cannot be read, none of its utterances is usable, or the folder holds shards of this name
        that were made from another manifest, which is left.
    """
    options = options or ShardOptions()
    utterances = read_manifest(manifest)
    if options.normalize:
        utterances = [replace(utterance, text=normalize(utterance.text)) for utterance in utterances]
    groups = [utterances[i : i + utterances_per_shard] for i in range(0, len(utterances), utterances_per_shard)]
    output_dir = Path(output_dir)
    paths = [output_dir / f"{name}-{i:05d}-of-{len(groups):05d}.tfrecord" for i in range(len(groups))]
    source = str(Path(manifest).resolve())
    _require_own(output_dir, name, source)
    _remove_stale(output_dir, name, paths)
    jobs = [
        ShardJob(path, tuple(group), _fingerprint(group, options), options, source)
        for path, group in zip(paths, groups, strict=True)
    ]
    remarks = runner([job for job in jobs if not _is_current(job)])
    indexes = [read_index(path) for path in paths]
    _log_summary(name, indexes, options.sample_rate)
    if remarks:
        logger.warning("%s: used nevertheless: %s", name, _counts(remarks))
    if not any(index.samples for index in indexes):
        reasons = Counter(skip.reason for index in indexes for skip in index.skipped)
        raise InputError(f"{manifest}: none of its {len(utterances)} utterances is usable ({_counts(reasons)})")
    return paths


def read_index(shard: str | Path) -> ShardIndex:
    """Reads the index of a shard.

    Raises:
      InputError: the index is missing, which means that the shard is incomplete, or cannot be read.
    """
    path = _index_path(Path(shard))
    try:
        return _INDEX.validate_python(strict_json.loads(path.read_bytes(), surrogates=True))
    except OSError:
        raise InputError(f"the shard {shard} has no readable index {path.name}; write the shards again") from None
    except ValueError:  # pydantic's ValidationError is one
        raise InputError(f"{path} is not a shard index; write the shards again") from None


def find_shards(patterns: Sequence[str]) -> list[Path]:
    """Returns the files that match the glob patterns, sorted.

    Raises:
      InputError: there is no pattern, or one matches no `.tfrecord` file.
    """
    if not patterns:
        raise InputError("no shards are named; `data.train` and `data.dev` of a configuration are lists of patterns")
    paths: set[str] = set()
    for pattern in patterns:
        # Not Path.glob, which refuses absolute patterns.
        found = [path for path in glob.glob(pattern) if path.endswith(".tfrecord")]  # noqa: PTH207
        if not found:
            raise InputError(f"no shard matches {pattern!r}; build the corpus first (`tfconformer data --help`)")
        paths.update(found)
    return [Path(path) for path in sorted(paths)]


def shards_by_set(patterns: Sequence[str]) -> dict[str, list[Path]]:
    """Returns the shards that match the glob patterns, by the name of their set: the file name before the shard number.

    Raises:
      InputError: there is no pattern, or one matches no `.tfrecord` file.
    """
    sets: dict[str, list[Path]] = {}
    for path in find_shards(patterns):
        sets.setdefault(path.name.rsplit("-", 3)[0], []).append(path)
    return sets


def write_shard(job: ShardJob) -> Counter[str]:
    """Writes a shard and, after it, its index; returns how often each remark about a used utterance was made.

    Raises:
      InputError: the shard cannot be written.
    """
    path, options = job.path, job.options
    _index_path(path).unlink(missing_ok=True)
    remarks: Counter[str] = Counter()
    samples, skipped = [], []
    characters: set[str] = set()
    with _writer(path) as writer:
        for utterance in job.utterances:
            try:
                converted = _convert(utterance, options)
                target = _convert(_target(utterance), options) if utterance.target_filepath else None
            except UnusableError as error:
                logger.warning("skipped %s: %s", utterance.audio_filepath, error)
                skipped.append(Skip(utterance.audio_filepath, error.reason))
                continue
            for remark in converted.remarks:
                logger.warning("%s is %s", utterance.audio_filepath, remark)
                remarks[remark] += 1
            texts = utterance.text, utterance.speaker, utterance.name
            pair = None if target is None else (target.audio, target.samples)
            writer.write(records.serialize(converted.audio, converted.samples, options.sample_rate, *texts, pair))
            samples.append(max(converted.samples, target.samples if target else 0))
            characters.update(utterance.text)
    text = "".join(sorted(characters))
    index = ShardIndex(job.fingerprint, options.sample_rate, tuple(samples), text, tuple(skipped), job.manifest)
    atomic.write_text(_index_path(path), json.dumps(asdict(index)) + "\n")
    return remarks


@contextlib.contextmanager
def _writer(path: Path) -> Iterator[tf.io.TFRecordWriter]:
    try:
        with atomic.atomic_path(path) as temporary, tf.io.TFRecordWriter(str(temporary)) as writer:
            yield writer
    except (tf.errors.OpError, UnicodeEncodeError) as error:
        reason = getattr(error, "message", str(error))
        raise InputError(f"cannot write the shard {str(path)!r}: {' '.join(reason.split())}") from None


@dataclass(frozen=True)
class _Converted:
    """The record of an utterance.

    Attributes:
      audio: the bytes to store.
      samples: their length.
      remarks: what is odd about the utterance, which is used nevertheless.
    """

    audio: bytes
    samples: int
    remarks: tuple[str, ...] = ()


def _convert(utterance: Utterance, options: ShardOptions) -> _Converted:
    """Converts the audio of an utterance.

    Raises:
      UnusableError: the utterance cannot be used.
    """
    _check_texts(utterance)
    path, offset = Path(utterance.audio_filepath), utterance.offset
    try:
        content = path.read_bytes() if offset is None else b""
    except (OSError, ValueError) as error:
        raise UnusableError("unreadable file", getattr(error, "strerror", None) or str(error)) from None
    if offset is None:
        audio = read_audio(path, options.max_duration)
    else:
        audio = read_audio(path, options.max_duration, offset, utterance.duration)
    remarks = _check_duration(utterance, audio, options)
    mix = MonoMix()
    mono = mix(audio.samples)
    mix.check()
    as_asked = audio.is_whole and audio.sample_rate == options.sample_rate and audio.samples.shape[1] == 1
    if as_asked and options.encoding == "original" and content.startswith(_STORABLE.get(audio.kind, b"no such bytes")):
        return _Converted(content, len(mono), remarks)
    if np.mean(np.abs(mono) > 1) > _CLIPPED:
        remarks += ("clipped, as it leaves [-1, 1]",)
    if audio.sample_rate != options.sample_rate:
        mono = soxr.resample(mono, audio.sample_rate, options.sample_rate)
    return _Converted(_encode_wav(mono, options.sample_rate), len(mono), remarks)


def _check_texts(utterance: Utterance) -> None:
    if not utterance.text.strip():
        raise UnusableError("empty transcript")
    for text in (utterance.text, utterance.speaker, utterance.name):
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise UnusableError("text that is not Unicode", repr(text)) from None


def _target(utterance: Utterance) -> Utterance:
    """Returns the target of a pair as an utterance of its own, of unknown duration."""
    return replace(utterance, audio_filepath=utterance.target_filepath, duration=0.0, offset=None, target_filepath="")


def _check_duration(utterance: Utterance, audio: Audio, options: ShardOptions) -> tuple[str, ...]:
    """Compares the length of the audio with the limits and with the manifest; returns remarks."""
    seconds, expected = audio.seconds, utterance.duration
    if seconds < options.min_duration:
        raise UnusableError("too short" if len(audio.samples) else "empty audio", f"{seconds:.3f} s")
    if seconds < expected - _DURATION_TOLERANCE:
        raise UnusableError("truncated audio", f"{seconds:.2f} s of {expected:.2f} s")
    return (
        ("longer than its duration in the manifest",) if seconds > expected + _DURATION_TOLERANCE and expected else ()
    )


def _encode_wav(wave: np.ndarray, sample_rate: int) -> bytes:
    # Scaling by 2**15 and rounding restore the integers of a 16-bit source exactly.
    pcm = np.clip(np.rint(wave * 32768.0), -32768, 32767).astype(np.int16)
    stream = io.BytesIO()
    soundfile.write(stream, pcm, sample_rate, format="WAV", subtype="PCM_16")
    return stream.getvalue()


def _fingerprint(utterances: Sequence[Utterance], options: ShardOptions) -> str:
    files = [(utterance, (utterance.audio_filepath, utterance.target_filepath)) for utterance in utterances]
    state = [(utterance.record(), *(_file_state(path) for path in paths if path)) for utterance, paths in files]
    settings = asdict(options)
    del settings["normalize"]  # the texts are normalized already
    return hashlib.sha256(json.dumps([_FORMAT, settings, state]).encode()).hexdigest()


def _file_state(path: str) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns


def _is_current(job: ShardJob) -> bool:
    try:
        return read_index(job.path).fingerprint == job.fingerprint and job.path.exists()
    except InputError:
        return False


def _index_path(shard: Path) -> Path:
    return shard.with_suffix(".json")


def _require_own(output_dir: Path, name: str, manifest: str) -> None:
    """Raises an InputError if the shards of this name come from another manifest that exists."""
    for path in output_dir.glob(f"{_numbered(name)}.tfrecord"):
        try:
            other = read_index(path).manifest
        except InputError:
            continue
        if other and other != manifest and Path(other).exists():
            raise InputError(
                f"{output_dir} holds the shards {name} of {other}, not of {manifest}: write to another folder, rename"
                " the manifest, or remove them"
            )


def _remove_stale(output_dir: Path, name: str, current: Sequence[Path]) -> None:
    """Removes other shards of this name, and incomplete files of interrupted runs."""
    for path in output_dir.glob(f"{_numbered(name)}.tfrecord"):
        if path not in current:
            logger.info("removing %s, which the manifest does not fill", path)
            _index_path(path).unlink(missing_ok=True)
            path.unlink()
    atomic.remove_abandoned(output_dir, f"{_numbered(name)}.*")


def _numbered(name: str) -> str:
    """Returns the glob pattern of the shards of a name, without the suffix."""
    number = "[0-9]" * 5
    return f"{glob.escape(name)}-{number}-of-{number}"


def _log_summary(name: str, indexes: Sequence[ShardIndex], sample_rate: int) -> None:
    samples = [n for index in indexes for n in index.samples]
    reasons = Counter(skip.reason for index in indexes for skip in index.skipped)
    hours = sum(samples) / sample_rate / 3600
    logger.info("%s: %d utterances, %.3f h in %d shards", name, len(samples), hours, len(indexes))
    if reasons:
        logger.warning("%s: %d utterances skipped: %s", name, sum(reasons.values()), _counts(reasons))


def _counts(reasons: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
