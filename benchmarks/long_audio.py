"""Time and memory of a whole Conformer against the length of the audio.

    python -m benchmarks.long_audio configs/conformer_l.yaml --output results/long_audio.json

This project's int2 and int4 and LiteRT's int8 and int4, with random weights, each in a process of its own for every
length.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import numpy as np

from benchmarks.random_conformers import Variant, contents, frozen_utterance, variants
from converters.runtime.isolated import IsolatedRecognizer
from tfconformer.config import Config, load_config
from tfconformer.reports.provenance import results_of_this_process
from tfconformer.reports.results import write_results
from tfconformer.reports.rows import Execution, ResultRow, Size, Speed

CHOSEN = (("tfconformer", 2), ("tfconformer", 4), ("LiteRT", 8), ("LiteRT", 4))


def chosen_variants() -> Iterator[Variant]:
    """Yields the variants of `CHOSEN`, per channel and dense."""
    for variant in variants():
        quantization = variant.quantization
        if quantization.granularity != "channel" or quantization.sparsity is not None:
            continue
        if (variant.implementation.split()[0], quantization.weight_bits) in CHOSEN:
            yield variant


def rows_of(config: Config, lengths: Sequence[float], runs: int) -> Iterator[ResultRow]:
    """Yields a row for every variant and length in seconds, with the median time of `runs` runs."""
    rng = np.random.default_rng(0)
    for variant, content in contents(frozen_utterance, config, chosen_variants()):
        with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
            file.write(content)
            file.flush()
            for seconds in lengths:
                samples = int(seconds * config.features.sample_rate)
                waveform = rng.standard_normal(samples, np.float32) * np.float32(0.05)
                with IsolatedRecognizer(file.name, "ai-edge-litert") as recognizer:
                    answers = [recognizer.decode(waveform) for _ in range(runs)]
                median = statistics.median(answer.seconds for answer in answers)
                peak = answers[-1].peak_rss_bytes / 1e6
                click.echo(f"{variant.name}: {seconds:g} s of audio in {median:.2f} s, {peak:.0f} MB")
                yield ResultRow(
                    quantization=variant.quantization,
                    size=Size(file_bytes=len(content)),
                    speed=Speed(latency_ms_p50=1e3 * median),
                    execution=Execution(
                        peak_rss_mb=peak, runtime=recognizer.runtime, kernel=answers[-1].kernel, threads=1
                    ),
                    audio_seconds=seconds,
                    implementation=variant.implementation,
                )


@click.command()
@click.argument("config_file", type=click.Path(path_type=Path))
@click.option("--seconds", "lengths", type=click.FloatRange(min=0.1), multiple=True, default=(10, 30, 60))
@click.option("--runs", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="Results file to write (JSON).")
def main(config_file: Path, lengths: tuple[float, ...], runs: int, output: Path | None) -> None:
    """Measure the model of CONFIG_FILE, single thread."""
    rows = tuple(rows_of(load_config(config_file), lengths, runs))
    if output is not None:
        named = tuple(row.model_copy(update={"model": config_file.stem}) for row in rows)
        write_results(output, results_of_this_process(rows=named))


if __name__ == "__main__":
    main()
