"""The demo: the whole way from speech to a report, on a sample that takes a quarter of an hour.

Every stage is a command that a user could type; it is printed before it runs, and timed. A second start continues: a
finished fine-tuning is not repeated.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from converters.runtime.model import RUNTIMES
from tfconformer.data.speech.debian_packages import ArchiveUnreachableError
from tfconformer.errors import InputError
from tfconformer.reports.baseline import compare_with_float
from tfconformer.reports.page import render_report
from tfconformer.reports.results import Stage, merge_results, read_results, write_results
from tfconformer.reports.tables import RESULTS_SECTION, render_markdown_table, update_markdown

FLOAT_RUN = Path("models/small")
SAMPLE = Path("samples/speech")
PRECISIONS = ("int8", "int4", "int2")
ALL_UTTERANCES = 1_000_000
PUBLISHED_RESULTS, PUBLISHED_TABLE = Path("results/demo.json"), Path("docs/results/index.md")
TITLE = "One Conformer in 32, 8, 4 and 2 bits"


def run_demo(output: Path, publish: bool = False) -> None:
    """Fine-tunes the small model to 8, 4 and 2 bits, exports, scores in every runtime, and writes a report.

    Args:
      output: folder of runs, models and `report.html`.
      publish: also replaces the published results and their table.

    Raises:
      InputError: a stage failed; its own message was printed before.
    """
    stages: list[Stage] = []
    shards = output / "shards"
    manifests = sorted(SAMPLE.glob("manifests/*.jsonl"))
    _run(stages, "prepare the sample", "data", "shards", *manifests, "--output", shards)
    tests = [f"--shards={shards}/test-*.tfrecord"]
    if _human_test_set(stages, output):
        tests.append(f"--shards={output}/human/shards/test-*.tfrecord")
    else:
        click.secho("test-human is left out: the Debian archive cannot be reached from here", fg="yellow")

    runs = {"float32": FLOAT_RUN} | {precision: output / "runs" / precision for precision in PRECISIONS}
    for precision in PRECISIONS:
        config = Path(f"configs/demo/{precision}.yaml")
        _run(stages, f"fine-tune {precision}", "quantize", config, FLOAT_RUN, runs[precision])
    everywhere = [f"--runtime={runtime}" for runtime in RUNTIMES]
    for name, run in runs.items():
        verify = [f"--utterances={ALL_UTTERANCES}", *everywhere, *tests]
        _run(stages, f"export and verify {name}", "export", run, output / f"{name}.tflite", *verify)
    results = {name: output / f"{name}.json" for name in runs}
    for name, file in results.items():
        _run(stages, f"score {name}", "evaluate", output / f"{name}.tflite", *tests, "--output", file)
    _write_report(stages, list(results.values()), output / "report.html", publish)


def _human_test_set(stages: list[Stage], output: Path) -> bool:
    """Builds `test-human` from the Debian archive; returns False where that cannot be reached."""
    folders = ("--output", output / "human", "--cache", output / "cache")
    accepted = (0, ArchiveUnreachableError.exit_status)
    command = ("data", "speech", "--subset", "test-human", *folders)
    return _run(stages, "fetch human speech", *command, accepted=accepted) == 0


def _run(stages: list[Stage], name: str, *arguments: str | Path, accepted: Sequence[int] = (0,)) -> int:
    """Runs a command of this program in a process of its own, notes its time and returns its exit status.

    Raises:
      InputError: the status is not an accepted one; the command has printed the reason on standard error.
    """
    words = [str(argument) for argument in arguments]
    click.secho(f"\n[{name}]", bold=True)
    click.echo(f"$ tfconformer {shlex.join(words)}")
    started = time.monotonic()
    status = subprocess.run([sys.executable, "-m", "tfconformer.cli", *words], check=False).returncode
    if status not in accepted:
        raise InputError(f"the stage '{name}' failed with exit status {status}; its message stands above")
    stages.append(Stage(name=name, seconds=round(time.monotonic() - started, 1)))
    return status


def _write_report(stages: list[Stage], results: Sequence[Path], page: Path, publish: bool) -> None:
    merged = compare_with_float(merge_results([read_results(path) for path in results]))
    report = merged.model_copy(update={"command": "make demo", "stages": tuple(stages)})
    render_report(report, page, TITLE)
    write_results(page.with_suffix(".json"), report)
    if publish:
        write_results(PUBLISHED_RESULTS, report.model_copy(update={"transcripts": ()}))
        update_markdown(PUBLISHED_TABLE, {RESULTS_SECTION: render_markdown_table(report.rows)})
    click.echo(f"\n{render_markdown_table(report.rows)}")
    for stage in stages:
        click.echo(f"{stage.seconds:7.1f} s  {stage.name}")
    click.secho(f"\n{page}", bold=True)
