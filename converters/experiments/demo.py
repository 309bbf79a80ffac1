"""The demo: the whole way from speech to a report, on a sample that takes a quarter of an hour.

Every stage is a command that a user could type; it is printed before it runs, and timed. A second start continues: a
finished fine-tuning is not repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from converters.experiments.stages import Stages
from converters.runtime.model import RUNTIMES
from tfconformer.data.speech.debian_packages import ArchiveUnreachableError
from tfconformer.reports.baseline import compare_with_float
from tfconformer.reports.page import render_report
from tfconformer.reports.results import merge_results, read_results, write_results
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
    stages = Stages()
    shards = output / "shards"
    manifests = sorted(SAMPLE.glob("manifests/*.jsonl"))
    stages.run("prepare the sample", "data", "shards", *manifests, "--output", shards)
    tests = [f"--shards={shards}/test-*.tfrecord"]
    if _human_test_set(stages, output):
        tests.append(f"--shards={output}/human/shards/test-*.tfrecord")
    else:
        click.secho("test-human is left out: the Debian archive cannot be reached from here", fg="yellow")

    runs = {"float32": FLOAT_RUN} | {precision: output / "runs" / precision for precision in PRECISIONS}
    for precision in PRECISIONS:
        config = Path(f"configs/demo/{precision}.yaml")
        stages.run(f"fine-tune {precision}", "quantize", config, FLOAT_RUN, runs[precision])
    everywhere = [f"--runtime={runtime}" for runtime in RUNTIMES]
    for name, run in runs.items():
        verify = [f"--utterances={ALL_UTTERANCES}", *everywhere, *tests]
        stages.run(f"export and verify {name}", "export", run, output / f"{name}.tflite", *verify)
    results = {name: output / f"{name}.json" for name in runs}
    for name, file in results.items():
        stages.run(f"score {name}", "evaluate", output / f"{name}.tflite", *tests, "--output", file)
    _write_report(stages, list(results.values()), output / "report.html", publish)


def _human_test_set(stages: Stages, output: Path) -> bool:
    """Builds `test-human` from the Debian archive; returns False where that cannot be reached."""
    folders = ("--output", output / "human", "--cache", output / "cache")
    accepted = (0, ArchiveUnreachableError.exit_status)
    command = ("data", "speech", "--subset", "test-human", *folders)
    return stages.run("fetch human speech", *command, accepted=accepted) == 0


def _write_report(stages: Stages, results: Sequence[Path], page: Path, publish: bool) -> None:
    merged = compare_with_float(merge_results([read_results(path) for path in results]))
    report = merged.model_copy(update={"command": "make demo", "stages": stages.done})
    render_report(report, page, TITLE)
    write_results(page.with_suffix(".json"), report)
    if publish:
        write_results(PUBLISHED_RESULTS, report.model_copy(update={"transcripts": ()}))
        update_markdown(PUBLISHED_TABLE, {RESULTS_SECTION: render_markdown_table(report.rows)})
    click.echo(f"\n{render_markdown_table(report.rows)}")
    for stage in stages.done:
        click.echo(f"{stage.seconds:7.1f} s  {stage.name}")
    click.secho(f"\n{page}", bold=True)
