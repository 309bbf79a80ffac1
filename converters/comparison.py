"""Sets every model of a report against the float32 one: how much smaller, how much worse."""

from __future__ import annotations

from collections.abc import Iterable

from converters.results import ResultRow, ResultsFile, Transcript
from converters.summary import FLOAT_BITS
from tfconformer.decoding.wer import wer_difference
from tfconformer.errors import InputError

# Rows are comparable if they were measured on the same sentences in the same runtime.
_Setting = tuple[str | None, str | None]


def compare_with_float(results: ResultsFile) -> ResultsFile:
    """Fills `float_ratio` and, where transcripts are there, `wer_difference` and its interval.

    The baseline of a row is the row of 32 weight bits with the same test set and runtime; rows without one, and the
    baselines themselves, come back unchanged.

    Raises:
      InputError: two baselines compete, or a model and its baseline were not scored on the same utterances.
    """
    baselines = _baselines(results.rows)
    transcripts: dict[tuple[str, _Setting], dict[str, Transcript]] = {}
    for transcript in results.transcripts:
        key = transcript.model, (transcript.test_set, transcript.runtime)
        transcripts.setdefault(key, {})[transcript.id] = transcript
    rows = []
    for row in results.rows:
        baseline = baselines.get((row.test_set, row.runtime))
        if baseline is None or row.model is None or row == baseline:
            rows.append(row)
            continue
        changes = _size_ratio(row, baseline)
        setting = row.test_set, row.runtime
        spoken, expected = transcripts.get((row.model, setting)), transcripts.get((str(baseline.model), setting))
        if spoken and expected:
            changes |= _difference(row, spoken, expected)
        rows.append(row.model_copy(update=changes))
    return results.model_copy(update={"rows": tuple(rows)})


def compare_with(baseline: str, results: ResultsFile) -> ResultsFile:
    """Sets every model against the one named `baseline` on the same test set, whatever ran it.

    Fills the same columns as `compare_with_float`; before there is such a row, all come back unchanged.

    Raises:
      InputError: a model and the baseline were not scored on the same utterances.
    """
    baselines = {row.test_set: row for row in results.rows if row.model == baseline}
    transcripts: dict[tuple[str, str], dict[str, Transcript]] = {}
    for transcript in results.transcripts:
        transcripts.setdefault((transcript.model, transcript.test_set), {})[transcript.id] = transcript
    rows = []
    for row in results.rows:
        expected = baselines.get(row.test_set)
        if expected is None or row.model is None or row.model == baseline:
            rows.append(row)
            continue
        pair = [transcripts.get((model, str(row.test_set))) for model in (row.model, baseline)]
        difference = _difference(row, pair[0], pair[1]) if pair[0] and pair[1] else {}
        rows.append(row.model_copy(update=_size_ratio(row, expected) | difference))
    return results.model_copy(update={"rows": tuple(rows)})


def _baselines(rows: Iterable[ResultRow]) -> dict[_Setting, ResultRow]:
    baselines: dict[_Setting, ResultRow] = {}
    for row in rows:
        if row.weight_bits != FLOAT_BITS or row.model is None:
            continue
        if baselines.setdefault((row.test_set, row.runtime), row) != row:
            raise InputError(f"two float32 models on {row.test_set} in {row.runtime}: which one is the baseline?")
    return baselines


def _size_ratio(row: ResultRow, baseline: ResultRow) -> dict[str, float]:
    if not row.file_bytes or not baseline.file_bytes:
        return {}
    return {"float_ratio": baseline.file_bytes / row.file_bytes}


def _difference(row: ResultRow, spoken: dict[str, Transcript], expected: dict[str, Transcript]) -> dict[str, float]:
    if spoken.keys() != expected.keys():
        raise InputError(f"{row.model} and the float32 model were not scored on the same utterances of {row.test_set}")
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
