"""Word errors, quality, latency, size and speed of conversion to one voice, in every precision, and of the vocoders.

    python -m benchmarks.conversion after-training results/parrotron.json --lag 0.85 --lag 0.7 --lag 0.5 --lag 0.25
    python -m benchmarks.conversion trained results/parrotron_int4.json --run runs/parrotron_int4
    python -m benchmarks.conversion vocoder results/parrotron_vocoder.json

Files are exported from the shipped models or from a fine-tuned run, and scored as streams by an independent recognizer
and rater; the vocoders by copy synthesis of the target voice.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
import numpy as np
from numpy.typing import NDArray

from converters.evaluation.dnsmos import Dnsmos
from converters.evaluation.generated_speech import Listeners, score_generated_speech
from converters.evaluation.moonshine import Moonshine
from tfconformer.data.shards import shards_by_set
from tfconformer.reports.provenance import results_of_this_process
from tfconformer.reports.results import write_results
from tfconformer.reports.rows import ResultRow
from tfconformer.reports.tables import describe

CONFIGS = Path("configs/parrotron")
FLOAT32, ROUNDED = "float32", ("int8", "int4")
RUNTIME = "ai-edge-litert"
_PATH = click.Path(path_type=Path)

Judgement = TypeVar("Judgement")


@click.command()
@click.argument("part", type=click.Choice(["after-training", "trained", "vocoder"]))
@click.argument("output", type=_PATH)
@click.option("--run", type=_PATH, default=Path("models/parrotron"), show_default=True)
@click.option("--vocoder", type=_PATH, default=Path("models/vocoder"), show_default=True)
@click.option("--shards", default="data/parrotron/shards/test-pairs-0*.tfrecord", show_default=True)
@click.option("--lag", "lags", multiple=True, type=float, help="Lags in seconds at which float32 is scored too.")
@click.option("--utterances", type=click.IntRange(min=1), help="So many, not all.")
def main(
    part: str,
    output: Path,
    run: Path,
    vocoder: Path,
    shards: str,
    lags: tuple[float, ...],
    utterances: int | None,
) -> None:
    """Score a PART of the models, and write the rows to OUTPUT.

    after-training: float32, and int8 and int4 rounded after training. trained: RUN, a quantization-aware training to
    int4. vocoder: copy synthesis in float32, int8 and int4, and Griffin-Lim.
    """
    test_sets = shards_by_set([shards])
    listeners = Listeners(_remembering(Moonshine()), _remembering(Dnsmos()))
    rows: dict[tuple[object, ...], ResultRow] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, words in _exports(part, run, vocoder).items():
            file, float32 = Path(folder) / f"{name}.tflite", name == FLOAT32
            source, *options = words
            command = ["export", source, str(file), "--shards", shards, "--utterances", "2", *options]
            subprocess.run([sys.executable, "-m", "tfconformer.cli", *command], check=True)
            for lag in (None, *lags) if float32 else (None,):
                controls = float32 and lag is None
                for score in score_generated_speech(
                    file, name, test_sets, RUNTIME, utterances, listeners, lag, controls
                ):
                    assert score.row.accuracy is not None and score.row.generated_speech is not None
                    key = score.row.model, score.row.accuracy.test_set, score.row.generated_speech.lag_ms
                    if key not in rows:  # source and target stand beside every file
                        click.echo(describe(score.row))
                        rows[key] = score.row
    write_results(output, results_of_this_process(rows=tuple(rows.values())))


def _exports(part: str, run: Path, vocoder: Path) -> dict[str, list[str]]:
    """Returns the run and the options of the export of every file of a part, by its name."""
    rules = {name: str(CONFIGS / f"{name}.yaml") for bits in ROUNDED for name in (bits, f"vocoder_{bits}")}
    if part == "vocoder":
        rounded = {
            f"vocoder, {bits} after training": [str(vocoder), "--post-training", rules[f"vocoder_{bits}"]]
            for bits in ROUNDED
        }
        return {"vocoder, float32": [str(vocoder)], **rounded}
    joined = [str(run), "--streaming", "--vocoder", str(vocoder)]
    voices = {bits: [*joined, "--vocoder-post-training", rules[f"vocoder_{bits}"]] for bits in ROUNDED}
    if part == "trained":
        return {"int4 trained": voices["int4"]}
    after = {f"{bits} after training": [*voices[bits], "--post-training", rules[bits]] for bits in ROUNDED}
    return {FLOAT32: joined, **after}


def _remembering(listen: Callable[[NDArray[np.float32]], Judgement]) -> Callable[[NDArray[np.float32]], Judgement]:
    """Returns the listener with a memory: source and target are the same beside every file."""
    judgements: dict[bytes, Judgement] = {}

    def remembered(waveform: NDArray[np.float32]) -> Judgement:
        key = hashlib.sha256(waveform.tobytes()).digest()
        if key not in judgements:
            judgements[key] = listen(waveform)
        return judgements[key]

    return remembered


if __name__ == "__main__":
    main()
