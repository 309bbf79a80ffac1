"""The command `tfconformer export`."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from converters.runtime.model import RUNTIMES
from tfconformer.commands.numbers import Whole
from tfconformer.commands.output import OUTPUT_FILE
from tfconformer.errors import InputError
from tfconformer.quantization.spec import Rounding


@click.command()
@click.argument("run_directory", type=click.Path(path_type=Path))
@click.argument("output", type=OUTPUT_FILE, metavar="OUTPUT.tflite")
@click.option(
    "--target",
    type=click.Choice(["custom", "litert"]),
    default="custom",
    show_default=True,
    help="Operations for the quantized layers: this project's, which hold everything, or those built into LiteRT.",
)
@click.option("--shards", multiple=True, metavar="GLOB", help="Shards to verify with [default: the run's dev shards].")
@click.option("--bundled-utterances", is_flag=True, help="Verify with those of the package, which need no corpus.")
@click.option("--utterances", type=Whole(min=1), default=8, show_default=True, help="How many to verify with.")
@click.option(
    "--allow-different",
    type=Whole(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="How many of them may have another transcript than in Keras; 8-bit activations may need some.",
)
@click.option(
    "--runtime",
    "runtimes",
    type=click.Choice(RUNTIMES),
    multiple=True,
    default=("ai-edge-litert",),
    show_default=True,
    help="Where to run the file for the verification; may be given several times.",
)
@click.option(
    "--post-training",
    "quantization",
    type=click.Path(path_type=Path),
    metavar="CONFIG.yaml",
    help="Quantize a float run without training, with this configuration's rules.",
)
@click.option("--rounding", type=click.Choice(get_args(Rounding)), default="nearest", show_default=True)
@click.option("--bits", type=Whole(min=1), help="Which precision of a co-trained run [default: its first].")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="model.KEY=VALUE",
    help="Replace a value of the run's configuration that shapes no weight, as model.attention_chunk.",
)
@click.option(
    "--vocoder",
    "vocoder_directory",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Of a run of speech-to-speech: the run of the vocoder that makes its speech, in the same file.",
)
@click.option(
    "--vocoder-post-training",
    "vocoder_quantization",
    type=click.Path(path_type=Path),
    metavar="CONFIG.yaml",
    help="Quantize a float vocoder without training, with this configuration's rules.",
)
@click.option("--streaming", is_flag=True, help="Write a file that takes audio in steps, as it arrives.")
def export(
    run_directory: Path,
    output: Path,
    target: str,
    shards: tuple[str, ...],
    bundled_utterances: bool,
    utterances: int,
    allow_different: int,
    runtimes: tuple[str, ...],
    quantization: Path | None,
    rounding: Rounding,
    bits: int | None,
    overrides: tuple[str, ...],
    vocoder_directory: Path | None,
    vocoder_quantization: Path | None,
    streaming: bool,
) -> None:
    """Write the best weights of RUN_DIRECTORY to a packed, verified .tflite file.

    With --streaming the file has the signatures encode_step and flush, and its metadata describe their use. With
    --vocoder it converts speech to speech, by decode_step and vocode_step besides.
    A report of sizes, operations, quantization errors and parity goes beside it, as OUTPUT.export.json.
    """
    if output.suffix != ".tflite":
        raise InputError(f"the output {output} should have a name that ends in .tflite")
    if vocoder_quantization is not None and vocoder_directory is None:
        raise InputError("--vocoder-post-training needs --vocoder")
    from converters.exporter.bundled_utterances import bundled_utterances as bundled
    from converters.exporter.pipeline import export_model
    from converters.exporter.run_model import load_run_model, with_vocoder
    from tfconformer.config import load_config
    from tfconformer.data.pipeline import evaluation_utterances
    from tfconformer.data.shards import find_shards
    from tfconformer.data.tokenizer import Tokenizer
    from tfconformer.training.run import RunDirectory

    run = RunDirectory(run_directory)
    if bundled_utterances and shards:
        raise InputError("give either --shards or --bundled-utterances")
    paths = [] if bundled_utterances else find_shards(shards or run.config().data.dev)
    tokenizer = Tokenizer.from_file(run.tokenizer_file)
    rules, vocoder_rules = (
        None if config is None else load_config(config).quantization for config in (quantization, vocoder_quantization)
    )
    voice = None
    if vocoder_directory is not None:
        voice = load_run_model(RunDirectory(vocoder_directory), rules=vocoder_rules, rounding=rounding)
    loaded = load_run_model(run, overrides, bits, rules, rounding)
    if voice is not None:
        loaded = with_vocoder(loaded, voice)
    if bundled_utterances:
        waveforms = bundled(loaded.config.features.sample_rate)[:utterances]
    else:
        waveforms = [one.waveform for one in evaluation_utterances(paths, limit=utterances)]
    report = export_model(
        loaded.model,
        loaded.config,
        tokenizer,
        output,
        waveforms,
        runtimes=runtimes,
        target=target,
        method=loaded.method,
        streaming=streaming,
        allow_different=allow_different,
    )
    packed = f", {report.bits_per_weight:.2f} bits per packed weight" if report.bits_per_weight else ""
    click.echo(f"{output}: {report.file_bytes:,} bytes{packed}")
    for parity in report.parity:
        click.echo(
            f"{parity.runtime}: relative RMS {parity.relative_rms:.1e} to the Keras model's logits, "
            f"{parity.different_hypotheses} of {parity.utterances} transcripts differ"
        )
