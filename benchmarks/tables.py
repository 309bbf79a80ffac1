"""The tables of docs/benchmarks.md, streaming.md and transducer.md, and two of the README, from their results files.

python -m benchmarks.tables
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from tfconformer.reports.results import ResultRow, ResultsFile, read_results
from tfconformer.reports.tables import (
    interval,
    markdown_table,
    number,
    percent,
    render_markdown_table,
    scheme,
    update_markdown,
)

Cell = Callable[[ResultRow], str]
# Of the shapes that were measured, those that the page shows: an expansion and a contraction of Conformer L, one of S.
KERNEL_SHAPES = ((512, 2048), (2048, 512), (144, 576))
ARM_SHAPES = ((512, 512),)


def layer_table(rows: Sequence[ResultRow], k: int, n: int, cell: Cell) -> str:
    """A Markdown table of one shape [k, n]: implementations by numbers of rows."""
    chosen = [row for row in rows if (row.k, row.n) == (k, n)]
    measured = {(_implementation(row), row.m): row for row in chosen}
    columns = sorted({row.m for row in chosen if row.m is not None})
    header = [f"implementation, {k} x {n}", *(f"M = {m}" for m in columns)]
    names = dict.fromkeys(_implementation(row) for row in chosen)
    return _numbers(header, [[name, *(cell(measured[name, m]) for m in columns)] for name in names])


def time_and_limit(row: ResultRow) -> str:
    """Microseconds, and the share of the machine's limit."""
    assert row.time_us is not None and row.limit_fraction is not None
    return f"{row.time_us:.{0 if row.time_us >= 100 else 1}f} ({row.limit_fraction:.0%})".replace("%", " %")


def thousands_of_instructions(row: ResultRow) -> str:
    """Thousands of instructions, and of those that multiply."""
    assert row.instructions is not None and row.product_instructions is not None
    return f"{row.instructions / 1e3:.1f} ({row.product_instructions / 1e3:.1f})"


def encoder_table(rows: Sequence[ResultRow]) -> str:
    """Milliseconds of a whole utterance and of a step by implementation, with the size of the file of the former."""
    whole = {_implementation(row): row for row in rows if row.latency_ms_p50 is not None}
    steps = {_implementation(row): row.step_ms_p50 for row in rows if row.step_ms_p50 is not None}
    lines = [
        [name, f"{(row.file_bytes or 0) / 1e6:.1f}", f"{row.latency_ms_p50:.0f}", f"{steps[name]:.2f}", str(row.kernel)]
        for name, row in whole.items()
    ]
    return _numbers(["implementation", "file, MB", "10 s of audio, ms", "a step of 40 ms, ms", "kernel"], lines)


def long_audio_table(rows: Sequence[ResultRow]) -> str:
    """Seconds and peak memory of whole utterances, implementations by lengths."""
    measured = {(_implementation(row), row.audio_seconds): row for row in rows}
    lengths = sorted({row.audio_seconds for row in rows if row.audio_seconds is not None})
    lines = []
    for name in dict.fromkeys(_implementation(row) for row in rows):
        ours = [measured[name, length] for length in lengths]
        times = [f"{number((row.latency_ms_p50 or 0) / 1e3, 2)} s, {number(row.peak_rss_mb, 0)} MB" for row in ours]
        lines.append([name, *times, str(ours[0].kernel)])
    return _numbers(["implementation", *(f"{length:g} s of audio" for length in lengths), "kernel"], lines)


def export_table(results: ResultsFile) -> str:
    """What the exports of large models take; shares and multiples are of the weights in float32."""
    seconds = {stage.name: stage.seconds for stage in results.stages}
    header = ["model", "weights", "parameters, M", "file, MB", "% of float32", "time, s", "peak memory, MB"]
    lines = []
    for row in results.rows:
        ratio, parameters = row.float_ratio or math.nan, row.parameters or 0
        cells = [str(row.model), scheme(row), f"{parameters / 1e6:.0f}", f"{(row.file_bytes or 0) / 1e6:.1f}"]
        cells += [f"{100 / ratio:.1f}", f"{seconds[str(row.model)]:.0f}"]
        lines.append([*cells, f"{number(row.peak_rss_mb, 0)} ({1e6 * (row.peak_rss_mb or 0) / parameters / 4:.1f} x)"])
    return _numbers(header, lines)


