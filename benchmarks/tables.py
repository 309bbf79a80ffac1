"""The tables of docs/benchmarks.md, one of them also in the README, from the results files that the benchmarks wrote.

python -m benchmarks.tables
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from converters.results import ResultRow, read_results
from converters.tables import update_markdown

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
    return _table(header, [[name, *(cell(measured[name, m]) for m in columns)] for name in names])


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
    return _table(["implementation", "file, MB", "10 s of audio, ms", "a step of 40 ms, ms", "kernel"], lines)


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
    return _table(["training step", "CPU time, ms", "of float"], lines)


def _implementation(row: ResultRow) -> str:
    """Who computes, and with which weights."""
    if row.weight_bits == 32:
        return f"{row.implementation} float32"
    granularity = f"blocks of {row.block_size}" if row.block_size else "per channel"
    words = [row.implementation, f"int{row.weight_bits}", None if row.symmetric else "asymmetric", granularity]
    return " ".join(word for word in (*words, row.sparsity) if word)


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = [":--", *("--:" for _ in header[1:])]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (header, rule, *lines))


@click.command()
@click.option("--results", type=click.Path(path_type=Path), default=Path("docs/results"), show_default=True)
@click.option("--page", type=click.Path(path_type=Path), default=Path("docs/benchmarks.md"), show_default=True)
@click.option("--readme", type=click.Path(path_type=Path), default=Path("README.md"), show_default=True)
def main(results: Path, page: Path, readme: Path) -> None:
    """Put the tables of all benchmarks into a page, each between the comments that name its results file."""

    def rows(name: str) -> Sequence[ResultRow]:
        return read_results(results / f"{name}.json").rows

    kernels, arm = rows("kernels"), rows("arm_instructions")
    sections = {
        "kernels": "\n".join(layer_table(kernels, *shape, time_and_limit) for shape in KERNEL_SHAPES),
        "encoder": encoder_table(rows("encoder")),
        "training_step": training_table(rows("training_step")),
        "arm_instructions": "\n".join(layer_table(arm, *shape, thousands_of_instructions) for shape in ARM_SHAPES),
    }
    framed = {name: f"\n{content}\n" for name, content in sections.items()}
    update_markdown(page, framed)
    update_markdown(readme, {"encoder": framed["encoder"]})


if __name__ == "__main__":
    main()
