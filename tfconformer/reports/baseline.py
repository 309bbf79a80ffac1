"""The comparison of every model with a baseline, most often the float32 one: how much smaller, how much worse."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from tfconformer.decoding.wer import wer_difference
from tfconformer.errors import InputError
from tfconformer.reports.results import ResultsFile, Transcript
from tfconformer.reports.rows import Accuracy, ResultRow

# Test set and runtime: rows are comparable if they were measured on the same sentences in the same runtime.
_Setting = tuple[str | None, str | None]


def compare_with_float(results: ResultsFile) -> ResultsFile:
    """Fills `float_ratio` and, where transcripts are there, `wer_difference` and its interval.

    The baseline of a row is the float model with the same test set and runtime; rows without one, and the
    baselines themselves, come back unchanged.

    Raises:
      InputError: two baselines compete, or a model and its baseline were not scored on the same utterances.
    """
    baselines = _baselines(results.rows)
    return _compared(results, lambda row: baselines.get(_setting(row)))


def compare_with(baselines: Mapping[str, str], results: ResultsFile) -> ResultsFile:
    """Fills the same columns as `compare_with_float`, with a baseline for every model, in whatever runtime.

    Args:
      baselines: name of a model -> name of its baseline.
      results: rows; one without a baseline comes back unchanged.

    Raises:
      InputError: a model and its baseline were not scored on the same utterances.
    """
    rows = {(row.model, _test_set(row)): row for row in results.rows}
    return _compared(results, lambda row: rows.get((baselines.get(str(row.model)), _test_set(row))))


def _test_set(row: ResultRow) -> str | None:
    return None if row.accuracy is None else row.accuracy.test_set


def _setting(row: ResultRow) -> _Setting:
    return _test_set(row), row.execution.runtime


def _compared(results: ResultsFile, baseline_of: Callable[[ResultRow], ResultRow | None]) -> ResultsFile:
    transcripts: dict[tuple[str, _Setting], dict[str, Transcript]] = {}
    for transcript in results.transcripts:
        key = transcript.model, (transcript.test_set, transcript.runtime)
        transcripts.setdefault(key, {})[transcript.id] = transcript

    def transcripts_of(row: ResultRow) -> dict[str, Transcript] | None:
        return transcripts.get((str(row.model), _setting(row)))

    rows = []
    for row in results.rows:
        baseline = baseline_of(row)
        if baseline is None or row.model is None or row == baseline:
            rows.append(row)
            continue
        changes: dict[str, object] = {}
        if row.size.file_bytes and baseline.size.file_bytes:
            ratio = baseline.size.file_bytes / row.size.file_bytes
            changes["size"] = row.size.model_copy(update={"float_ratio": ratio})
        system, expected = transcripts_of(row), transcripts_of(baseline)
        if row.accuracy is not None and system and expected:
            changes["accuracy"] = _with_difference(row.accuracy, (row.model, str(baseline.model)), system, expected)
        rows.append(row.model_copy(update=changes))
    return results.model_copy(update={"rows": tuple(rows)})


def _baselines(rows: Iterable[ResultRow]) -> dict[_Setting, ResultRow]:
    baselines: dict[_Setting, ResultRow] = {}
    for row in rows:
        if not row.quantization.is_float or row.model is None:
            continue
        test_set, runtime = _setting(row)
        if baselines.setdefault((test_set, runtime), row) != row:
            raise InputError(f"two float32 models on {test_set} in {runtime}: which one is the baseline?")
    return baselines


def _with_difference(
    accuracy: Accuracy, names: tuple[str, str], system: dict[str, Transcript], baseline: dict[str, Transcript]
) -> Accuracy:
    if system.keys() != baseline.keys():
        raise InputError(f"{' and '.join(names)} were not scored on the same utterances of {accuracy.test_set}")
    ids = sorted(baseline)
    difference = wer_difference(
        references=[baseline[key].reference for key in ids],
        baseline=[baseline[key].hypothesis for key in ids],
        system=[system[key].hypothesis for key in ids],
    )
    return accuracy.model_copy(
        update={
            "wer_difference": difference.difference,
            "wer_difference_low": difference.low,
            "wer_difference_high": difference.high,
        }
    )
