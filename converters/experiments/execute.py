"""Execution of the runs of a grid: fine-tune, export, score through the exported file.

    FOLDER/trainings/HASH      run directories; runs that differ only in what is exported share one
    FOLDER/runs/IDENTITY       model.tflite and results.json of a run

A run's `results.json` is written last, so a run that has one is finished and not repeated; one that was killed
continues its training after the last whole epoch, and is exported and scored again. Grids in one folder share the
trainings and runs that they have in common.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from converters.evaluation.scoring import Score, model_quantization, score_file, score_keras
from converters.experiments.grid import Experiment, Run, experiment_runs
from converters.exporter.pipeline import export_model
from tfconformer import atomic
from tfconformer.data.pipeline import evaluation_utterances
from tfconformer.data.shards import find_shards, shards_by_set
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.errors import InputError
from tfconformer.logs import show_logs
from tfconformer.quantization.layers.quantize_wrapper import set_active_bits
from tfconformer.reports.baseline import compare_with
from tfconformer.reports.provenance import results_of_this_process
from tfconformer.reports.results import ResultsFile, merge_results, read_results, write_results
from tfconformer.reports.rows import ResultRow, Training
from tfconformer.tasks.recognition import recognition_task
from tfconformer.training.checkpoint import load_model
from tfconformer.training.post_training import post_training_model
from tfconformer.training.run import RunDirectory
from tfconformer.training.train import train
from tfconformer.worker_processes import worker_pool

logger = logging.getLogger(__name__)

VERIFICATION_UTTERANCES = 8


def execute(path: Path, experiment: Experiment, folder: Path, output: Path, only: str = ".*") -> ResultsFile:
    """Executes the runs that are not finished, and updates the results file after every run.

    The results file holds all finished runs from the beginning, in the order of the grid.

    Args:
      path: the experiment's YAML.
      experiment: its content.
      folder: folder of the runs.
      output: the results file.
      only: regular expression of the variants to execute.

    Raises:
      InputError: a run cannot be executed, earlier runs were measured at another commit or on another machine, or
        `only` matches no variant.
      RuntimeError: the process of a run died.
    """
    runs = experiment_runs(experiment)
    asked = [run for run in runs if re.fullmatch(only, run.variant)]
    if not asked:
        raise InputError(f"{path} has no variant that matches {only!r}")
    for file in (output, *(run_folder(folder, run) / "results.json" for run in asked)):
        atomic.require_writable(file)
    for number, run in enumerate(asked, 1):
        results_file = run_folder(folder, run) / "results.json"
        if not results_file.is_file():
            logger.info("run %d of %d: %s", number, len(asked), run.model)
            write_results(results_file, _execute_alone(run, folder))
        _collect(runs, folder, output)
    return read_results(output)


def _collect(runs: Sequence[Run], folder: Path, output: Path) -> None:
    """Writes the results of all finished runs, compared with their baselines."""
    files = [run_folder(folder, run) / "results.json" for run in runs]
    merged = merge_results([read_results(file) for file in files if file.is_file()])
    merged = compare_with({run.model: run.baseline for run in runs}, merged)
    write_results(output, merged.model_copy(update={"transcripts": ()}))


def run_folder(folder: Path, run: Run) -> Path:
    """Returns the folder of the file and the results of a run."""
    return folder / "runs" / run.identity


def _execute_alone(run: Run, folder: Path) -> ResultsFile:
    """Calls `_execute` in a new process: TensorFlow keeps most of a gigabyte of every model that was trained."""
    with worker_pool(1, show_logs, (logger.isEnabledFor(logging.INFO),)) as pool:
        try:
            return pool.submit(_execute, run, folder).result()
        except BrokenProcessPool:
            raise RuntimeError(f"the process of the run {run.model} died; was there enough memory?") from None


def _execute(run: Run, folder: Path) -> ResultsFile:
    if run.post_training is None:
        directory = RunDirectory(folder / "trainings" / run.training)
        train(run.config, directory)
        trained, config = load_model(directory), run.config
        set_active_bits(trained, run.bits)
    else:
        directory = RunDirectory(run.initial_run)
        trained, config = post_training_model(directory, run.config.quantization, run.post_training)
    tokenizer = Tokenizer.from_file(directory.tokenizer_file)
    test_sets = shards_by_set(run.test_sets)
    if run.evaluated_with == "keras":
        scores = list(
            score_keras(
                recognition_task(config.task).recognizer(trained, tokenizer),
                config.features,
                tokenizer,
                run.model,
                test_sets,
                quantization=model_quantization(trained),
            )
        )
    else:
        file = run_folder(folder, run) / "model.tflite"
        utterances = evaluation_utterances(find_shards(config.data.dev), limit=VERIFICATION_UTTERANCES)
        waveforms = [one.waveform for one in utterances]
        export_model(trained, config, tokenizer, file, waveforms, method=_method(run))
        scores = list(score_file(file, run.model, test_sets))
    return results_of_this_process(
        rows=tuple(_described(score, run) for score in scores),
        transcripts=tuple(transcript for score in scores for transcript in score.transcripts),
    )


def _described(score: Score, run: Run) -> ResultRow:
    """Returns the row of a score with the training of the run."""
    trained, config = run.post_training is None, run.config.training
    training = Training(
        method=_method(run),
        seed=run.seed if trained else None,
        steps=config.epochs * config.steps_per_epoch if trained else 0,
        learning_rate=config.learning_rate if trained else None,
        data=run.data,
    )
    return score.row.model_copy(update={"training": training})


def _method(run: Run) -> str:
    if not any(rule.spec for rule in run.config.quantization):
        return "float"
    return "qat" if run.post_training is None else f"ptq-{run.post_training}"
