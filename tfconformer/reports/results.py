"""Results files: every number this project prints comes from one, and every one has the same keys.

    results = read_results("build/demo/report.json")
    for row in results.rows:
        if row.accuracy is not None:
            print(row.model, row.accuracy.test_set, row.accuracy.wer)

A file names the command that measured its rows, the commit, the date and the machine. Tables, plots and the README are
rendered from these files alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, ValidationError

from tfconformer import atomic
from tfconformer.errors import InputError
from tfconformer.reports.rows import Record, ResultRow


class Machine(Record):
    """The machine of the measurements: CPU model, cores, and the limits of a container."""

    cpu: str
    cores: int = Field(gt=0)
    limits: str


class LayerError(Record):
    """Signal to quantization noise of one layer's weights: 10 log10(sum W^2 / sum (W - Wq)^2), in dB."""

    model: str
    layer: str
    sqnr_db: float


class Stage(Record):
    """Wall-clock time of one step of the pipeline."""

    name: str
    seconds: float = Field(ge=0)


class Transcript(Record):
    """A reference and what one model recognized in its place."""

    model: str
    test_set: str
    runtime: str
    id: str
    reference: str
    hypothesis: str


class ResultsFile(Record):
    """Rows and where they come from. A run's report adds layers, stages and transcripts; other files have none."""

    command: str
    commit: str
    date: str
    machine: Machine
    rows: tuple[ResultRow, ...]
    layers: tuple[LayerError, ...] = ()
    stages: tuple[Stage, ...] = ()
    transcripts: tuple[Transcript, ...] = ()


def write_results(path: str | Path, results: ResultsFile) -> None:
    """Writes a results file atomically: UTF-8 JSON, keys in a fixed order, those without a value are left out."""
    tree = results.model_dump(mode="json", exclude_none=True)
    tree = {key: value for key, value in tree.items() if value != [] or key == "rows"}
    atomic.write_text(path, json.dumps(tree, indent=2, ensure_ascii=False) + "\n")


def read_results(path: str | Path) -> ResultsFile:
    """Reads a results file.

    Raises:
      InputError: the file cannot be read, is not JSON, or does not keep the contract (the message names the key).
    """
    try:
        content = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the results file {path}: {error}") from None
    try:
        # Through JSON mode, in which strict validation takes a list for a tuple.
        return ResultsFile.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in _flat(first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        where = f"'{key}': " if key else ""
        raise InputError(f"{path} is not a results file: {where}{message}") from None


def _flat(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Leaves the record of a column out of its place, since rows are flat in the file."""
    return (*location[:2], *location[3:]) if location[:1] == ("rows",) and len(location) > 3 else location


def merge_results(files: Sequence[ResultsFile]) -> ResultsFile:
    """Joins what several commands measured into one file.

    Raises:
      InputError: there is no file, or they come from different commits or machines: their numbers do not belong
        into one table.
    """
    if not files:
        raise InputError("no results file to report on")
    first, last = files[0], max(files, key=lambda results: results.date)
    for other in files[1:]:
        if (other.commit, other.machine) != (first.commit, first.machine):
            raise InputError(
                "results of different commits or machines cannot be joined: "
                f"{first.commit} on {first.machine.cpu} and {other.commit} on {other.machine.cpu}"
            )
    return ResultsFile(
        command="\n".join(dict.fromkeys(results.command for results in files)),
        commit=first.commit,
        date=last.date,
        machine=first.machine,
        rows=tuple(row for results in files for row in results.rows),
        layers=tuple(dict.fromkeys(layer for results in files for layer in results.layers)),
        stages=tuple(stage for results in files for stage in results.stages),
        transcripts=tuple(transcript for results in files for transcript in results.transcripts),
    )
