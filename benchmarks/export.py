"""Time and memory of the export of large models with random weights.

    python -m benchmarks.export --run configs/conformer_l_int4.yaml --layers configs/usm_2b.yaml \
        --output results/export.json

A run is exported as `tfconformer export` does it, from its checkpoint to the verified file; a model of which only a
layer fits into memory, layer by layer. Every export has a process of its own, whose high-water mark is reported.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from benchmarks.random_weights import random_float_operations, random_kernel
from converters.exporter.freeze import freeze
from converters.exporter.metadata import abstract_layer_records, write_metadata
from converters.exporter.pipeline import export, pack_layer
from converters.exporter.plan import plan
from converters.exporter.rewrite import rewrite
from converters.flatbuffer.metadata import TaskDescription
from converters.runtime.model import open_model
from tfconformer.config import Config, load_config
from tfconformer.data.config import TokenizerConfig
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.quantization.apply import apply_rules, match_layers
from tfconformer.quantization.quantizers.weights import quantize_weights
from tfconformer.reports.provenance import results_of_this_process
from tfconformer.reports.results import Stage, write_results
from tfconformer.reports.rows import Execution, Quantization, ResultRow, Size
from tfconformer.tasks import find_task
from tfconformer.training.callbacks import save_weights
from tfconformer.training.checkpoint import abstract_model, float_model
from tfconformer.training.run import RunDirectory
from tfconformer.worker_processes import worker_pool

AUDIO_SECONDS = 2


@dataclass(frozen=True)
class Cost:
    """Time and memory of one export.

    Attributes:
      seconds: wall-clock time.
      peak_bytes: high-water mark of the resident memory.
      before_bytes: high-water mark when it began, the cost of Python and TensorFlow.
      file_bytes: size of the exported file.
    """

    seconds: float
    peak_bytes: int
    before_bytes: int
    file_bytes: int


def write_run(config: Config, folder: Path) -> None:
    """Writes a run of the configuration's model with random weights and a tokenizer of letters."""
    run = RunDirectory(folder)
    run.claim(config)
    tokenizer = _letters()
    tokenizer.save(run.tokenizer_file)
    save_weights(apply_rules(float_model(config, tokenizer), config.quantization), run)


def export_run(folder: Path, output: Path) -> Cost:
    """Exports a run as `tfconformer export` does, verified with one utterance of noise."""
    return _measured(lambda: export(RunDirectory(folder), output, [_noise()]), output)


def export_layers(config: Config, output: Path) -> Cost:
    """Exports a model with one layer at a time in float, and runs the file, which has no tokenizer."""

    def write() -> None:
        task, vocabulary = find_task(config.task), config.data.tokenizer.vocabulary_size
        model = task.exported_part(abstract_model(config, vocabulary), streaming=False)
        specs = match_layers(model, config.quantization)
        float_layers = random_float_operations(model)
        frozen = freeze(task, model, config.features, [*specs, *float_layers], random=True)
        packed = {}
        for layer in plan(model, specs):
            if layer.spec is not None:
                kernel = tf.constant(random_kernel(layer.k, layer.n))
                packed[layer.name] = pack_layer(layer, quantize_weights(kernel, layer.spec))
        described = TaskDescription(name=task.name, **task.describe(model))
        records = abstract_layer_records(model, specs)
        metadata = write_metadata(config, None, described, frozen.graphs, records)
        output.write_bytes(rewrite(frozen, {**packed, **float_layers}, metadata))

    cost = _measured(write, output)
    assert np.isfinite(open_model(output).run(_noise())).all()
    return cost


def _measured(export_it: Callable[[], object], output: Path) -> Cost:
    before, start = _peak_bytes(), time.perf_counter()
    export_it()
    return Cost(time.perf_counter() - start, _peak_bytes(), before, output.stat().st_size)


def _letters() -> Tokenizer:
    return Tokenizer.train(["ABCDEFGHIJKLMNOPQRSTUVWXYZ '"], TokenizerConfig())


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _noise() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(AUDIO_SECONDS * 16000, np.float32) * np.float32(0.05)


def _alone(function: Callable[..., Any], *arguments: object) -> Any:
    """Calls it in a new process."""
    with worker_pool(1) as pool:
        return pool.submit(function, *arguments).result()


def _row(name: str, config: Config, vocabulary: int, cost: Cost) -> ResultRow:
    model = find_task(config.task).exported_part(abstract_model(config, vocabulary), streaming=False)
    parameters = sum(int(np.prod(weight.shape)) for weight in model.weights)
    click.echo(
        f"{name}: {parameters / 1e6:.0f} M parameters, {cost.file_bytes / 1e6:.1f} MB "
        f"({25 * cost.file_bytes / parameters:.1f} % of float32) in {cost.seconds:.0f} s, peak memory "
        f"{cost.peak_bytes / 1e6:.0f} MB ({cost.peak_bytes / parameters / 4:.2f} times float32), "
        f"{cost.before_bytes / 1e6:.0f} MB of them before"
    )
    spec, _ = Counter(match_layers(model, config.quantization).values()).most_common(1)[0]
    return ResultRow(
        model=name,
        parameters=parameters,
        quantization=Quantization.of_spec(spec),
        size=Size(file_bytes=cost.file_bytes, float_ratio=4 * parameters / cost.file_bytes),
        execution=Execution(peak_rss_mb=cost.peak_bytes / 1e6),
    )


@click.command()
@click.option("--run", "runs", type=click.Path(path_type=Path), multiple=True, help="Configuration to export a run of.")
@click.option("--layers", type=click.Path(path_type=Path), multiple=True, help="Configuration to export by layers.")
@click.option("--output", type=click.Path(path_type=Path), help="Results file to write (JSON).")
def main(runs: tuple[Path, ...], layers: tuple[Path, ...], output: Path | None) -> None:
    """Export models of configurations and measure it; rows name the scheme of most layers."""
    rows, stages = [], []
    for path in (*runs, *layers):
        config = load_config(path)
        with tempfile.TemporaryDirectory() as temporary:
            folder, file = Path(temporary) / "run", Path(temporary) / "exported.tflite"
            if path in runs:
                _alone(write_run, config, folder)
                vocabulary, cost = _letters().vocabulary_size, _alone(export_run, folder, file)
            else:
                vocabulary, cost = config.data.tokenizer.vocabulary_size, _alone(export_layers, config, file)
        rows.append(_row(path.stem, config, vocabulary, cost))
        stages.append(Stage(name=path.stem, seconds=cost.seconds))
    if output is not None:
        write_results(output, results_of_this_process(rows=tuple(rows), stages=tuple(stages)))


if __name__ == "__main__":
    main()
