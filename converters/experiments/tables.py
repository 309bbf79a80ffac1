"""Tables of the results of a grid of experiments in Markdown: `docs/results/recipes.md` holds one section per grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from converters.experiments.grid import Experiment, load_experiment
from converters.experiments.plots import write_plot
from tfconformer.errors import InputError
from tfconformer.reports.results import ResultsFile, read_results
from tfconformer.reports.rows import Accuracy, ResultRow
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
    """Replaces the tables of a page and the plots in the folder `plots` beside it.

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
    """Renders a table with a line per model, its legend, and the variants that have not been measured.

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
    size = line.row.size
    share = DASH if size.float_ratio is None else f"{percent(1 / size.float_ratio)} %"
    file = DASH if _in_keras(line.row) else megabytes(size.file_bytes)
    scores = [_score(line.scores, name) for name in sets]
    return [line.model, _made_by(line.row), *scores, file, share, number(size.bits_per_weight, 2)]


def _score(scores: Mapping[str, Accuracy], test_set: str) -> str:
    score = scores.get(test_set)
    if score is None:
        return DASH
    text = f"{percent(score.wer)} [{interval(score.wer_low, score.wer_high)}]"
    if score.wer_difference is None:
        return text
    bounds = f"{signed_percent(score.wer_difference_low)} to {signed_percent(score.wer_difference_high)}"
    return f"{text}<br>{signed_percent(score.wer_difference)} ({bounds})"


def _made_by(row: ResultRow) -> str:
    made = row.training
    rate = "" if made.learning_rate is None else f", {made.steps} steps at {made.learning_rate:g}, seed {made.seed}"
    return f"{made.method or DASH}{rate}" + (", scored in Keras" if _in_keras(row) else "")


def _in_keras(row: ResultRow) -> bool:
    return row.accuracy is not None and row.accuracy.evaluated_with == "keras"


def _legend(experiment: Experiment, results: ResultsFile) -> str:
    hashes = sorted({row.training.data for row in results.rows if row.training.data})
    return (
        f"WER with its 95 % interval; below, the difference to {experiment.baseline} with that of a paired bootstrap. "
        f"Training data {', '.join(hashes)}, commit {results.commit[:12]}, {results.machine.cpu}, "
        f"{results.machine.cores} cores, {results.date[:10]}.\n"
    )
