"""The JSONL manifest, one utterance a line: the input of the pipeline.

Every corpus becomes a manifest first (`librispeech.py`, `speech/`), then shards (`shards.py`), then a `tf.data` dataset
(`pipeline.py`). The field names are those of NeMo, so that its manifests can be used unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tfconformer import atomic
from tfconformer.errors import InputError


@dataclass(frozen=True)
class Utterance:
    """One recorded sentence.

    Attributes:
      audio_filepath: path of a FLAC, WAV or Ogg Vorbis file, relative to the manifest's folder or absolute.
      duration: length in seconds.
      text: transcript, in upper case.
      speaker: identifier, unique within the corpus; "" if unknown.
      target_filepath: path of the same sentence in the voice that speech is converted to, as `audio_filepath`; "" if
        there is none.
    """

    audio_filepath: str
    duration: float
    text: str
    speaker: str
    target_filepath: str = ""

    def record(self) -> dict[str, str | float]:
        """Returns the fields that a manifest line has."""
        fields = asdict(self)
        return fields if self.target_filepath else {k: v for k, v in fields.items() if k != "target_filepath"}


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
      InputError: the file is missing or empty, or a line is not JSON, lacks a field or has one of the wrong type.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the manifest {path}: {error}") from None
    utterances = [_parse_line(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not utterances:
        raise InputError(f"the manifest {path} lists no utterance")
    return utterances


def _parse_line(path: Path, number: int, line: str) -> Utterance:
    where = f"{path}, line {number}"
    try:
        record = json.loads(line)
        utterance = Utterance(
            audio_filepath=str(path.parent / record["audio_filepath"]),
            duration=float(record["duration"]),
            text=record["text"],
            speaker=str(record.get("speaker", "")),
            target_filepath=str(path.parent / target) if (target := record.get("target_filepath")) else "",
        )
    except KeyError as error:
        raise InputError(f"{where}: the field {error} is missing") from None
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: not a manifest line ({error})") from None
    if not isinstance(utterance.text, str):
        raise InputError(f"{where}: 'text' must be a string, got {type(utterance.text).__name__}")
    return utterance
