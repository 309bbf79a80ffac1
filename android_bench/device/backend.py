"""A phone or an emulated processor as a backend of `converters.evaluation.comparison`.

rows, phone = compare(models, utterances, "test-clean", DeviceBackend("adb-apk", threads=4))
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import soundfile

from android_bench.device.native_core import EMULATED, Report, open_native_core
from converters.evaluation.comparison import Run
from converters.evaluation.evaluate import RecognizedUtterance, Utterance
from converters.evaluation.recognizers import Recognizer
from converters.runtime.conversion import COMPONENTS
from tfconformer.errors import InputError
from tfconformer.reports.results import Machine

THERMAL_STATUS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
_SAME = ("settings", "engine", "program")


class DeviceBackend:
    """The native core on a phone or under emulation.

    Args:
      name: "adb-apk", "adb-cli" or "qemu".
      threads: number of threads of the runtime.

    Raises:
      InputError: no phone is connected, or a tool or the app is missing.
    """

    def __init__(self, name: str, threads: int = 1) -> None:
        self.threads = threads
        self.measures_time = name != EMULATED
        self._name = name
        self._core = open_native_core(name)
        self._recognizers: Mapping[str, Recognizer] = {}
        self._reports: dict[str, list[Report]] = {}

    @contextmanager
    def prepared(self, recognizers: Mapping[str, Recognizer], utterances: Sequence[Utterance]) -> Iterator[None]:
        """Copies models and speech to the device; the names of the models' files differ."""
        self._recognizers, self._reports = recognizers, {name: [] for name in recognizers}
        sample_rate = next(iter(recognizers.values())).sample_rate
        with tempfile.TemporaryDirectory() as folder:
            speech = Path(folder) / "speech"
            write_speech(utterances, sample_rate, speech)
            self._core.prepare([recognizer.path for recognizer in recognizers.values()], speech)
            yield

    def run(self, name: str) -> Run:
        recognizer = self._recognizers[name]
        mode = " --mode=streaming" if recognizer.streams else ""
        report = self._core.run(recognizer.path, f"--threads={self.threads}{mode}")
        self._reports[name].append(report)
        conversions = {one["name"]: one for one in report.get("conversion", ())}
        recognized = tuple(
            RecognizedUtterance(
                id=one["name"],
                reference=one["reference"],
                hypothesis=one["hypothesis"],
                audio_seconds=one["audio_seconds"],
                compute_seconds=one["compute_seconds"],
                **_conversion(conversions.get(one["name"])),
            )
            for one in report["recognition"]["transcripts"]
        )
        engine = report["engine"]
        return Run(
            utterances=recognized,
            peak_rss_bytes=report["memory"]["peak_kb"] * 1024,
            runtime=f"{engine['name']} {engine['version']}, {self._name}",
            kernel=engine["kernel"],
        )

    def machine(self) -> Machine:
        digests = {name: recognizer.sha256 for name, recognizer in self._recognizers.items()}
        require_comparable(digests, self._reports)
        first = next(iter(self._reports.values()))[0]
        return _machine(first, emulated=self._name == EMULATED)


def _conversion(report: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns what `RecognizedUtterance` has of a conversion; nothing of a recognition."""
    if report is None:
        return {}
    return {"components": {name: report[f"{name}_seconds"] for name in COMPONENTS}, "stopped": report["stopped"]}


def write_speech(utterances: Sequence[Utterance], sample_rate: int, folder: Path) -> None:
    """Writes speech for the native core: WAV files of 16 bits, and `transcripts.txt` with a line for each."""
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
        listed = "; ".join(f"{name}: {', '.join(sorted(found))}" for name, found in states.items())
        raise InputError(
            f"the device's thermal state was not the same in all runs ({listed}): a throttled run is no measurement; "
            "let it cool, take it off the charger, or measure fewer utterances"
        )


def _identity(report: Report) -> tuple[Any, ...]:
    device = report["device"]
    return device.get("model"), device.get("system"), device.get("chip"), tuple(device["affinity"])


def _thermal(report: Report) -> list[str]:
    """Returns Android's thermal state before and after a run; nothing where the device does not report it."""
    states = [state["status"] for state in report["thermal"].values() if "status" in state]
    return [THERMAL_STATUS[state] for state in states]


def _machine(report: Report, *, emulated: bool) -> Machine:
    device = report["device"]
    known = [device[key] for key in ("model", "chip", "system") if key in device]
    governors = sorted({core["governor"] for core in device["cores"] if "governor" in core})
    limits = [f"affinity {device['affinity']}", *(f"governor {governor}" for governor in governors)]
    if emulated:
        limits.append("emulated")
    return Machine(cpu=", ".join(known) or "unknown", cores=len(device["cores"]), limits=", ".join(limits))
