"""Sets every model against a baseline, most often the float32 one: how much smaller, how much worse."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from tfconformer.decoding.wer import wer_difference
from tfconformer.errors import InputError
from tfconformer.quantization.spec import FLOAT_BITS
from tfconformer.reports.results import ResultRow, ResultsFile, Transcript

# Rows are comparable if they were measured on the same sentences in the same runtime.
_Setting = tuple[str | None, str | None]


def compare_with_float(results: ResultsFile) -> ResultsFile:
    """Fills `float_ratio` and, where transcripts are there, `wer_difference` and its interval.

    The baseline of a row is the float model with the same test set and runtime; rows without one, and the
    baselines themselves, come back unchanged.

    Raises:
      InputError: two baselines compete, or a model and its baseline were not scored on the same utterances.
    """
    baselines = _baselines(results.rows)
    return _compared(results, lambda row: baselines.get((row.test_set, row.runtime)))


def compare_with(baselines: Mapping[str, str], results: ResultsFile) -> ResultsFile:
    """As `compare_with_float`, but `baselines` names the baseline of every model; what ran the two does not matter.

    Raises:
      InputError: a model and its baseline were not scored on the same utterances.
    """
    rows = {(row.model, row.test_set): row for row in results.rows}
    return _compared(results, lambda row: rows.get((baselines.get(str(row.model)), row.test_set)))


def _compared(results: ResultsFile, baseline_of: Callable[[ResultRow], ResultRow | None]) -> ResultsFile:
    transcripts: dict[tuple[str, _Setting], dict[str, Transcript]] = {}
    for transcript in results.transcripts:
        key = transcript.model, (transcript.test_set, transcript.runtime)
        transcripts.setdefault(key, {})[transcript.id] = transcript

    def heard(row: ResultRow) -> dict[str, Transcript] | None:
        return transcripts.get((str(row.model), (row.test_set, row.runtime)))

    rows = []
    for row in results.rows:
        baseline = baseline_of(row)
        if baseline is None or row.model is None or row == baseline:
            rows.append(row)
            continue
        changes = _size_ratio(row, baseline)
        spoken, expected = heard(row), heard(baseline)
        if spoken and expected:
            changes |= _difference(row, str(baseline.model), spoken, expected)
        rows.append(row.model_copy(update=changes))
    return results.model_copy(update={"rows": tuple(rows)})


def _baselines(rows: Iterable[ResultRow]) -> dict[_Setting, ResultRow]:
    baselines: dict[_Setting, ResultRow] = {}
    for row in rows:
        in_float = row.weight_bits == FLOAT_BITS and row.activation_bits in (None, FLOAT_BITS)
        if not in_float or row.model is None:
            continue
        if baselines.setdefault((row.test_set, row.runtime), row) != row:
            raise InputError(f"two float32 models on {row.test_set} in {row.runtime}: which one is the baseline?")
    return baselines


def _size_ratio(row: ResultRow, baseline: ResultRow) -> dict[str, float]:
    if not row.file_bytes or not baseline.file_bytes:
        return {}
    return {"float_ratio": baseline.file_bytes / row.file_bytes}


def _difference(
    row: ResultRow, baseline: str, spoken: dict[str, Transcript], expected: dict[str, Transcript]
) -> dict[str, float]:
    if spoken.keys() != expected.keys():
        raise InputError(f"{row.model} and {baseline} were not scored on the same utterances of {row.test_set}")
    ids = sorted(expected)
    difference = wer_difference(
        references=[expected[key].reference for key in ids],
        baseline=[expected[key].hypothesis for key in ids],
        system=[spoken[key].hypothesis for key in ids],
    )
    return {
        "wer_difference": difference.difference,
        "wer_difference_low": difference.low,
        "wer_difference_high": difference.high,
    }
