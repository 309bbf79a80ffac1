"""A plot of the results of a grid of experiments for Markdown: WER and interval of every model, set by set."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tfconformer import atomic
from tfconformer.reports.results import ResultsFile
from tfconformer.reports.tables import ModelLine, model_lines, test_set_names

# A page in dark mode does not recolor a picture, so the picture has a background of its own.
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "grid",
    "font.size": 8.5,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
}
_WIDTH, _LINE_HEIGHT = 9.0, 0.24  # inches
_COLOR = "#2f5d8a"


def write_plot(results: ResultsFile, output: Path) -> None:
    """Writes an SVG, atomically; the same results give the same bytes."""
    lines = model_lines(results.rows)
    sets = test_set_names(lines)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, 0.7 + _LINE_HEIGHT * len(lines)))
        for axis, test_set in zip(figure.subplots(1, len(sets), sharey=True, squeeze=False)[0], sets, strict=True):
            _panel(axis, lines, test_set)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    atomic.write_bytes(output, buffer.getvalue())


def _panel(axis: matplotlib.axes.Axes, lines: list[ModelLine], test_set: str) -> None:
    for position, line in enumerate(lines):
        score = line.scores.get(test_set)
        if score is None:
            continue
        spread = [[100 * (score.wer - score.wer_low)], [100 * (score.wer_high - score.wer)]]
        axis.errorbar(100 * score.wer, position, xerr=spread, fmt="o", markersize=4, capsize=2, color=_COLOR)
    axis.set_yticks(range(len(lines)), [line.model for line in lines])
    axis.set_ylim(len(lines) - 0.5, -0.5)
    axis.set_xlim(left=0)
    axis.xaxis.set_major_locator(MaxNLocator(nbins=5))
    axis.grid(axis="x", linewidth=0.5, color="#cccccc")
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_title(f"{test_set}, WER %", loc="left")
