"""The report, one self-contained HTML page from a results file.

The page holds no script and refers to nothing outside itself: styles are inline, plots are inline SVG. Every
number in it is a value of the results file, rounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from tfconformer import atomic
from tfconformer.decoding.wer import Segment, align, count_errors
from tfconformer.errors import InputError
from tfconformer.reports import charts, tables
from tfconformer.reports.results import LayerError, ResultsFile, Transcript
from tfconformer.reports.tables import ModelLine

EXAMPLE_WORDS = 24


@dataclass(frozen=True)
class Hypothesis:
    """The hypothesis of one model for an utterance, aligned with the reference."""

    model: str
    segments: tuple[Segment, ...]
    errors: int


@dataclass(frozen=True)
class Example:
    """An utterance with its reference and the hypothesis of every model; `why` says why it was chosen."""

    why: str
    test_set: str
    reference: str
    hypotheses: tuple[Hypothesis, ...]


def render_report(results: ResultsFile, output: str | Path, title: str = "tfconformer report") -> None:
    """Writes the page.

    Args:
      results: rows, layers, stages and transcripts; sections without data are left out.
      output: path of the HTML file, written atomically.
      title: heading of the page.

    Raises:
      InputError: no row has a model and a test set.
    """
    lines = tables.model_lines(results.rows)
    if not lines:
        raise InputError("the results hold no row with a model and a test set: there is nothing to report")
    colors = {model: index for index, model in enumerate(dict.fromkeys(line.model for line in lines))}
    page = (
        page_environment()
        .get_template("report.html.j2")
        .render(
            title=title,
            results=results,
            lines=lines,
            test_sets=tables.test_set_names(lines),
            colors={model: index % charts.SERIES + 1 for model, index in colors.items()},
            size_chart=_size_chart(lines, colors),
            latency_chart=_latency_chart(lines, colors),
            layer_chart=_layer_chart(results.layers, colors),
            layer_models=list(dict.fromkeys(layer.model for layer in results.layers)),
            layer_table=_layer_table(results.layers),
            longest_stage=max((stage.seconds for stage in results.stages), default=0.0),
            examples=choose_examples(results.transcripts),
        )
    )
    atomic.write_text(output, page)


def page_environment() -> jinja2.Environment:
    """Returns the templates of the pages, with the functions that print numbers."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tfconformer.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        percent=tables.percent,
        signed_percent=tables.signed_percent,
        interval=tables.interval,
        megabytes=tables.megabytes,
        number=tables.number,
        scheme=tables.scheme,
        setting=tables.setting,
        duration=_duration,
    )
    return environment


def choose_examples(transcripts: Sequence[Transcript]) -> list[Example]:
    """Chooses two utterances per test set, always the same for the same transcripts.

    One is typical: its errors, summed over the models, are the median. The other is the one on which the models
    differ most. Only utterances of at most `EXAMPLE_WORDS` words are candidates.
    """
    by_test_set: dict[str, dict[str, list[Transcript]]] = {}
    for transcript in _one_runtime(transcripts):
        if 0 < len(transcript.reference.split()) <= EXAMPLE_WORDS:
            by_test_set.setdefault(transcript.test_set, {}).setdefault(transcript.id, []).append(transcript)
    examples = []
    for test_set, utterances in by_test_set.items():
        candidates = [_hypotheses(utterances[key]) for key in sorted(utterances)]
        by_errors = sorted(candidates, key=lambda hypotheses: sum(one.errors for one in hypotheses))
        typical, widest = by_errors[len(by_errors) // 2], max(candidates, key=_spread)
        chosen = {"typical": typical} if widest is typical else {"typical": typical, "models differ most": widest}
        for why, hypotheses in chosen.items():
            reference = " ".join(word for segment in hypotheses[0].segments for word in segment.reference)
            examples.append(Example(why, test_set, reference, hypotheses))
    return examples


def _one_runtime(transcripts: Sequence[Transcript]) -> list[Transcript]:
    """Keeps the transcripts of a model's first runtime: in all of them they are the same."""
    first: dict[tuple[str, str], str] = {}
    for transcript in transcripts:
        first.setdefault((transcript.model, transcript.test_set), transcript.runtime)
    return [one for one in transcripts if first[one.model, one.test_set] == one.runtime]


def _hypotheses(transcripts: Iterable[Transcript]) -> tuple[Hypothesis, ...]:
    return tuple(
        Hypothesis(
            model=one.model,
            segments=tuple(align(one.reference, one.hypothesis)),
            errors=int(count_errors([one.reference], [one.hypothesis])[0, 1:].sum()),
        )
        for one in transcripts
    )


def _spread(hypotheses: Sequence[Hypothesis]) -> int:
    errors = [one.errors for one in hypotheses]
    return max(errors) - min(errors)


def _size_chart(lines: Sequence[ModelLine], colors: dict[str, int]) -> str | None:
    # By test set and model: a model that ran in several runtimes has one size and one accuracy.
    panels: dict[str, dict[str, charts.Point]] = {}
    for line in lines:
        file_bytes = line.row.size.file_bytes
        for test_set, score in line.scores.items():
            if file_bytes is None:
                continue
            point = charts.Point(
                label=line.model,
                color=charts.series_color(colors[line.model]),
                megabytes=file_bytes / 1e6,
                wer=100 * score.wer,
                low=100 * score.wer_low,
                high=100 * score.wer_high,
            )
            panels.setdefault(test_set, {}).setdefault(line.model, point)
    return charts.wer_against_size({name: list(points.values()) for name, points in panels.items()}) if panels else None


def _latency_chart(lines: Sequence[ModelLine], colors: dict[str, int]) -> str | None:
    several_runtimes = len({line.runtime for line in lines}) > 1
    bars = [
        charts.Bar(
            label=f"{line.model}\n{line.runtime}" if several_runtimes else line.model,
            color=charts.series_color(colors[line.model]),
            median=line.row.speed.rtf_p50,
            p90=line.row.speed.rtf_p90,
        )
        for line in lines
        if line.row.speed.rtf_p50 is not None and line.row.speed.rtf_p90 is not None
    ]
    return charts.latency_bars(bars) if bars else None


def _layer_chart(layers: Sequence[LayerError], colors: dict[str, int]) -> str | None:
    models = [
        charts.LayerBars(
            label=model,
            color=charts.series_color(colors.get(model, 0)),
            layers=tuple(layer.layer for layer in layers if layer.model == model),
            sqnr_db=tuple(layer.sqnr_db for layer in layers if layer.model == model),
        )
        for model in dict.fromkeys(layer.model for layer in layers)
    ]
    return charts.layer_error_bars(models) if models else None


def _layer_table(layers: Sequence[LayerError]) -> dict[str, dict[str, float]]:
    table: dict[str, dict[str, float]] = {}
    for layer in layers:
        table.setdefault(layer.layer, {})[layer.model] = layer.sqnr_db
    return table


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes:
        return f"{minutes} min {rest:02d} s"
    return f"{seconds:.1f} s"
