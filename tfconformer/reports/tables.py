"""Tables of the rows of a results file: one line per model and runtime, one column of accuracy per test set.

The HTML report and the README's Markdown print the same cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfconformer import atomic
from tfconformer.errors import InputError
from tfconformer.quantization.spec import FLOAT_BITS
from tfconformer.reports.rows import Accuracy, ConversionSpeed, GeneratedSpeech, Quantization, ResultRow

DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"

RESULTS_SECTION = "results"
_COMPONENTS = "encoder / decoder / vocoder"


@dataclass(frozen=True)
class ModelLine:
    """A line of the table.

    Attributes:
      model: its name.
      runtime: name and version, None where no runtime was involved.
      scores: test set -> word errors.
      row: the row of the first test set, whose size, speed and memory the line shows.
    """

    model: str
    runtime: str | None
    scores: dict[str, Accuracy]
    row: ResultRow


def model_lines(rows: Iterable[ResultRow]) -> list[ModelLine]:
    """Groups the rows that have a model and word errors on a test set; keeps their order.

    Raises:
      InputError: two rows give the same model on the same test set in the same runtime.
    """
    lines: dict[tuple[object, ...], ModelLine] = {}
    for row in rows:
        accuracy, execution = row.accuracy, row.execution
        if row.model is None or accuracy is None:
            continue
        key = row.model, execution.runtime, execution.kernel, execution.threads, accuracy.evaluated_with
        line = lines.setdefault(key, ModelLine(row.model, execution.runtime, {}, row))
        if line.scores.setdefault(accuracy.test_set, accuracy) is not accuracy:
            raise InputError(f"two rows for {row.model} on {accuracy.test_set} in {execution.runtime}")
    return list(lines.values())


def test_set_names(lines: Iterable[ModelLine]) -> list[str]:
    """Returns the test sets of a table in the order of its lines."""
    return list(dict.fromkeys(name for line in lines for name in line.scores))


def percent(fraction: float | None) -> str:
    """Prints a fraction as a percentage with one decimal and without the percent sign: 0.0612 -> "6.1"."""
    return DASH if fraction is None else f"{100 * fraction:.1f}"


def signed_percent(fraction: float | None) -> str:
    """Prints a fraction as a percentage with one decimal and a plus or a true minus sign: 0.004 -> "+0.4"."""
    return DASH if fraction is None else f"{100 * fraction:+.1f}".replace("-", MINUS)


def interval(low: float | None, high: float | None) -> str:
    """Prints an interval of fractions in percent, with an en dash: "5.2-7.1"."""
    return DASH if low is None or high is None else f"{percent(low)}{DASH}{percent(high)}"


def megabytes(count: int | None) -> str:
    """Prints bytes in units of 10^6: "1.91 MB"."""
    return DASH if count is None else f"{count / 1e6:.2f} MB"


def number(value: float | None, decimals: int) -> str:
    """Prints a number with fixed decimals, or a dash in place of None."""
    return DASH if value is None else f"{value:,.{decimals}f}"


def width(bits: int) -> str:
    """Prints a number of bits: "1 bit", "4 bits"."""
    return f"{bits} bit" if bits == 1 else f"{bits} bits"


def scheme(quantization: Quantization) -> str:
    """Says how weights are stored: "2 bits, asymmetric, block 32; 8-bit activations"."""
    bits = quantization.weight_bits
    if bits is None:
        return ""
    parts = ["float weights" if bits == FLOAT_BITS else width(bits)]
    if quantization.half_integer:
        if bits > 1:  # the two values of 1 bit are half-integers always
            parts.append("half-integer")
    elif quantization.symmetric is not None:
        parts.append("symmetric" if quantization.symmetric else "asymmetric")
    if quantization.granularity == "block":
        parts.append(f"block {quantization.block_size}")
    elif quantization.granularity is not None:
        parts.append(f"per {quantization.granularity}")
    if quantization.sparsity is not None:
        parts.append(f"{quantization.sparsity} sparse")
    activations = quantization.activation_bits
    return ", ".join(parts) + (f"; {activations}-bit activations" if activations not in (None, FLOAT_BITS) else "")


def setting(row: ResultRow) -> str:
    """Names the runtime, kernel and threads of a row: "tflite-runtime 2.14.0, avx2, 1 thread"."""
    if row.accuracy is not None and row.accuracy.evaluated_with == "keras":
        return "Keras"
    count = row.execution.threads
    threads = None if count is None else f"{count} thread{'' if count == 1 else 's'}"
    return ", ".join(part for part in (row.execution.runtime, row.execution.kernel, threads) if part)


def describe(row: ResultRow) -> str:
    """Prints a row with word errors as one line of plain text."""
    accuracy, speed = row.accuracy, row.speed
    assert accuracy is not None, "the row has no word errors"
    if row.generated_speech is not None:
        return f"{row.model} on {accuracy.test_set}: {_generated_speech(accuracy, row.generated_speech)}"
    errors = f"S {accuracy.substitutions}, D {accuracy.deletions}, I {accuracy.insertions} of {accuracy.words} words"
    return (
        f"{row.model} on {accuracy.test_set}: WER {percent(accuracy.wer)} %"
        f" [{percent(accuracy.wer_low)}, {percent(accuracy.wer_high)}]"
        f" ({errors}; {accuracy.utterances} utterances, {accuracy.skipped} skipped);"
        f" real-time factor {number(speed.rtf_p50, 3)} (p90 {number(speed.rtf_p90, 3)}),"
        f" peak memory {number(row.execution.peak_rss_mb, 0)} MB; {setting(row)}"
    )


def _generated_speech(accuracy: Accuracy, speech: GeneratedSpeech) -> str:
    ended = "" if speech.stopped is None else f", {percent(speech.stopped)} % ended by the decoder"
    return (
        f"WER {percent(accuracy.wer)} % [{percent(accuracy.wer_low)}, {percent(accuracy.wer_high)}],"
        f" CER {percent(speech.cer)} % ({accuracy.words} words, {accuracy.utterances} utterances)"
        f"{_opinion(speech)}{_beside_target(speech)}{ended}{_latency(speech)}"
    )


def _opinion(speech: GeneratedSpeech) -> str:
    return "" if speech.mos is None else f"; DNSMOS {number(speech.mos, 2)}"


def _beside_target(speech: GeneratedSpeech) -> str:
    if speech.length_ratio_p50 is None:
        return ""
    length = (
        f"; length {number(speech.length_ratio_p50, 2)} of the target's"
        f" (p10 {number(speech.length_ratio_p10, 2)}, p90 {number(speech.length_ratio_p90, 2)})"
    )
    if speech.pitch_rmse_cents is None:
        return length
    return (
        f"{length}, pitch off by {number(speech.pitch_rmse_cents, 0)} cents,"
        f" voicing in {percent(speech.voicing_error)} % of the frames"
    )


def _latency(speech: GeneratedSpeech) -> str:
    if speech.first_sound_ms_p50 is None:
        return ""
    mode = "after the end" if speech.lag_ms is None else f"{number(speech.lag_ms, 0)} ms behind the speaker"
    return (
        f"; {mode}: first sound {number(speech.first_sound_ms_p50, 0)} ms after the onset of speech"
        f" (p90 {number(speech.first_sound_ms_p90, 0)}), last {number(speech.rest_ms_p50, 0)} ms after its end"
        f" (p90 {number(speech.rest_ms_p90, 0)})"
    )


def render_markdown_table(rows: Sequence[ResultRow]) -> str:
    """Renders the table in Markdown: WER in percent with its 95 % interval, size, speed and memory.

    Raises:
      InputError: no row has a model and a test set.
    """
    lines = model_lines(rows)
    if not lines:
        raise InputError("the results hold no row with a model and a test set")
    sets = test_set_names(lines)
    header = ["model", "weights", *(f"WER {name}, %" for name in sets), "file", "smaller", "bits/weight"]
    converts = any(line.row.conversion_speed for line in lines)
    header += ["RTF p50 / p90", *([_COMPONENTS] if converts else []), "peak memory", "runtime"]
    alignment = [":--", ":--", *["--:"] * (len(header) - 3), ":--"]
    return markdown_table(header, alignment, [_markdown_cells(line, sets, converts) for line in lines])


def markdown_table(header: Sequence[str], alignment: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Renders a table in Markdown; the alignment of a column is ":--" or "--:"."""
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (header, alignment, *lines))


