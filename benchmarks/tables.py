"""Tables of the pages, and the README's table and picture, from the results files.

python -m benchmarks.tables
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from benchmarks.size_plot import SIZE_PLOT_RESULTS, write_size_plot
from tfconformer.reports.results import ResultsFile, read_results
from tfconformer.reports.rows import Accuracy, Parity, ResultRow
from tfconformer.reports.tables import (
    DASH,
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
SIZE_PLOT = "docs/results/wer_size.svg"


def layer_table(rows: Sequence[ResultRow], k: int, n: int, cell: Cell) -> str:
    """Renders a Markdown table of one shape [k, n]: implementations by numbers of rows."""
    chosen = [row for row in rows if row.gemm is not None and (row.gemm.k, row.gemm.n) == (k, n)]
    measured = {(_implementation(row), row.gemm.m): row for row in chosen if row.gemm is not None}
    columns = sorted({m for _, m in measured})
    header = [f"implementation, {k} x {n}", *(f"M = {m}" for m in columns)]
    names = dict.fromkeys(_implementation(row) for row in chosen)
    return _numbers(header, [[name, *(cell(measured[name, m]) for m in columns)] for name in names])


def time_and_limit(row: ResultRow) -> str:
    """Prints microseconds, and the share of the machine's limit."""
    assert row.gemm is not None and row.gemm.time_us is not None and row.gemm.limit_fraction is not None
    time_us = row.gemm.time_us
    return f"{time_us:.{0 if time_us >= 100 else 1}f} ({row.gemm.limit_fraction:.0%})".replace("%", " %")


def thousands_of_instructions(row: ResultRow) -> str:
    """Prints thousands of instructions, and of those that multiply."""
    counts = row.instruction_counts
    assert counts is not None
    return f"{counts.instructions / 1e3:.1f} ({counts.product_instructions / 1e3:.1f})"


def cycles_table(rows: Sequence[ResultRow]) -> str:
    """Renders a table of modelled cycles for every number of rows: implementations by cores."""
    modelled = [(row, row.gemm.m, row.modelled_cycles) for row in rows if row.gemm and row.modelled_cycles]
    cores = list(dict.fromkeys(cycles.core for _, _, cycles in modelled))
    names = dict.fromkeys(_implementation(row) for row, _, _ in modelled)
    tables = []
    for m in dict.fromkeys(m for _, m, _ in modelled):
        cells = {(_implementation(row), one.core): f"{one.cycles:.2f}" for row, at, one in modelled if at == m}
        header = [f"cycles for 64 multiply-adds, M = {m}", *cores]
        tables.append(_numbers(header, [[name, *(cells[name, core] for core in cores)] for name in names]))
    return "\n".join(tables)


def encoder_table(rows: Sequence[ResultRow]) -> str:
    """Renders milliseconds of a whole utterance and of a step by implementation, with the size of the offline file."""
    offline = {_implementation(row): row for row in rows if row.speed.latency_ms_p50 is not None}
    steps = {_implementation(row): row.step.step_ms_p50 for row in rows if row.step is not None}
    lines = [
        [
            *(name, f"{(row.size.file_bytes or 0) / 1e6:.1f}", f"{row.speed.latency_ms_p50:.0f}"),
            *(f"{steps[name]:.2f}", str(row.execution.kernel)),
        ]
        for name, row in offline.items()
    ]
    return _numbers(["implementation", "file, MB", "10 s of audio, ms", "a step of 40 ms, ms", "kernel"], lines)


def litert_table(rows: Sequence[ResultRow]) -> str:
    """Renders size and milliseconds of this project's files and of LiteRT's, for every scheme that LiteRT has."""
    offline = {_key(row): row for row in rows if row.speed.latency_ms_p50 is not None}
    steps = {_key(row): row.step.step_ms_p50 for row in rows if row.step is not None}
    lines = []
    for name, weights in (key for key in offline if key[0].startswith("LiteRT")):
        pair = [("tfconformer", weights), (name, weights)]
        cells = (
            [f"{(offline[key].size.file_bytes or 0) / 1e6:.1f}" if key in offline else DASH for key in pair],
            [f"{offline[key].speed.latency_ms_p50:.0f}" if key in offline else DASH for key in pair],
            [f"{steps[key]:.2f}" if key in steps else DASH for key in pair],
        )
        lines.append([weights, *(" / ".join(cell) for cell in cells)])
    return _numbers(["tfconformer / LiteRT", "file, MB", "10 s of audio, ms", "a step of 40 ms, ms"], lines)


