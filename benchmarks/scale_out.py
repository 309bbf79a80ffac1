"""Time of a training step with one worker and with two on this machine, from `tfconformer train` as a user starts it.

    python -m benchmarks.scale_out results/scale_out.json CONFIG --set training.steps_per_epoch=10

All trainings have the same batches. The time is that of the run's history, without dev sets, and without the first
epoch, in which functions are traced. Two workers on one machine share its cores: what is measured is the cost of
distribution, not a gain.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import click

from tfconformer.config import load_config
from tfconformer.errors import InputError
from tfconformer.reports.provenance import results_of_this_process
from tfconformer.reports.results import write_results
from tfconformer.reports.rows import ResultRow, StepTime
from tfconformer.training.run import RunDirectory

# Name, number of processes, replicas in each.
SETUPS = (("1 worker", 1, 1), ("1 worker of 2 replicas", 1, 2), ("2 workers", 2, 1))


@click.command()
@click.argument("output", type=click.Path(path_type=Path))
@click.argument("config_file", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Replace a value of the YAML.")
@click.option("--epochs", type=click.IntRange(min=2), default=3, show_default=True)
def main(output: Path, config_file: Path, overrides: tuple[str, ...], epochs: int) -> None:
    """Train CONFIG_FILE in each setup and write the times of a step to OUTPUT."""
    settings = (*overrides, f"training.epochs={epochs}")
    steps = load_config(config_file, list(settings)).training.steps_per_epoch
    rows = []
    for name, workers, replicas in SETUPS:
        seconds = _epoch_seconds(config_file, settings, workers, replicas)
        step = median(seconds) / steps
        click.echo(f"{name:24}{1e3 * step:10.0f} ms a step, {1 / step:6.2f} steps/s")
        rows.append(ResultRow(model=name, step=StepTime(step_ms_p50=1e3 * step)))
    write_results(output, results_of_this_process(rows=tuple(rows)))


def _epoch_seconds(config_file: Path, settings: tuple[str, ...], workers: int, replicas: int) -> list[float]:
    """Trains once; returns the seconds of the epochs after the first."""
    options = [word for setting in settings for word in ("--set", setting)]
    options += ["--replicas", str(replicas)]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "-m", "tfconformer.cli", "train", str(config_file), str(run), *options]
        environments = [os.environ | one for one in _clusters(workers)] if workers > 1 else [dict(os.environ)]
        processes = [subprocess.Popen(command, env=one, stdout=subprocess.DEVNULL) for one in environments]
        statuses = [process.wait() for process in processes]
        if any(statuses):
            raise InputError(f"a training of {workers} workers failed: {' '.join(command)}")
        return [epoch["seconds"] for epoch in RunDirectory(run).history()[1:]]


def _clusters(workers: int) -> list[dict[str, str]]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(workers)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    clusters = [
        {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}} for index in range(workers)
    ]
    return [{"TF_CONFIG": json.dumps(cluster)} for cluster in clusters]


if __name__ == "__main__":
    main()
