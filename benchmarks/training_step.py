"""Cost of quantization-aware training: CPU time of a training step, against the float step of the same round.

    python -m benchmarks.training_step results/training_step.json

Each scheme trains its own copy of the model of a configuration with random features, as `keras fit` does. Further
rows: ": quantizer", the weights of all layers quantized, forward and backward, and nothing else; ": search", what a
search for clip factors adds to the step in which it is due.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import tensorflow as tf
import tf_keras as keras

from benchmarks.timing import interleaved_seconds
from tfconformer.config import Config, load_config
from tfconformer.models.ctc import conformer_ctc
from tfconformer.quantization.apply import apply_rules
from tfconformer.quantization.layers.quantize_wrapper import QuantizationSteps, QuantizedDense
from tfconformer.quantization.quantizers.weights import fake_quantize_weights
from tfconformer.quantization.spec import QuantizationRule, QuantSpec
from tfconformer.reports.provenance import results_of_this_process
from tfconformer.reports.results import write_results
from tfconformer.reports.rows import ResultRow, StepTime, TrainingStepRatio
from tfconformer.training.train import compile_model

FLOAT = "float"
SCHEMES: dict[str, dict | None] = {
    FLOAT: None,
    "int8": {"bits": 8},
    "int4": {"bits": 4},
    "int4, block 32": {"bits": 4, "block_size": 32},
    "int2 asymmetric, block 32": {"bits": 2, "symmetric": False, "block_size": 32},
    "int2 asymmetric, block 32, clip searched every 20 steps": {
        "bits": 2,
        "symmetric": False,
        "block_size": 32,
        "clip": {"search": "block"},
    },
    "int2 asymmetric, block 32, clip searched every step": {
        "bits": 2,
        "symmetric": False,
        "block_size": 32,
        "clip": {"search": "block", "every": 1},
    },
    "int2, clip learned": {"bits": 2, "clip": {"learn": "channel"}},
    "int4, 2:4": {"bits": 4, "sparsity": "2:4"},
    "int4, 2:4 one-shot": {"bits": 4, "sparsity": "2:4", "sparsity_schedule": {"begin": 0}},
    "int8, int8 activations": {"bits": 8, "activation_bits": 8},
    "int4, int8 activations": {"bits": 4, "activation_bits": 8},
    "int4, int8 activations, block 32": {"bits": 4, "activation_bits": 8, "block_size": 32},
}
VOCABULARY = 32
LABELS_PER_SECOND = 12


@click.command()
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--config", "config_file", default="configs/small.yaml", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Replace a value of the YAML.")
@click.option("--scheme", "chosen", multiple=True, type=click.Choice(list(SCHEMES)), help="Only these, and float.")
@click.option("--utterances", default=4, help="In a batch.", show_default=True)
@click.option("--seconds", default=8.0, help="Length of an utterance.", show_default=True)
@click.option("--rounds", default=24, show_default=True)
def main(
    output: Path,
    config_file: Path,
    overrides: tuple[str, ...],
    chosen: tuple[str, ...],
    utterances: int,
    seconds: float,
    rounds: int,
) -> None:
    """Measure the steps of all schemes in turn and write them to OUTPUT."""
    config = load_config(config_file, list(overrides))
    batch = _batch(config, utterances, seconds)
    schemes = {name: scheme for name, scheme in SCHEMES.items() if not chosen or name in {FLOAT, *chosen}}
    runs: dict[str, Callable[[], None]] = {}
    for name, scheme in schemes.items():
        model = _model(config, scheme)
        runs[name] = _step(model, config, batch)
        if scheme is not None and not scheme.keys() & {"clip", "sparsity_schedule"}:
            runs[f"{name}: quantizer"] = _quantizer(model, scheme)
        if "every 20 steps" in name:
            runs[f"{name}: search"] = _search(model)
    measured = interleaved_seconds(runs, rounds)
    rows = []
    for name, times in measured.items():
        ratios = np.array(times) / np.array(measured[FLOAT])
        low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
        click.echo(f"{name:60}{1e3 * np.median(times):8.1f} ms {middle:6.3f} [{low:.3f}, {high:.3f}]")
        rows.append(
            ResultRow(
                model=name,
                step=StepTime(step_ms_p50=float(1e3 * np.median(times))),
                training_step=TrainingStepRatio(
                    step_ratio=float(middle), step_ratio_low=float(low), step_ratio_high=float(high)
                ),
            )
        )
    write_results(output, results_of_this_process(rows=tuple(rows)))


def _batch(config: Config, utterances: int, seconds: float) -> tuple[list[tf.Tensor], tf.Tensor]:
    random = np.random.default_rng(0)
    frames = int(seconds * config.features.sample_rate / config.features.frame_step)
    features = random.normal(size=(utterances, frames, config.features.mel_bins)).astype(np.float32)
    labels = random.integers(1, VOCABULARY, size=(utterances, int(seconds * LABELS_PER_SECOND)))
    return [tf.constant(features), tf.fill([utterances], frames)], tf.constant(labels, tf.int32)


def _model(config: Config, scheme: dict | None) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = conformer_ctc(config.model, config.features.mel_bins, VOCABULARY)
    rules = [QuantizationRule(layers=".*_head", spec=None)]
    if scheme:
        rules.append(QuantizationRule(layers=".*", spec=QuantSpec.model_validate(scheme)))
    return apply_rules(model, rules)


def _step(model: keras.Model, config: Config, batch: tuple[list[tf.Tensor], tf.Tensor]) -> Callable[[], None]:
    compile_model(model, config)
    schedule = QuantizationSteps()
    schedule.set_model(model)
    inputs, labels = batch
    targets = dict.fromkeys(model.output, labels)

    def step() -> None:
        schedule.on_train_batch_begin(0)
        model.train_on_batch(inputs, targets)

    return step


def _quantizer(model: keras.Model, scheme: dict) -> Callable[[], None]:
    spec = QuantSpec.model_validate(scheme)
    kernels = [layer.layer.kernel for layer in model.layers if isinstance(layer, QuantizedDense)]

    @tf.function(autograph=False)
    def gradients() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.add_n([tf.reduce_sum(fake_quantize_weights(kernel, spec)) for kernel in kernels])
        return tf.add_n([tf.reduce_sum(gradient) for gradient in tape.gradient(loss, kernels)])

    def run() -> None:
        gradients().numpy()

    return run


def _search(model: keras.Model) -> Callable[[], None]:
    def run() -> None:
        for layer in model.layers:
            if isinstance(layer, QuantizedDense):
                layer.trained.initialize()

    return run


if __name__ == "__main__":
    main()
