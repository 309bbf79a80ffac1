"""Models side by side on this machine's CPU, in a real runtime.

Every round runs every model once over the same utterances, so that a machine that gets warmer or busier touches all
models alike. Each model runs in a fresh process per round.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from converters.evaluate import Utterance, speed_columns
from converters.isolated import IsolatedRecognizer
from converters.results import ResultRow
from converters.runtimes import METADATA
from converters.tflite_file import read_tflite
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.decoding.wer import word_errors
from tfconformer.errors import InputError


@dataclass
class _Runs:
    sha256: str
    tokenizer: Tokenizer
    sample_rate: int
    seconds: list[list[float]] = field(default_factory=list)
    hypotheses: list[str] = field(default_factory=list)
    peak_rss_bytes: int = 0
    runtime: str = ""
    kernel: str = ""


def measure(
    models: Mapping[str, Path],
    utterances: Sequence[Utterance],
    test_set: str,
    described: Mapping[str, Mapping[str, Any]],
    runtime: str = "ai-edge-litert",
    threads: int = 1,
    rounds: int = 3,
) -> tuple[ResultRow, ...]:
    """Runs the models in turn and returns one row for each.

    The time of an utterance is the median over the rounds; percentiles in the rows are over utterances.

    Args:
      models: name -> file.
      utterances: waveforms, transcripts and names.
      test_set: name of the utterances in the rows.
      described: name -> further columns of the row, such as how the weights are stored.
      runtime: one of `converters.runtimes.RUNTIMES`.
      threads: of the runtime.
      rounds: at least 1.

    Raises:
      InputError: there is nothing to measure, a file cannot be run, has no tokenizer, another tokenizer or sample rate
        than the others, or changes between two rounds, or a model decodes differently from round to round.
    """
    if not models or not utterances or rounds < 1:
        raise InputError("a comparison needs at least one model, one utterance and one round")
    runs = {name: _open(path) for name, path in models.items()}
    _require_comparable(models, runs)
    for number in range(rounds):
        for name, path in models.items():
            _run_once(path, runs[name], utterances, runtime, threads, first=number == 0)
    lengths = np.array([len(waveform) for waveform, _, _ in utterances])
    references = [text for _, text, _ in utterances]
    rows = []
    for name, path in models.items():
        one = runs[name]
        seconds = np.median(one.seconds, axis=0)
        columns = {"file_bytes": path.stat().st_size, **described.get(name, {})}
        rows.append(
            ResultRow(
                model=name,
                test_set=test_set,
                evaluated_with="tflite",
                peak_rss_mb=one.peak_rss_bytes / 1e6,
                runtime=one.runtime,
                kernel=one.kernel,
                threads=threads,
                **speed_columns(seconds, lengths / one.sample_rate),
                **asdict(word_errors(references, one.hypotheses)),
                **columns,
            )
        )
    return tuple(rows)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _open(path: Path) -> _Runs:
    content = read_tflite(path).metadata.get(METADATA)
    try:
        metadata = json.loads(content or b"")
        tokenizer = Tokenizer.from_bytes(base64.b64decode(metadata["tokenizer"]))
        return _Runs(_sha256(path), tokenizer, int(metadata["config"]["features"]["sample_rate"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: its {METADATA} metadata lack a tokenizer or a sample rate") from error


def _require_comparable(models: Mapping[str, Path], runs: Mapping[str, _Runs]) -> None:
    (first, reference), *others = runs.items()
    for name, one in others:
        if (one.tokenizer.to_bytes(), one.sample_rate) != (reference.tokenizer.to_bytes(), reference.sample_rate):
            raise InputError(
                f"{models[first]} and {models[name]} differ in tokenizer or sample rate: they are not versions of one "
                "model and cannot be compared"
            )


def _run_once(
    path: Path, runs: _Runs, utterances: Sequence[Utterance], runtime: str, threads: int, *, first: bool
) -> None:
    if _sha256(path) != runs.sha256:
        raise InputError(f"{path}: the file changed during the comparison")
    with IsolatedRecognizer(path, runtime, threads) as recognizer:
        recognizer.decode(utterances[0][0], utterances[0][2])  # the first run also allocates; it is not measured
        decoded = [recognizer.decode(waveform, name) for waveform, _, name in utterances]
        runs.runtime = recognizer.runtime
    hypotheses = [runs.tokenizer.decode(one.ids) for one in decoded]
    if first:
        runs.hypotheses = hypotheses
    elif hypotheses != runs.hypotheses:
        raise InputError(f"{path}: it decodes the same utterances differently from round to round")
    runs.seconds.append([one.seconds for one in decoded])
    runs.peak_rss_bytes = max(runs.peak_rss_bytes, decoded[-1].peak_rss_bytes)
    runs.kernel = decoded[-1].kernel
