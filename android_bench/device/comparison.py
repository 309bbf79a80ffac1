"""Models side by side on a phone or an emulated processor: every one once a round, like with like."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
import soundfile

from android_bench.device.backends import EMULATED, Report, open_backend
from converters.evaluation.evaluate import Utterance, speed_columns
from converters.evaluation.recognizers import read_recognizers
from tfconformer.decoding.wer import word_errors
from tfconformer.errors import InputError
from tfconformer.reports.results import Machine, ResultRow

THERMAL_STATUS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
_SAME = ("settings", "engine", "program")


def compare_on_device(
    models: Mapping[str, Path],
    utterances: Sequence[Utterance],
    test_set: str,
    described: Mapping[str, Mapping[str, Any]],
    backend: str,
    threads: int = 1,
    rounds: int = 3,
) -> tuple[tuple[ResultRow, ...], Machine]:
    """Runs the models in turn and returns one row for each, and the device.

    Args:
      models: name -> file; the files' names differ.
      utterances: waveforms, transcripts and names.
      test_set: name of the utterances in the rows.
      described: name -> further columns of the row.
      backend: as `open_backend` takes it.
      threads: of the runtime.
      rounds: at least 1.

    Raises:
      InputError: the backend cannot be used, a run fails or does not give the reference output, or the runs are not
        comparable: another file, device, engine or setting, or another thermal state.
    """
    if not models or not utterances or rounds < 1:
        raise InputError("a comparison needs at least one model, one utterance and one round")
    recognizers = read_recognizers(models)
    sample_rate = next(iter(recognizers.values())).sample_rate
    device = open_backend(backend)
    reports: dict[str, list[Report]] = {name: [] for name in models}
    with tempfile.TemporaryDirectory() as folder:
        speech = Path(folder) / "speech"
        write_speech(utterances, sample_rate, speech)
        device.prepare(list(models.values()), speech)
        for number in range(rounds):
            for name, path in models.items():
                click.echo(f"round {number + 1} of {rounds}: {name}", err=True)
                recognizers[name].require_unchanged()
                reports[name].append(device.run(path, f"--threads={threads}"))
    require_comparable({name: recognizer.sha256 for name, recognizer in recognizers.items()}, reports)
    rows = tuple(
        _row(name, path, reports[name], test_set, backend, threads, described.get(name, {}))
        for name, path in models.items()
    )
    return rows, _machine(next(iter(reports.values()))[0], backend)


def write_speech(utterances: Sequence[Utterance], sample_rate: int, folder: Path) -> None:
    """Writes what the native core takes: WAV files of 16 bits, and `transcripts.txt` with a line for each."""
    folder.mkdir()
    for waveform, _, name in utterances:
        soundfile.write(folder / f"{name}.wav", waveform, sample_rate, subtype="PCM_16")
    lines = [f"{name} {text}\n" for _, text, name in utterances]
    (folder / "transcripts.txt").write_text("".join(lines), encoding="utf-8")


def require_comparable(digests: Mapping[str, str], reports: Mapping[str, Sequence[Report]]) -> None:
    """Checks that differences between the reports come from the models.

    Args:
      digests: name -> SHA-256 of the model.
      reports: name -> reports of its runs.

    Raises:
      InputError: something else differs; the message names the models and what it is.
    """
    runs = [(name, report) for name, several in reports.items() for report in several]
    first_name, first = runs[0]
    for name, report in runs:
        if report["model"]["sha256"] != digests[name]:
            raise InputError(f"{name}: the device ran the file {report['model']['sha256']}, not {digests[name]}")
        for part in _SAME:
            if report[part] != first[part]:
                raise InputError(f"{name} and {first_name} differ in {part}: {report[part]} and {first[part]}")
        if _identity(report) != _identity(first):
            raise InputError(f"{name} and {first_name} ran on different devices or cores")
    states = {name: {state for report in several for state in _thermal(report)} for name, several in reports.items()}
    if len(set().union(*states.values())) > 1:
        listed = "; ".join(f"{name}: {', '.join(sorted(seen))}" for name, seen in states.items())
        raise InputError(
            f"the device's thermal state was not the same in all runs ({listed}): a throttled run is no measurement; "
            "let it cool, take it off the charger, or measure fewer utterances"
        )


def _identity(report: Report) -> tuple[Any, ...]:
    device = report["device"]
    return device.get("model"), device.get("system"), device.get("chip"), tuple(device["affinity"])


def _thermal(report: Report) -> list[str]:
    """Android's thermal state before and after a run; nothing where the device does not tell."""
    states = [state["status"] for state in report["thermal"].values() if "status" in state]
    return [THERMAL_STATUS[state] for state in states]


def _row(
    name: str,
    path: Path,
    reports: Sequence[Report],
    test_set: str,
    backend: str,
    threads: int,
    described: Mapping[str, Any],
) -> ResultRow:
    heard = [[one["hypothesis"] for one in report["recognition"]["transcripts"]] for report in reports]
    if any(other != heard[0] for other in heard):
        raise InputError(f"{path}: it decodes the same utterances differently from round to round")
    transcripts, engine = reports[0]["recognition"]["transcripts"], reports[0]["engine"]
    seconds = np.median([_column(report, "compute_seconds") for report in reports], axis=0)
    speed = {} if backend == EMULATED else speed_columns(seconds, _column(reports[0], "audio_seconds"))
    errors = word_errors([one["reference"] for one in transcripts], heard[0])
    columns = {"file_bytes": path.stat().st_size, **described}
    return ResultRow(
        model=name,
        test_set=test_set,
        evaluated_with="tflite",
        peak_rss_mb=max(report["memory"]["peak_kb"] for report in reports) * 1024 / 1e6,
        runtime=f"{engine['name']} {engine['version']}, {backend}",
        kernel=engine["kernel"],
        threads=threads,
        **speed,
        **asdict(errors),
        **columns,
    )


def _column(report: Report, name: str) -> list[float]:
    return [one[name] for one in report["recognition"]["transcripts"]]


def _machine(report: Report, backend: str) -> Machine:
    device = report["device"]
    known = [device[key] for key in ("model", "chip", "system") if key in device]
    governors = sorted({core["governor"] for core in device["cores"] if "governor" in core})
    limits = [f"affinity {device['affinity']}", *(f"governor {governor}" for governor in governors)]
    if backend == EMULATED:
        limits.append("emulated")
    return Machine(cpu=", ".join(known) or "unknown", cores=len(device["cores"]), limits=", ".join(limits))
