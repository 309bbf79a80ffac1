"""Plots of the report, as SVG text to be set into an HTML page.

Colors are left to the page: every plot is drawn in placeholder colors that become CSS variables (`--ink`, `--line`,
`--series-1` ...), so one drawing serves light and dark mode. Text stays text, in the page's font.
"""

from __future__ import annotations

import html
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

SERIES = 6
_WIDTH = 5.0  # inches of 72 points; the page scales the plot to its column
_LABEL_WIDTH = 0.2  # of a point's label, as a share of the axis

# Hexadecimal numbers that no one would choose as a color -> variables of the page.
_INK, _MUTED, _LINE = "#010101", "#020202", "#030303"
_VARIABLES = {_INK: "var(--ink)", _MUTED: "var(--muted)", _LINE: "var(--line)"}
_VARIABLES |= {f"#0102{index:02x}": f"var(--series-{index + 1})" for index in range(SERIES)}

_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.titlecolor": _INK,
    "axes.labelcolor": _MUTED,
    "axes.edgecolor": _LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "text.color": _INK,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _MUTED,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "figure.constrained_layout.use": True,
}


def series_color(index: int) -> str:
    """Returns the placeholder of the page's color number `index`, counted from 0; they repeat after `SERIES`."""
    return f"#0102{index % SERIES:02x}"


@dataclass(frozen=True)
class Point:
    """A model in the plot of accuracy against size: megabytes, and percent with its interval."""

    label: str
    color: str
    megabytes: float
    wer: float
    low: float
    high: float


@dataclass(frozen=True)
class Bar:
    """A model's median and ninetieth percentile."""

    label: str
    color: str
    median: float
    p90: float


@dataclass(frozen=True)
class LayerBars:
    """The SQNR of a model's layers, in dB, in the order of the network."""

    label: str
    color: str
    layers: tuple[str, ...]
    sqnr_db: tuple[float, ...]


def wer_against_size(panels: Mapping[str, Sequence[Point]]) -> str:
    """Draws one panel per test set: WER with its interval over the size of the file, on a logarithmic axis."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axis, (test_set, points) in zip(axes, panels.items(), strict=True):
            _wer_panel(axis, test_set, points)
        axes[-1].set_xlabel("size of the file, MB (logarithmic)")

    sets = ", ".join(panels)
    return _svg("wer-size", f"Word error rate against file size on {sets}", 0.35 + 1.75 * len(panels), draw)


def _wer_panel(axis: Axes, test_set: str, points: Sequence[Point]) -> None:
    ordered = sorted(points, key=lambda point: point.megabytes)
    # Room for half a label on either side, and for a label above the highest bar.
    smallest, largest = ordered[0].megabytes / 1.35, ordered[-1].megabytes * 1.35
    axis.plot([point.megabytes for point in ordered], [point.wer for point in ordered], color=_LINE, linewidth=1.2)
    end_of_labels_above = -math.inf
    for point in ordered:
        spread = [[max(0.0, point.wer - point.low)], [max(0.0, point.high - point.wer)]]
        axis.errorbar(
            point.megabytes, point.wer, spread, color=point.color, fmt="o", markersize=6, capsize=3, elinewidth=1.5
        )
        position = math.log(point.megabytes / smallest) / math.log(largest / smallest)
        above = position - _LABEL_WIDTH / 2 >= end_of_labels_above
        if above:
            end_of_labels_above = position + _LABEL_WIDTH / 2
        axis.annotate(
            f"{point.label} {point.wer:.1f}",
            (point.megabytes, point.high if above else point.low),
            xytext=(0, 5 if above else -5),
            textcoords="offset points",
            horizontalalignment="center",
            verticalalignment="bottom" if above else "top",
            color=point.color,
            weight="bold",
        )
    axis.set_xscale("log")
    axis.set_xlim(smallest, largest)
    # 1, 2 and 5 of every decade; a narrow range might show none of them.
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if largest > 6 * smallest else MaxNLocator(nbins=4))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_ylim(0, 1.25 * max(point.high for point in points) or 1)
    axis.yaxis.set_major_locator(MaxNLocator(nbins=4))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    axis.set_title(test_set)


def latency_bars(bars: Sequence[Bar]) -> str:
    """Draws real-time factors: the median as a bar, over the ninetieth percentile as a lighter bar."""

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        rows = range(len(bars))
        colors = [bar.color for bar in bars]
        axis.barh(rows, [bar.p90 for bar in bars], height=0.56, color=colors, alpha=0.3)
        axis.barh(rows, [bar.median for bar in bars], height=0.56, color=colors)
        for row, bar in enumerate(bars):
            axis.annotate(
                f"{bar.median:.3f}, p90 {bar.p90:.3f}",
                (max(bar.median, bar.p90), row),
                xytext=(6, 0),
                textcoords="offset points",
                verticalalignment="center",
            )
        axis.set_yticks(rows, [bar.label for bar in bars])
        axis.tick_params(axis="y", length=0, labelcolor=_INK)
        axis.invert_yaxis()
        # Room on the right for the numbers.
        axis.set_xlim(0, 1.45 * max(bar.p90 for bar in bars))
        axis.xaxis.set_major_locator(MaxNLocator(nbins=4))
        axis.grid(axis="y", visible=False)
        axis.spines["left"].set_visible(False)
        axis.set_xlabel("compute seconds per second of audio")

    return _svg("latency", "Real-time factor of every model", 0.75 + 0.42 * len(bars), draw)


def layer_error_bars(models: Sequence[LayerBars]) -> str:
    """Draws one panel per model: a bar per layer; the title names the layer with the largest error."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots(len(models), 1, sharey=True, squeeze=False)[:, 0]
        for axis, model in zip(axes, models, strict=True):
            axis.bar(range(len(model.sqnr_db)), model.sqnr_db, width=0.8, color=model.color)
            worst = min(range(len(model.sqnr_db)), key=model.sqnr_db.__getitem__)
            axis.set_title(f"{model.label}: least in {model.layers[worst]}, {model.sqnr_db[worst]:.1f} dB")
            axis.set_xticks([])
            axis.set_xlim(-0.8, len(model.sqnr_db) - 0.2)
            axis.yaxis.set_major_locator(MaxNLocator(nbins=4))
            axis.grid(axis="x", visible=False)
            axis.set_ylabel("SQNR, dB")
        axes[-1].set_xlabel("layers, first to last")

    return _svg("layers", "Signal to quantization noise of every layer", 0.35 + 1.45 * len(models), draw)


def _svg(name: str, description: str, height: float, draw: Callable[[Figure], None]) -> str:
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(_WIDTH, height))
        draw(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _for_page(buffer.getvalue(), name, description)


def _for_page(svg: str, name: str, description: str) -> str:
    """Reduces a standalone SVG file to the part that an HTML page takes."""
    view_box = re.search(r'viewBox="([^"]*)"', svg)
    assert view_box is not None, "matplotlib always writes a viewBox"
    body = svg[svg.index(">", view_box.end()) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = body.replace("xlink:href", "href")
    # Identifiers are unique in a figure; the prefix makes them so in the page.
    body = re.sub(r'(\bid="|"#|url\(#)', rf"\g<1>{name}-", body)
    # Text takes the page's font; weight and size stay.
    body = re.sub(r"font-family: [^;\"]*;", "", body)
    for placeholder, variable in _VARIABLES.items():
        body = body.replace(placeholder, variable)
    return f'<svg viewBox="{view_box[1]}" role="img" aria-label="{html.escape(description)}">{body.strip()}'
