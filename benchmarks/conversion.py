"""Word errors, latency, size and speed of conversion to one voice, in every precision, and of the vocoders.

    python -m benchmarks.conversion after-training results/parrotron.json --lag 0.85
    python -m benchmarks.conversion trained results/parrotron_int4.json --run runs/parrotron_int4
    python -m benchmarks.conversion vocoder results/parrotron_vocoder.json

Files are exported from the shipped models or from a fine-tuned run, and scored as streams by an independent recognizer;
the vocoders by copy synthesis of the target voice.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from converters.evaluation.generated_speech import score_conversion, score_vocoder
from converters.evaluation.moonshine import Moonshine, Recognize
from converters.evaluation.scoring import Score
from tfconformer.data.shards import shards_by_set
from tfconformer.reports.provenance import results_of_this_process
from tfconformer.reports.results import write_results
from tfconformer.reports.rows import ResultRow
from tfconformer.reports.tables import describe

CONFIGS = Path("configs/parrotron")
RUNTIME = "ai-edge-litert"
_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("part", type=click.Choice(["after-training", "trained", "vocoder"]))
@click.argument("output", type=_PATH)
@click.option("--run", type=_PATH, default=Path("models/parrotron"), show_default=True)
@click.option("--vocoder", type=_PATH, default=Path("models/vocoder"), show_default=True)
@click.option("--shards", default="data/parrotron/shards/test-pairs-0*.tfrecord", show_default=True)
@click.option("--lag", "lags", multiple=True, type=float, help="Lags in seconds at which float32 is scored too.")
@click.option("--utterances", type=click.IntRange(min=1), help="So many, not all.")
@click.option("--files", type=_PATH, default=Path("build/conversion"), show_default=True, help="Folder of the exports.")
def main(
    part: str,
    output: Path,
    run: Path,
    vocoder: Path,
    shards: str,
    lags: tuple[float, ...],
    utterances: int | None,
    files: Path,
) -> None:
    """Score a PART of the models, and write the rows to OUTPUT.

    after-training: float32, and int8 and int4 rounded after training. trained: RUN, a quantization-aware training to
    int4. vocoder: copy synthesis in float32, int8 and int4, and Griffin-Lim.
    """
    test_sets, recognize = shards_by_set([shards]), _remembering(Moonshine())

    def export(name: str, folder: Path, *options: str | Path) -> Path:
        return _export(files / f"{part}-{name}.tflite", folder, shards, *options)

    def scores() -> Iterator[Score]:
        if part == "vocoder":
            voices = {"vocoder, float32": export("float32", vocoder)}
            for bits in ("int8", "int4"):
                rules = ("--post-training", CONFIGS / f"vocoder_{bits}.yaml")
                voices[f"vocoder, {bits} after training"] = export(bits, vocoder, *rules)
            for name, file in voices.items():
                yield from score_vocoder(file, name, test_sets, RUNTIME, utterances, recognize)
            return
        joined = ("--streaming", "--vocoder", vocoder)
        rounded = {bits: ("--vocoder-post-training", CONFIGS / f"vocoder_{bits}.yaml") for bits in ("int8", "int4")}
        if part == "trained":
            conversions = {"int4 trained": export("int4", run, *joined, *rounded["int4"])}
        else:
            conversions = {"float32": export("float32", run, *joined)}
            for bits, voice in rounded.items():
                rules = ("--post-training", CONFIGS / f"{bits}.yaml")
                conversions[f"{bits} after training"] = export(bits, run, *joined, *rules, *voice)
        for name, file in conversions.items():
            float32 = name == "float32"
            yield from score_conversion(file, name, test_sets, RUNTIME, utterances, recognize, controls=float32)
            for lag in lags if float32 else ():
                yield from score_conversion(file, name, test_sets, RUNTIME, utterances, recognize, lag, controls=False)

    rows: dict[tuple[object, ...], ResultRow] = {}
    for score in scores():
        speech = score.row.generated_speech
        assert score.row.accuracy is not None and speech is not None
        key = score.row.model, score.row.accuracy.test_set, speech.lag_ms
        if key not in rows:  # source and target stand beside every file
            click.echo(describe(score.row))
            rows[key] = score.row
    write_results(output, results_of_this_process(rows=tuple(rows.values())))


def _export(file: Path, run: Path, shards: str, *options: str | Path) -> Path:
    """Exports a run, unless the file is there."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        words = ["export", run, file, "--shards", shards, "--utterances", "2", *options]
        subprocess.run([sys.executable, "-m", "tfconformer.cli", *map(str, words)], check=True)
    return file


def _remembering(recognize: Recognize) -> Recognize:
    """Returns the recognizer with a memory: source and target are the same beside every file."""
    texts: dict[bytes, str] = {}

    def remembered(waveform: NDArray[np.float32]) -> str:
        key = hashlib.sha256(waveform.tobytes()).digest()
        if key not in texts:
            texts[key] = recognize(waveform)
        return texts[key]

    return remembered


if __name__ == "__main__":
    main()
