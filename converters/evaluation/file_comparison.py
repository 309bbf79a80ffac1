"""Comparison of exported files, and of LiteRT's own formats beside them, on one test set.

results = compare_files([Path("int4.tflite"), Path("int2.tflite")], ["shards/test-clean-*.tfrecord"], HostBackend())
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from converters.evaluation.baselines import BITS, write_baseline
from converters.evaluation.comparison import Backend, ComparedModel, compare
from tfconformer.data.pipeline import evaluation_utterances
from tfconformer.data.shards import shards_by_set
from tfconformer.errors import InputError
from tfconformer.reports.provenance import results_of_this_process
from tfconformer.reports.results import ResultsFile
from tfconformer.reports.rows import Quantization, Size, Training


def compare_files(
    files: Sequence[Path],
    patterns: Sequence[str],
    backend: Backend,
    utterances: int = 16,
    rounds: int = 3,
    float_model: Path | None = None,
) -> ResultsFile:
    """Runs exported models in turn on the first utterances of a test set.

    Args:
      files: `.tflite` files of `tfconformer export`; their names without suffix are those of the models.
      patterns: globs of the shards of one test set.
      backend: what runs the models.
      utterances: how many to run.
      rounds: how often each model runs.
      float_model: a float `.tflite`, of which LiteRT's int8, int4 and int2 versions are made and compared too.

    Raises:
      InputError: the shards are of several test sets, two files have the same name, or see `compare`.
    """
    sets = shards_by_set(patterns)
    if len(sets) != 1:
        raise InputError(f"--shards should name one test set, got {', '.join(sets)}")
    ((test_set, shards),) = sets.items()
    models = {file.stem: file for file in files}
    if len(models) < len(files):
        raise InputError("two of the model files have the same name")
    compared = {name: ComparedModel.read(file) for name, file in models.items()}
    speech = list(evaluation_utterances(shards, limit=utterances))
    with tempfile.TemporaryDirectory() as folder:
        if float_model is not None:
            compared |= _baselines(float_model, Path(folder))
        rows, machine = compare(compared, speech, test_set, backend, rounds)
    return results_of_this_process(rows=rows).model_copy(update={"machine": machine})


def _baselines(float_model: Path, folder: Path) -> dict[str, ComparedModel]:
    baselines = {}
    for bits in BITS:
        path = folder / f"litert_int{bits}.tflite"
        write_baseline(float_model, bits, path)
        baselines[path.stem] = ComparedModel(
            path,
            Size(file_bytes=path.stat().st_size),
            quantization=Quantization(weight_bits=bits, symmetric=True, granularity="channel"),
            training=Training(method="ptq"),
        )
    return baselines
