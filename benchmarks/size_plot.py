"""The picture of the README: word error rates on `test-clean` against file size, from float to 2 bits and 2:4."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from tfconformer import atomic
from tfconformer.reports.rows import ResultRow

TEST_SET = "test-clean"


@dataclass(frozen=True)
class Point:
    """A model of the picture.

    Attributes:
      results: name of the results file.
      model: name of the model in it.
      label: text beside the point.
      offset: from the point to the text, in points of type, right and up.
    """

    results: str
    model: str
    label: str
    offset: tuple[float, float] = (7, 6)


# The longest training of each scheme that was measured: 6,000 steps, of int8 1,500.
POINTS = (
    Point("longer", "float32, 6000 steps", "float32", (-44, 5)),
    Point("co_training", "int8 channel", "int8"),
    Point("longer", "int4 block64, int8 activations, 6000 steps", "int4,\nint8 activations", (8, -22)),
    Point("longer", "int4 channel, 2:4, 6000 steps", "int4, 2:4 sparse"),
    Point("longer", "int2 asymmetric block64 clip 0.7, 6000 steps", "int2", (-28, -4)),
    Point("longer", "int2 block64 clip 0.5, 2:4, 6000 steps", "int2, 2:4 sparse", (-10, 24)),
)
SIZE_PLOT_RESULTS = tuple(dict.fromkeys(point.results for point in POINTS))

# A page in the dark shows pictures as they are: the background belongs to them.
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "size",
    "font.size": 9,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
}
_COLOR = "#2f5d8a"
_TICKS = (1, 1.5, 2, 3, 4, 6, 9)  # MB


def write_size_plot(results: Mapping[str, Sequence[ResultRow]], output: Path) -> None:
    """Writes the SVG, atomically; the same results give the same bytes.

    Args:
      results: rows of every file of `SIZE_PLOT_RESULTS`, by its name.
      output: the file.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(7.2, 3.2))
        axis = figure.subplots()
        for point in POINTS:
            _draw(axis, point, _row(results[point.results], point.model))
        axis.set_xscale("log")
        axis.set_xticks(_TICKS, [f"{size:g}" for size in _TICKS])
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_xlim(_TICKS[0] * 0.85, _TICKS[-1] * 1.1)
        axis.set_ylim(0, 13)
        axis.set_xlabel(".tflite file, MB")
        axis.set_ylabel(f"WER on {TEST_SET}, % (95 % interval)")
        axis.grid(linewidth=0.5, color="#cccccc")
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    atomic.write_bytes(output, buffer.getvalue())


def _row(rows: Sequence[ResultRow], model: str) -> ResultRow:
    """Returns the row of an exported model on `TEST_SET`."""
    (row,) = (
        row
        for row in rows
        if row.model == model
        and row.accuracy is not None
        and (row.accuracy.test_set, row.accuracy.evaluated_with) == (TEST_SET, "tflite")
    )
    return row


def _draw(axis: matplotlib.axes.Axes, point: Point, row: ResultRow) -> None:
    accuracy = row.accuracy
    assert accuracy is not None and row.size.file_bytes is not None
    position = row.size.file_bytes / 1e6, 100 * accuracy.wer
    spread = [[100 * (accuracy.wer - accuracy.wer_low)], [100 * (accuracy.wer_high - accuracy.wer)]]
    axis.errorbar(*position, yerr=spread, fmt="o", markersize=5, capsize=2.5, color=_COLOR)
    axis.annotate(point.label, position, xytext=point.offset, textcoords="offset points")
