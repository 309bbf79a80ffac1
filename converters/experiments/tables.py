"""The results of a grid of experiments as Markdown: `docs/recipes.md` holds one section per grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from converters.experiments.grid import Experiment, load_experiment
from converters.experiments.plots import write_plot
from tfconformer.errors import InputError
from tfconformer.reports.results import ResultRow, ResultsFile, read_results
from tfconformer.reports.tables import (
    DASH,
    ModelLine,
    interval,
    markdown_table,
    megabytes,
    model_lines,
    number,
    percent,
    signed_percent,
    test_set_names,
    update_markdown,
)


def update_page(page: Path, experiments: Sequence[Path], results: Path) -> None:
    """Replaces the tables of a page, and the plots beside it, which lie in its folder `plots`.

    Args:
      page: Markdown with a pair of comments for every grid, see `update_markdown`.
      experiments: grids; the results of NAME.yaml are NAME.json.
      results: folder of the results files.

    Raises:
      InputError: a file is wrong, or the page has no place for a table.
    """
    sections = {}
    for file in experiments:
        experiment, measured = load_experiment(file), results / f"{file.stem}.json"
        if not measured.is_file():
            sections[file.stem] = "\nNot measured yet.\n\n"
            continue
        plot, content = Path("plots") / f"{file.stem}.svg", read_results(measured)
        table = render_grid(experiment, content)
        write_plot(content, page.parent / plot)
        sections[file.stem] = f"{table}![{experiment.title}]({plot.as_posix()})\n\n"
    update_markdown(page, sections)


def render_grid(experiment: Experiment, results: ResultsFile) -> str:
    """A table with a line per model, what the numbers are, and what has not been measured.

    Raises:
      InputError: no row has a model and a test set.
    """
    lines = model_lines(results.rows)
    if not lines:
        raise InputError("the results hold no row with a model and a test set")
    sets = test_set_names(lines)
    header = ["model", "made by", *(f"{name}, %" for name in sets), "file", "of float", "bits/weight"]
    alignment = [":--", ":--", *["--:"] * (len(header) - 2)]
    missing = [name for name in experiment.variants if not any(_is_of(line, name) for line in lines)]
    paragraphs = [
        markdown_table(header, alignment, [_cells(line, sets) for line in lines]),
        _legend(experiment, results),
        *([f"Not measured yet: {'; '.join(missing)}.\n"] if missing else []),
    ]
    return "\n".join(["", *paragraphs, ""])


def _is_of(line: ModelLine, variant: str) -> bool:
    return line.model == variant or line.model.startswith(f"{variant} seed ")


def _cells(line: ModelLine, sets: Sequence[str]) -> list[str]:
    cost = line.cost
    share = DASH if cost.float_ratio is None else f"{percent(1 / cost.float_ratio)} %"
    size = DASH if cost.evaluated_with == "keras" else megabytes(cost.file_bytes)
    scores = [_score(line.scores, name) for name in sets]
    return [line.model, _made_by(cost), *scores, size, share, number(cost.bits_per_weight, 2)]


def _score(scores: Mapping[str, ResultRow], test_set: str) -> str:
    row = scores.get(test_set)
    if row is None:
        return DASH
    score = f"{percent(row.wer)} [{interval(row.wer_low, row.wer_high)}]"
    if row.wer_difference is None:
        return score
    bounds = f"{signed_percent(row.wer_difference_low)} to {signed_percent(row.wer_difference_high)}"
    return f"{score}<br>{signed_percent(row.wer_difference)} ({bounds})"


def _made_by(row: ResultRow) -> str:
    rate = "" if row.learning_rate is None else f", {row.steps} steps at {row.learning_rate:g}, seed {row.seed}"
    return f"{row.method or DASH}{rate}" + (", scored in Keras" if row.evaluated_with == "keras" else "")


def _legend(experiment: Experiment, results: ResultsFile) -> str:
    hashes = sorted({row.data for row in results.rows if row.data})
    return (
        f"WER with its 95 % interval; below, the difference to {experiment.baseline} with that of a paired bootstrap. "
        f"Training data {', '.join(hashes)}, commit {results.commit[:12]}, {results.machine.cpu}, "
        f"{results.machine.cores} cores, {results.date[:10]}.\n"
    )