def long_audio_table(rows: Sequence[ResultRow]) -> str:
    """Renders seconds and peak memory of whole utterances, implementations by lengths."""
    measured = {(_implementation(row), row.audio_seconds): row for row in rows}
    lengths = sorted({row.audio_seconds for row in rows if row.audio_seconds is not None})
    lines = []
    for name in dict.fromkeys(_implementation(row) for row in rows):
        ours = [measured[name, length] for length in lengths]
        times = [
            f"{number((row.speed.latency_ms_p50 or 0) / 1e3, 2)} s, {number(row.execution.peak_rss_mb, 0)} MB"
            for row in ours
        ]
        lines.append([name, *times, str(ours[0].execution.kernel)])
    return _numbers(["implementation", *(f"{length:g} s of audio" for length in lengths), "kernel"], lines)


def export_table(results: ResultsFile) -> str:
    """Renders time and memory of the exports of large models; shares and multiples are of the weights in float32."""
    seconds = {stage.name: stage.seconds for stage in results.stages}
    header = ["model", "weights", "parameters, M", "file, MB", "% of float32", "time, s", "peak memory, MB"]
    lines = []
    for row in results.rows:
        ratio, parameters = row.size.float_ratio or math.nan, row.parameters or 0
        file_mb, peak_mb = (row.size.file_bytes or 0) / 1e6, row.execution.peak_rss_mb or 0
        cells = [str(row.model), scheme(row.quantization), f"{parameters / 1e6:.0f}", f"{file_mb:.1f}"]
        cells += [f"{100 / ratio:.1f}", f"{seconds[str(row.model)]:.0f}"]
        lines.append([*cells, f"{number(peak_mb, 0)} ({1e6 * peak_mb / parameters / 4:.1f} x)"])
    return _numbers(header, lines)


def training_table(rows: Sequence[ResultRow]) -> str:
    """Renders milliseconds of a training step, and their ratio to those of the float step."""
    lines = [
        [
            str(row.model),
            f"{row.step.step_ms_p50:.0f}",
            f"{ratio.step_ratio:.3f} [{ratio.step_ratio_low:.3f}–{ratio.step_ratio_high:.3f}]",
        ]
        for row in rows
        if row.step is not None and (ratio := row.training_step) is not None
    ]
    return _numbers(["training step", "CPU time, ms", "of float"], lines)


def scale_out_table(rows: Sequence[ResultRow]) -> str:
    """Renders milliseconds of a step of each setup of workers, and steps per second."""
    times = [(str(row.model), row.step.step_ms_p50) for row in rows if row.step is not None]
    lines = [[name, f"{time_ms:.0f}", f"{1e3 / time_ms:.2f}"] for name, time_ms in times if time_ms is not None]
    return _numbers(["one machine", "a step, ms", "steps/s"], lines)


def streaming_table(rows: Sequence[ResultRow]) -> str:
    """Renders a line for every model and chunk: word errors, latencies, step times, differences from offline."""
    scored = [row for row in rows if row.accuracy is not None]
    sets = list(dict.fromkeys(row.accuracy.test_set for row in scored if row.accuracy is not None))
    header = ["model", "kernel", "file, MB", "look-ahead, ms", *(f"WER {name}, %" for name in sets)]
    header += ["first text after the onset of speech, ms, p50 / p90", "rest after the end, ms, p50 / p90", "RTF p50"]
    header += ["step, ms", "of float's", "beside the offline file"]
    lines = []
    for row in rows:
        stream, step = row.stream, row.step
        if stream is None or step is None or step.step_time_ratio is None:
            continue
        scores = [one for one in scored if (one.model, _chunk_ms(one)) == (row.model, stream.chunk_ms)]
        cells = [str(row.model), str(row.execution.kernel), number((row.size.file_bytes or 0) / 1e6, 2)]
        cells += [number(stream.lookahead_ms, 0), *(_recognized(scores) if scores else [""] * (len(sets) + 3))]
        lines.append([*cells, number(step.step_ms_p50, 2), number(step.step_time_ratio, 2), _difference(scores)])
    return _numbers(header, lines)


def word_times_table(rows: Sequence[ResultRow]) -> str:
    """Renders how far the times of words are from those of the synthesizer."""
    header = [
        "model",
        "words",
        "recognized",
        "start, ms, p50 / p90",
        "median later by",
        "end, ms, p50 / p90",
        "median later by",
    ]
    lines = [
        [
            *(str(row.model), f"{times.spoken:,}", f"{times.recognized:,}"),
            *(_pair(times.start_ms_p50, times.start_ms_p90), number(times.start_bias_ms, 0)),
            *(_pair(times.end_ms_p50, times.end_ms_p90), number(times.end_bias_ms, 0)),
        ]
        for row in rows
        if (times := row.word_times) is not None
    ]
    return _numbers(header, lines)


