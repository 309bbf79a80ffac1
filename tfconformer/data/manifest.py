"""The JSONL manifest, one utterance a line: the input of the pipeline.

Every corpus becomes a manifest first (`librispeech.py`, `speech/`), then shards (`shards.py`), then a `tf.data` dataset
(`pipeline.py`). The field names are those of NeMo, so that its manifests can be used unchanged: with `offset` an
utterance is a part of a longer file, `duration` seconds long.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tfconformer import atomic, strict_json
from tfconformer.errors import InputError

_NO_TARGET = ("target_filepath", "")
_LONGEST = 10_000_000  # seconds, 115 days: what is more is damage


@dataclass(frozen=True)
class Utterance:
    """One recorded sentence.

    Attributes:
      audio_filepath: path of a FLAC, WAV or Ogg Vorbis file, relative to the manifest's folder or absolute.
      duration: length in seconds; 0 if unknown.
      text: transcript, in upper case.
      speaker: identifier, unique within the corpus; "" if unknown.
      target_filepath: path of the same sentence in the voice that speech is converted to, as `audio_filepath`; "" if
        there is none.
      offset: beginning of the utterance in the file, in seconds; None if it is the whole file.
      id: name of the utterance, unique within the manifest; None for that of the file and the offset.
    """

    audio_filepath: str
    duration: float
    text: str
    speaker: str
    target_filepath: str = ""
    offset: float | None = None
    id: str | None = None

    @property
    def name(self) -> str:
        """The name of the utterance: its `id`, or the name of the file with the offset in milliseconds."""
        if self.id is not None:
            return self.id
        stem = Path(self.audio_filepath).stem
        return stem if self.offset is None else f"{stem}-{round(1000 * self.offset):08d}"

    def record(self) -> dict[str, str | float]:
        """Returns the fields that a manifest line has."""
        return {key: value for key, value in asdict(self).items() if value is not None and (key, value) != _NO_TARGET}


def write_manifest(path: str | Path, utterances: Iterable[Utterance]) -> int:
    """Writes utterances as JSONL, atomically, and returns their number."""
    count = 0
    with atomic.atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        for utterance in utterances:
            stream.write(json.dumps(utterance.record(), ensure_ascii=False) + "\n")
            count += 1
    return count


def read_manifest(path: str | Path) -> list[Utterance]:
    """Reads a manifest; the audio paths that it returns include the manifest's folder.

    Raises:
      InputError: the file is missing or empty, a line is not JSON, lacks a field or has one with a wrong value, or two
        utterances have the same name.
    """
    path = Path(path)
    try:
        lines = read_lines(path)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the manifest {path}: {error}") from None
    utterances: dict[str, Utterance] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        utterance = _parse_line(path, number, line)
        if utterance.name in utterances:
            raise InputError(
                f"{path}, line {number}: there is an utterance named {utterance.name!r} already; give one of the two "
                "another name by a field 'id'"
            )
        utterances[utterance.name] = utterance
    if not utterances:
        raise InputError(f"the manifest {path} lists no utterance")
    return list(utterances.values())


def read_lines(path: Path) -> list[str]:
    r"""Returns the lines of a UTF-8 file, with or without a byte order mark; a line ends at \n and nowhere else.

    Raises:
      OSError, UnicodeDecodeError: the file cannot be read.
    """
    return path.read_bytes().decode("utf-8-sig").split("\n")  # read_text would take \\r for the end of a line too


def _parse_line(path: Path, number: int, line: str) -> Utterance:
    where = f"{path}, line {number}"
    try:
        record = strict_json.loads(line, surrogates=True)  # one utterance that shards leave out
        if not isinstance(record, dict):
            raise InputError(f"{where}: not a manifest line (expected a JSON object)")
        offset = record.get("offset")
        utterance = Utterance(
            audio_filepath=str(path.parent / _text(where, record, "audio_filepath")),
            duration=_seconds(where, record, "duration"),
            text=_text(where, record, "text"),
            speaker=str(record.get("speaker", "")),
            target_filepath=_target(where, path, record),
            offset=None if offset is None else _seconds(where, record, "offset"),
            id=None if record.get("id") is None else _text(where, record, "id"),
        )
    except KeyError as error:
        raise InputError(f"{where}: the field {error} is missing") from None
    except ValueError as error:
        raise InputError(f"{where}: not a manifest line ({error})") from None
    if utterance.id is not None and not re.fullmatch(r"[^\s/\\]+", utterance.id):
        raise InputError(f"{where}: 'id' must be a name without white space and slashes, got {utterance.id!r}")
    if utterance.offset is not None and utterance.duration == 0:
        raise InputError(f"{where}: a part of a file from 'offset' on needs a 'duration' above 0")
    return utterance


def _target(where: str, path: Path, record: dict[str, Any]) -> str:
    target = _text(where, record, "target_filepath") if record.get("target_filepath") is not None else ""
    return str(path.parent / target) if target else ""


def _text(where: str, record: dict[str, Any], field: str) -> str:
    value = record[field]
    if not isinstance(value, str):
        raise InputError(f"{where}: {field!r} must be a string, got {type(value).__name__}")
    return value


def _seconds(where: str, record: dict[str, Any], field: str) -> float:
    value = record[field]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{where}: {field!r} must be a number of seconds, got {type(value).__name__}")
    if not 0 <= value <= _LONGEST:
        raise InputError(f"{where}: {field!r} must be from 0 to {_LONGEST} seconds, got {value}")
    return float(value)
