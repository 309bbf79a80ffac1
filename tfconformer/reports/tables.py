"""Rows of a results file, arranged and worded as tables show them.

A table has one line per model and runtime, and one column of accuracy per test set. The HTML report and the
README's Markdown print the same cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfconformer import atomic
from tfconformer.errors import InputError
from tfconformer.quantization.spec import FLOAT_BITS
from tfconformer.reports.results import ResultRow

DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"

RESULTS_SECTION = "results"


@dataclass(frozen=True)
class ModelLine:
    """A line of the table.

    Attributes:
      model: its name.
      runtime: name and version, None where no runtime was involved.
      scores: test set -> the row that holds its accuracy.
      cost: the row whose size, speed and memory the line shows, that of the first test set.
    """

    model: str
    runtime: str | None
    scores: dict[str, ResultRow]
    cost: ResultRow


def model_lines(rows: Iterable[ResultRow]) -> list[ModelLine]:
    """Groups the rows that have a model and a test set, in the order in which they come.

    Raises:
      InputError: two rows give the same model on the same test set in the same runtime.
    """
    lines: dict[tuple[object, ...], ModelLine] = {}
    for row in rows:
        if row.model is None or row.test_set is None:
            continue
        key = row.model, row.runtime, row.kernel, row.threads, row.evaluated_with
        line = lines.setdefault(key, ModelLine(row.model, row.runtime, {}, row))
        if line.scores.setdefault(row.test_set, row) is not row:
            raise InputError(f"two rows for {row.model} on {row.test_set} in {row.runtime}")
    return list(lines.values())


def test_set_names(lines: Iterable[ModelLine]) -> list[str]:
    """The test sets of a table, in the order in which they come."""
    return list(dict.fromkeys(name for line in lines for name in line.scores))


def percent(fraction: float | None) -> str:
    """A fraction as a percentage with one decimal, without the sign: 0.0612 -> "6.1"."""
    return DASH if fraction is None else f"{100 * fraction:.1f}"


def signed_percent(fraction: float | None) -> str:
    """As `percent`, with a plus or a true minus sign."""
    return DASH if fraction is None else f"{100 * fraction:+.1f}".replace("-", MINUS)


def interval(low: float | None, high: float | None) -> str:
    """An interval in percent, with an en dash: "5.2-7.1"."""
    return DASH if low is None or high is None else f"{percent(low)}{DASH}{percent(high)}"


def megabytes(count: int | None) -> str:
    """Bytes in units of 10^6: "1.91 MB"."""
    return DASH if count is None else f"{count / 1e6:.2f} MB"


def number(value: float | None, decimals: int) -> str:
    """A number with fixed decimals, a dash where there is none."""
    return DASH if value is None else f"{value:,.{decimals}f}"


def scheme(row: ResultRow) -> str:
    """How the weights are stored: "2 bits, asymmetric, block 32; 8-bit activations"."""
    if row.weight_bits is None:
        return ""
    parts = ["float weights" if row.weight_bits == FLOAT_BITS else f"{row.weight_bits} bits"]
    if row.symmetric is not None:
        parts.append("symmetric" if row.symmetric else "asymmetric")
    if row.granularity == "block":
        parts.append(f"block {row.block_size}")
    elif row.granularity is not None:
        parts.append(f"per {row.granularity}")
    if row.sparsity is not None:
        parts.append(f"{row.sparsity} sparse")
    activations = row.activation_bits
    return ", ".join(parts) + (f"; {activations}-bit activations" if activations not in (None, FLOAT_BITS) else "")


def setting(row: ResultRow) -> str:
    """What ran the model: "tflite-runtime 2.14.0, avx2, 1 thread"."""
    if row.evaluated_with == "keras":
        return "Keras"
    threads = None if row.threads is None else f"{row.threads} thread{'' if row.threads == 1 else 's'}"
    return ", ".join(part for part in (row.runtime, row.kernel, threads) if part)


def describe(row: ResultRow) -> str:
    """A score in one line of plain text."""
    errors = f"S {row.substitutions}, D {row.deletions}, I {row.insertions} of {row.words} words"
    return (
        f"{row.model} on {row.test_set}: WER {percent(row.wer)} % [{percent(row.wer_low)}, {percent(row.wer_high)}]"
        f" ({errors}; {row.utterances} utterances, {row.skipped} skipped);"
        f" real-time factor {number(row.rtf_p50, 3)} (p90 {number(row.rtf_p90, 3)}),"
        f" peak memory {number(row.peak_rss_mb, 0)} MB; {setting(row)}"
    )


def render_markdown_table(rows: Sequence[ResultRow]) -> str:
    """The table in Markdown: WER in percent with its 95 % interval, size, speed and memory.

    Raises:
      InputError: no row has a model and a test set.
    """
    lines = model_lines(rows)
    if not lines:
        raise InputError("the results hold no row with a model and a test set")
    sets = test_set_names(lines)
    header = ["model", "weights", *(f"WER {name}, %" for name in sets), "file", "smaller", "bits/weight"]
    header += ["RTF p50 / p90", "peak memory", "runtime"]
    alignment = [":--", ":--", *["--:"] * (len(header) - 3), ":--"]
    return markdown_table(header, alignment, [_markdown_cells(line, sets) for line in lines])


def markdown_table(header: Sequence[str], alignment: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; the alignment of a column is ":--" or "--:"."""
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (header, alignment, *lines))


def _markdown_cells(line: ModelLine, sets: Sequence[str]) -> list[str]:
    scores = [line.scores.get(name) for name in sets]
    wers = [f"{percent(row.wer)} [{interval(row.wer_low, row.wer_high)}]" if row else DASH for row in scores]
    cost = line.cost
    ratio = DASH if cost.float_ratio is None else f"{number(cost.float_ratio, 2)}x"
    memory = DASH if cost.peak_rss_mb is None else f"{number(cost.peak_rss_mb, 0)} MB"
    return [
        *(line.model, scheme(cost), *wers, megabytes(cost.file_bytes), ratio, number(cost.bits_per_weight, 2)),
        *(f"{number(cost.rtf_p50, 3)} / {number(cost.rtf_p90, 3)}", memory, setting(cost)),
    ]


def update_markdown(path: str | Path, sections: Mapping[str, str]) -> None:
    """Replaces what stands between `<!-- NAME:begin -->` and `<!-- NAME:end -->` in a Markdown file, for every name.

    Raises:
      InputError: the file cannot be read, or does not hold each of these comments once and in order.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from None
    for name, content in sections.items():
        begin_comment, end_comment = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        before, begin, rest = text.partition(begin_comment)
        _, end, after = rest.partition(end_comment)
        if not (begin and end) or begin_comment in rest or end_comment in after:
            raise InputError(f"{path} must hold {begin_comment} and, after it, {end_comment}, each once")
        text = f"{before}{begin}\n{content}{end}{after}"
    atomic.write_text(path, text)