def training_table(rows: Sequence[ResultRow]) -> str:
    """Milliseconds of a training step, and their ratio to those of the float step."""
    lines = [
        [
            str(row.model),
            f"{row.step_ms_p50:.0f}",
            f"{row.step_ratio:.3f} [{row.step_ratio_low:.3f}–{row.step_ratio_high:.3f}]",
        ]
        for row in rows
    ]
    return _numbers(["training step", "CPU time, ms", "of float"], lines)


def streaming_table(rows: Sequence[ResultRow]) -> str:
    """A line for every model and chunk: what it recognizes, when, at what cost, and how it differs from whole audio."""
    sets = list(dict.fromkeys(row.test_set for row in rows if row.test_set is not None))
    header = ["model", "kernel", "file, MB", "look-ahead, ms", *(f"WER {name}, %" for name in sets)]
    header += ["first text after the onset of speech, ms, p50 / p90", "rest after the end, ms, p50 / p90", "RTF p50"]
    header += ["step, ms", "of float's", "beside the file for whole utterances"]
    scored = [row for row in rows if row.wer is not None]
    lines = []
    for step in (row for row in rows if row.step_time_ratio is not None):
        scores = [row for row in scored if (row.model, row.chunk_ms) == (step.model, step.chunk_ms)]
        file_mb = number((step.file_bytes or 0) / 1e6, 2)
        measured = [number(step.step_ms_p50, 2), number(step.step_time_ratio, 2), _difference(scores)]
        recognized = _recognized(scores) if scores else [""] * (len(sets) + 3)
        lines.append([str(step.model), str(step.kernel), file_mb, number(step.lookahead_ms, 0), *recognized, *measured])
    return _numbers(header, lines)


def _recognized(scores: Sequence[ResultRow]) -> list[str]:
    """The errors on all test sets; times on the first."""
    first = scores[0]
    errors = [f"{percent(row.wer)} [{interval(row.wer_low, row.wer_high)}]" for row in scores]
    text = _pair(first.first_token_ms_p50, first.first_token_ms_p90)
    return [*errors, text, _pair(first.finalization_ms_p50, first.finalization_ms_p90), number(first.rtf_p50, 3)]


def _pair(p50: float | None, p90: float | None) -> str:
    return f"{number(p50, 0)} / {number(p90, 0)}"


def _difference(scores: Sequence[ResultRow]) -> str:
    """The largest of all test sets, and the transcripts of all of them."""
    compared = [row for row in scores if row.relative_rms is not None]
    if not compared:
        return ""
    largest = max(row.relative_rms or 0 for row in compared)
    different = sum(row.different_transcripts or 0 for row in compared)
    utterances = sum(row.utterances or 0 for row in compared)
    return f"{largest:.1e} relative RMS, {different} of {utterances} transcripts differ"


def _implementation(row: ResultRow) -> str:
    """Who computes, and with which weights."""
    return f"{row.implementation}: {scheme(row)}"


def _numbers(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table of numbers behind a name."""
    return markdown_table(header, [":--", *("--:" for _ in header[1:])], lines)


@click.command()
@click.option("--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True)
@click.option("--root", type=click.Path(path_type=Path), default=Path(), show_default=True, help="Where the pages are.")
def main(results: Path, root: Path) -> None:
    """Put the tables into their pages, each between the comments that name its results file."""

    def rows(*names: str) -> Sequence[ResultRow]:
        return [row for name in names for row in read_results(results / f"{name}.json").rows]

    kernels, arm = rows("kernels"), rows("arm_instructions")
    encoder = {"encoder": encoder_table(rows("encoder"))}
    benchmarks = encoder | {
        "kernels": "\n".join(layer_table(kernels, *shape, time_and_limit) for shape in KERNEL_SHAPES),
        "long_audio": long_audio_table(rows("long_audio")),
        "export": export_table(read_results(results / "export.json")),
        "training_step": training_table(rows("training_step")),
        "arm_instructions": "\n".join(layer_table(arm, *shape, thousands_of_instructions) for shape in ARM_SHAPES),
    }
    transducers = rows("transducer_float32", "transducer_int4", "transducer_scratch")
    pages = {
        "docs/benchmarks.md": benchmarks,
        "docs/streaming.md": {"streaming": streaming_table(rows("streaming"))},
        "docs/transducer.md": {"transducer": render_markdown_table(transducers)},
        "README.md": encoder | {"kernels": layer_table(kernels, *KERNEL_SHAPES[0], time_and_limit)},
    }
    for page, sections in pages.items():
        update_markdown(root / page, {name: f"\n{content}\n" for name, content in sections.items()})


if __name__ == "__main__":
    main()
