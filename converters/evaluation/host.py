"""Models side by side on this machine's CPU, in a real runtime.

Every round runs every model once over the same utterances, so that a machine that gets warmer or busier touches all
models alike. Each model runs in a fresh process per round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from converters.evaluation.evaluate import Utterance, speed_columns
from converters.evaluation.recognizers import Recognizer, read_recognizers
from converters.runtime.isolated import IsolatedRecognizer
from tfconformer.decoding.wer import word_errors
from tfconformer.errors import InputError
from tfconformer.reports.results import ResultRow


@dataclass
class _Runs:
    recognizer: Recognizer
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
      runtime: one of `converters.runtime.model.RUNTIMES`.
      threads: of the runtime.
      rounds: at least 1.

    Raises:
      InputError: there is nothing to measure, a file cannot be run, has no tokenizer, another tokenizer or sample rate
        than the others, or changes between two rounds, or a model decodes differently from round to round.
    """
    if not models or not utterances or rounds < 1:
        raise InputError("a comparison needs at least one model, one utterance and one round")
    runs = {name: _Runs(recognizer) for name, recognizer in read_recognizers(models).items()}
    for number in range(rounds):
        for one in runs.values():
            _run_once(one, utterances, runtime, threads, first=number == 0)
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
                **speed_columns(seconds, lengths / one.recognizer.sample_rate),
                **asdict(word_errors(references, one.hypotheses)),
                **columns,
            )
        )
    return tuple(rows)


def _run_once(runs: _Runs, utterances: Sequence[Utterance], runtime: str, threads: int, *, first: bool) -> None:
    recognizer = runs.recognizer
    recognizer.require_unchanged()
    with IsolatedRecognizer(recognizer.path, runtime, threads) as process:
        process.decode(utterances[0][0], utterances[0][2])  # the first run also allocates; it is not measured
        decoded = [process.decode(waveform, name) for waveform, _, name in utterances]
        runs.runtime = process.runtime
    hypotheses = [recognizer.tokenizer.decode(one.ids) for one in decoded]
    if first:
        runs.hypotheses = hypotheses
    elif hypotheses != runs.hypotheses:
        raise InputError(f"{recognizer.path}: it decodes the same utterances differently from round to round")
    runs.seconds.append([one.seconds for one in decoded])
    runs.peak_rss_bytes = max(runs.peak_rss_bytes, decoded[-1].peak_rss_bytes)
    runs.kernel = decoded[-1].kernel
