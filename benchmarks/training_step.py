"""What quantization-aware training costs: CPU time of a training step, against the float step of the same round.

    python -m benchmarks.training_step docs/results/training_step.json

Each scheme trains its own copy of the model of a configuration with a batch of random features, as `keras fit` does,
schedules included. A second row per scheme has its quantizer alone: the weights of all layers, forward and backward.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import tensorflow as tf
import tf_keras as keras

from benchmarks.timing import interleaved_seconds
from converters.provenance import results_of_this_process
from converters.results import ResultRow, write_results
from tfconformer.config import Config, QuantizationRule, load_config
from tfconformer.models.conformer_ctc import conformer_ctc
from tfconformer.quantization.apply import apply_rules, quantized_layers
from tfconformer.quantization.layer import QuantizationSteps
from tfconformer.quantization.quantizers import fake_quantize_weights
from tfconformer.quantization.spec import QuantSpec
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
@click.option("--utterances", default=4, help="In a batch.", show_default=True)
@click.option("--seconds", default=8.0, help="Length of an utterance.", show_default=True)
@click.option("--rounds", default=24, show_default=True)
def main(output: Path, config_file: Path, utterances: int, seconds: float, rounds: int) -> None:
    """Measure the steps of all schemes in turn and write them to OUTPUT."""
    config = load_config(config_file)
    batch = _batch(config, utterances, seconds)
    steps = {name: _step(config, scheme, batch) for name, scheme in SCHEMES.items()}
    quantizers = {name: _quantizer(config, scheme) for name, scheme in SCHEMES.items() if scheme}
    # The first steps of everything trace, allocate and search.
    measured = interleaved_seconds(steps | {f"{name}: quantizer": run for name, run in quantizers.items()}, rounds)
    rows = []
    for name, times in measured.items():
        ratios = np.array(times) / np.array(measured[FLOAT])
        low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
        click.echo(f"{name:60}{1e3 * np.median(times):8.1f} ms {middle:6.3f} [{low:.3f}, {high:.3f}]")
        rows.append(
            ResultRow(
                model=name,
                step_ms_p50=float(1e3 * np.median(times)),
                step_ratio=float(middle),
                step_ratio_low=float(low),
                step_ratio_high=float(high),
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


def _step(config: Config, scheme: dict | None, batch: tuple[list[tf.Tensor], tf.Tensor]) -> Callable[[], None]:
    model = _model(config, scheme)
    compile_model(model, config.training)
    schedule = QuantizationSteps()
    schedule.set_model(model)
    inputs, labels = batch
    targets = dict.fromkeys(model.output, labels)

    def step() -> None:
        schedule.on_train_batch_begin(0)
        model.train_on_batch(inputs, targets)

    return step


def _quantizer(config: Config, scheme: dict) -> Callable[[], None]:
    spec = QuantSpec.model_validate({**scheme, "activation_bits": None})
    kernels = [
        tf.Variable(config_layer.dequantize())
        for config_layer in quantized_layers(_model(config, {"bits": 8})).values()
    ]

    @tf.function
    def gradients() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.add_n([tf.reduce_sum(fake_quantize_weights(kernel, spec)) for kernel in kernels])
        return tf.add_n([tf.reduce_sum(gradient) for gradient in tape.gradient(loss, kernels)])

    return lambda: float(gradients()) and None


if __name__ == "__main__":
    main()