def hotwords_table(rows: Sequence[ResultRow]) -> str:
    """Renders the recall of hotwords, and on every test set the errors of all other words and the false hotwords."""
    scored = [(row, row.hotword_score, row.accuracy) for row in rows if row.hotword_score and row.accuracy]
    sets = list(dict.fromkeys(accuracy.test_set for _, _, accuracy in scored))
    header = ["search", "hotwords recognized, %", *(f"WER of other words, {name}, % (false hotwords)" for name in sets)]
    lines = []
    for model in dict.fromkeys(row.model for row, _, _ in scored):
        ours = {accuracy.test_set: score for row, score, accuracy in scored if row.model == model}
        recall = next(score.hotword_recall for score in ours.values() if score.hotword_recall is not None)
        others = [f"{percent(ours[name].other_wer)} ({ours[name].false_hotwords})" for name in sets]
        lines.append([str(model), percent(recall), *others])
    return _numbers(header, lines)


def conversion_table(rows: Sequence[ResultRow]) -> str:
    """Renders a line for everything that speaks: word errors of the recognizer, length, latency, size and speed."""
    sets = list(dict.fromkeys(one.test_set for one in _accuracies(rows)))
    header = ["speech", "weights", "file, MB", *(f"WER {name}, %" for name in sets), "CER, %", "DNSMOS"]
    header += [
        "ended by itself, %",
        "length of the target's",
        "pitch error, cents",
        "first sound after the onset, ms, p50 / p90",
        "last after the end, ms, p50 / p90",
    ]
    header += ["RTF p50", "kernel"]
    lines = []
    for name, lag in dict.fromkeys((row.model, row.generated_speech.lag_ms) for row in rows if row.generated_speech):
        ours = [row for row in rows if row.generated_speech and (row.model, row.generated_speech.lag_ms) == (name, lag)]
        row, speech = ours[0], ours[0].generated_speech
        assert speech is not None
        mixed = "" if row.size.bits_per_weight is None else f"{row.size.bits_per_weight:.1f} bits in the mean"
        weights = scheme(row.quantization) or mixed
        cells = [str(name) if lag is None else f"{name}, {lag:.0f} ms behind the speaker", weights]
        cells += [number(row.size.file_bytes and row.size.file_bytes / 1e6, 2)]
        cells += [f"{percent(one.wer)} [{interval(one.wer_low, one.wer_high)}]" for one in _accuracies(ours)]
        cells += [percent(speech.cer), number(speech.mos, 2), percent(speech.stopped)]
        cells += [number(speech.length_ratio_p50, 2), number(speech.pitch_rmse_cents, 0)]
        cells += [_pair(speech.first_sound_ms_p50, speech.first_sound_ms_p90)]
        cells += [_pair(speech.rest_ms_p50, speech.rest_ms_p90), number(row.speed.rtf_p50, 3)]
        lines.append([*cells, row.execution.kernel or ""])
    return _numbers(*_without_empty_columns(header, lines))


def long_conversion_table(rows: Sequence[ResultRow]) -> str:
    """Renders the growth of memory over a long stream of utterances, and its real-time factor."""
    header = ["file", "audio, s", "memory grows by, MB", "cut off", "real-time factor", "kernel"]
    lines = [
        [
            *(str(row.model), number(row.audio_seconds, 0), number(row.rss_growth_mb, 1), str(row.cut_off)),
            *(number(row.speed.rtf_p50, 3), str(row.execution.kernel)),
        ]
        for row in rows
    ]
    return _numbers(header, lines)


def _once(rows: Sequence[ResultRow]) -> list[ResultRow]:
    """Leaves out the recordings that several files are scored beside, but for the first time."""
    recordings: set[tuple[str | None, str]] = set()
    kept = []
    for row in rows:
        key = row.model, row.accuracy.test_set if row.accuracy else ""
        if row.size.file_bytes is not None or key not in recordings:
            kept.append(row)
        recordings.add(key)
    return kept


def _chunk_ms(row: ResultRow) -> float | None:
    return None if row.stream is None else row.stream.chunk_ms