def _component_rtfs(speed: ConversionSpeed | None) -> str:
    if speed is None:
        return DASH
    return " / ".join(number(rtf, 3) for rtf in (speed.encoder_rtf_p50, speed.decoder_rtf_p50, speed.vocoder_rtf_p50))


def _markdown_cells(line: ModelLine, sets: Sequence[str], converts: bool) -> list[str]:
    row, size, speed, peak = line.row, line.row.size, line.row.speed, line.row.execution.peak_rss_mb
    scores = [line.scores.get(name) for name in sets]
    wers = [f"{percent(one.wer)} [{interval(one.wer_low, one.wer_high)}]" if one else DASH for one in scores]
    ratio = DASH if size.float_ratio is None else f"{number(size.float_ratio, 2)}x"
    memory = DASH if peak is None else f"{number(peak, 0)} MB"
    return [
        *(line.model, scheme(row.quantization), *wers),
        *(megabytes(size.file_bytes), ratio, number(size.bits_per_weight, 2)),
        f"{number(speed.rtf_p50, 3)} / {number(speed.rtf_p90, 3)}",
        *([_component_rtfs(row.conversion_speed)] if converts else []),
        *(memory, setting(row)),
    ]


def update_markdown(path: str | Path, sections: Mapping[str, str]) -> None:
    """Replaces the text between `<!-- NAME:begin -->` and `<!-- NAME:end -->` in a Markdown file, for every name.

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
