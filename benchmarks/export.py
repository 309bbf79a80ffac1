"""Time and memory that the export of a large model takes, with random weights.

python -m benchmarks.export configs/conformer_l.yaml --bits 2 --block-size 64
"""

from __future__ import annotations

import resource
import time
from pathlib import Path

import click
import tf_keras as keras

from converters.export import prepare
from converters.freeze import freeze
from converters.metadata import metadata_json
from converters.plan import TARGETS
from converters.rewrite import rewrite
from tfconformer.config import Config, QuantizationRule, load_config
from tfconformer.models.conformer_ctc import conformer_ctc
from tfconformer.quantization.apply import match_layers, quantize_model
from tfconformer.quantization.spec import QuantSpec

# The head's outputs, without which it does not matter what the tokenizer holds.
VOCABULARY = 1024


def with_weights(config: Config, spec: QuantSpec | None) -> Config:
    """The configuration with all layers but the head quantized like that."""
    rules = [QuantizationRule(layers=".*_head", spec=None), QuantizationRule(layers=".*", spec=spec)]
    return config.model_copy(update={"quantization": rules if spec else []})


def random_model(config: Config) -> keras.Model:
    """The configuration's model, quantized where its rules say so, with random weights."""
    model = conformer_ctc(config.model, config.features.mel_bins, VOCABULARY)
    specs = match_layers(model, config.quantization)
    return quantize_model(model, specs) if specs else model


def export_random(config: Config, target: str) -> bytes:
    """The file of a model of the configuration with random weights; its tokenizer is missing."""
    prepared = prepare(random_model(config), config, VOCABULARY, target)
    frozen = freeze(prepared.model, config.features, prepared.packed.keys())
    return rewrite(frozen, prepared.packed, metadata_json(b"", config, prepared.layers))


def peak_megabytes() -> float:
    """High-water mark of this process's resident memory, in 10^6 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


@click.command()
@click.argument("config_file", type=click.Path(path_type=Path))
@click.option("--bits", type=click.Choice(["2", "4", "8"]), default="4", show_default=True)
@click.option("--block-size", type=int)
@click.option("--target", type=click.Choice(list(TARGETS)), default="custom", show_default=True)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Where to keep the file.")
def main(config_file: Path, bits: str, block_size: int | None, target: str, output: Path | None) -> None:
    """Export the model of CONFIG_FILE with random weights and say what that took."""
    config = with_weights(load_config(config_file), QuantSpec(bits=int(bits), block_size=block_size, activation_bits=8))
    start, cpu, before = time.perf_counter(), time.process_time(), peak_megabytes()
    content = export_random(config, target)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    click.echo(f"{len(content) / 1e6:.1f} MB in {seconds:.0f} s ({cpu_seconds:.0f} s of CPU time)")
    click.echo(f"peak memory {peak_megabytes():.0f} MB, of which TensorFlow alone {before:.0f} MB")
    if output is not None:
        output.write_bytes(content)


if __name__ == "__main__":
    main()