def _recognized(rows: Sequence[ResultRow]) -> list[str]:
    """Prints the errors on all test sets, and the times on the first."""
    times, speed = rows[0].responsiveness, rows[0].speed
    assert times is not None
    errors = [f"{percent(one.wer)} [{interval(one.wer_low, one.wer_high)}]" for one in _accuracies(rows)]
    text = _pair(times.first_token_ms_p50, times.first_token_ms_p90)
    return [*errors, text, _pair(times.finalization_ms_p50, times.finalization_ms_p90), number(speed.rtf_p50, 3)]


def _accuracies(rows: Sequence[ResultRow]) -> list[Accuracy]:
    return [row.accuracy for row in rows if row.accuracy is not None]


def _without_empty_columns(header: list[str], lines: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """Leaves out the columns in which no line has a value."""
    empty = {"", DASH, _pair(None, None)}
    kept = [column for column in range(len(header)) if not empty.issuperset(line[column] for line in lines)]
    return [header[column] for column in kept], [[line[column] for column in kept] for line in lines]


def _pair(p50: float | None, p90: float | None) -> str:
    return f"{number(p50, 0)} / {number(p90, 0)}"


def _difference(rows: Sequence[ResultRow]) -> str:
    """Prints the largest difference of all test sets, and the transcripts of all of them."""
    compared = [row for row in rows if row.parity is not None]
    parities: list[Parity] = [row.parity for row in compared if row.parity is not None]
    if not parities:
        return ""
    largest = max(one.relative_rms for one in parities)
    different = sum(one.different_transcripts or 0 for one in parities)
    utterances = sum(one.utterances for one in _accuracies(compared))
    return f"{largest:.1e} relative RMS, {different} of {utterances} transcripts differ"


def _key(row: ResultRow) -> tuple[str, str]:
    """Returns the name of the implementation, and the scheme of its weights in words."""
    return str(row.implementation), scheme(row.quantization)


def _implementation(row: ResultRow) -> str:
    """Names the implementation and its weights."""
    return ": ".join(_key(row))


def _numbers(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Renders a table with a name and numbers in every line."""
    return markdown_table(header, [":--", *("--:" for _ in header[1:])], lines)


@click.command()
@click.option("--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True)
@click.option("--root", type=click.Path(path_type=Path), default=Path(), show_default=True, help="Where the pages are.")
def main(results: Path, root: Path) -> None:
    """Put the tables into their pages, each between the comments that name its results file, and draw the picture."""

    def rows(*names: str) -> Sequence[ResultRow]:
        return [row for name in names for row in read_results(results / f"{name}.json").rows]

    def layers(name: str) -> str:
        return "\n".join(layer_table(rows(name), *shape, time_and_limit) for shape in KERNEL_SHAPES)

    arm, cycles = rows("arm_instructions"), rows("arm_cycles")
    benchmarks = {
        "encoder": encoder_table(rows("encoder")),
        "kernels": layers("kernels"),
        "long_audio": long_audio_table(rows("long_audio")),
        "export": export_table(read_results(results / "export.json")),
        "training_step": training_table(rows("training_step")),
        "arm_cycles": cycles_table(cycles),
        "arm_instructions": "\n".join(layer_table(arm, *shape, thousands_of_instructions) for shape in ARM_SHAPES),
    }
    transducers = rows("transducer_float32", "transducer_int4", "transducer_scratch")
    pages = {
        "docs/results/benchmarks.md": benchmarks,
        "docs/results/amx.md": {
            "encoder_amx": encoder_table(rows("encoder_amx")),
            "kernels_amx": layers("kernels_amx"),
        },
        "docs/results/avx2.md": {
            "encoder_avx2": encoder_table(rows("encoder_avx2")),
            "kernels_avx2": layers("kernels_avx2"),
        },
        "docs/guides/scale-out.md": {"scale_out": scale_out_table(rows("scale_out"))},
        "docs/guides/streaming.md": {
            "streaming": streaming_table(rows("streaming")),
            "word_times": word_times_table(rows("word_times")),
            "hotwords": hotwords_table(rows("hotwords")),
        },
        "docs/results/parrotron.md": {
            "parrotron": conversion_table(_once(rows("parrotron", "parrotron_int4"))),
            "parrotron_vocoder": conversion_table(rows("parrotron_vocoder")),
            "parrotron_hour": long_conversion_table(rows("parrotron_hour")),
        },
        "docs/reference/transducer.md": {"transducer": render_markdown_table(transducers)},
        "README.md": {"litert": litert_table(rows("encoder"))},
    }
    for page, sections in pages.items():
        update_markdown(root / page, {name: f"\n{content}\n" for name, content in sections.items()})
    write_size_plot({name: rows(name) for name in SIZE_PLOT_RESULTS}, root / SIZE_PLOT)


if __name__ == "__main__":
    main()
