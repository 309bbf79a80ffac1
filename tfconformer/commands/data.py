"""`tfconformer data`: corpora -> manifests and shards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfconformer.commands.numbers import Finite, Whole
from tfconformer.commands.output import OUTPUT_FOLDER
from tfconformer.data.limits import MAX_SECONDS
from tfconformer.errors import InputError

if TYPE_CHECKING:
    from tfconformer.data.shards import ShardRunner

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.group()
def data() -> None:
    """Prepare speech: corpora become OUTPUT/manifests/SUBSET.jsonl and OUTPUT/shards/SUBSET-*.tfrecord."""


_MAX_SECONDS = click.option(
    "--max-seconds",
    type=Finite(min=0, min_open=True),
    default=MAX_SECONDS,
    show_default=True,
    help="Longest utterance; longer ones are skipped and counted.",
)
_WAV = click.option("--wav", is_flag=True, help="Store 16-bit PCM: larger, and nearly free to decode.")
_NORMALIZE = click.option(
    "--normalize", is_flag=True, help="Make upper-case English words of the transcripts: A-Z, apostrophes, spaces."
)


@data.command()
@click.argument("directory", type=_FOLDER)
@click.option("--output", type=OUTPUT_FOLDER, required=True, help="Folder for manifests and shards.")
@_WAV
@_MAX_SECONDS
@_NORMALIZE
def librispeech(directory: Path, output: Path, wav: bool, max_seconds: float, normalize: bool) -> None:
    """Read all subsets in DIRECTORY, which is laid out as the official LibriSpeech archives unpack."""
    from tfconformer.data.librispeech import write_manifests

    manifests = write_manifests(directory, output / "manifests")
    _write_shards(manifests, output / "shards", **_options(wav, max_seconds, normalize))


@data.command()
@click.option("--output", type=OUTPUT_FOLDER, required=True, help="Folder for the corpus, its manifests and shards.")
@click.option("--cache", type=OUTPUT_FOLDER, required=True, help="Folder for downloaded packages.")
@click.option("--hours", type=Finite(min=0, min_open=True), help="Hours of synthetic training speech.")
@click.option("--subset", "subsets", multiple=True, metavar="SUBSET", help="Make only this one; may be repeated.")
@click.option("--jobs", type=click.IntRange(1, 256), default=2, show_default=True, help="Processes.")
@click.option("--seed", type=Whole(min=0), default=0, show_default=True)
def speech(output: Path, cache: Path, hours: float | None, subsets: tuple[str, ...], jobs: int, seed: int) -> None:
    """Build this project's own corpus of synthetic and human speech; an interrupted build continues.

    Human speech is taken from packages of the Debian archive, which needs no root; where the archive cannot be
    reached, the synthetic subsets alone are made.
    """
    from tfconformer.data.speech.build import build
    from tfconformer.data.speech.plan import HOURS, SUBSETS, corpus_plan

    unknown = sorted(set(subsets) - set(SUBSETS))
    if unknown:
        raise click.BadParameter(f"{', '.join(unknown)} is none of {', '.join(SUBSETS)}", param_hint="--subset")
    budget = HOURS | ({"train-synthetic": hours} if hours else {})
    plan = corpus_plan(cache, budget, subsets or SUBSETS, seed)
    _write_shards(build(plan, output, jobs=jobs), output / "shards", encoding="wav")


@data.command()
@click.option("--output", type=OUTPUT_FOLDER, required=True, help="Folder for the corpus, its manifests and shards.")
@click.option("--cache", type=OUTPUT_FOLDER, required=True, help="Folder for downloaded packages.")
@click.option("--recordings", type=_FOLDER, help="LibriSpeech-like folder of a recorded canonical voice.")
@click.option("--voice", metavar="NAME", help="Its name: the subsets are train-NAME, dev-NAME and test-NAME.")
@click.option("--sentences", type=Whole(min=1), default=3000, show_default=True, help="Of train-pairs.")
@click.option("--sources", type=Whole(min=1), default=3, show_default=True, help="Voices per sentence.")
@click.option("--jobs", type=click.IntRange(1, 256), default=2, show_default=True, help="Processes.")
@click.option("--seed", type=Whole(min=0), default=0, show_default=True)
def parrotron(
    output: Path,
    cache: Path,
    recordings: Path | None,
    voice: str | None,
    sentences: int,
    sources: int,
    jobs: int,
    seed: int,
) -> None:
    """Build pairs for speech-to-speech conversion: each sentence in several voices and in one canonical voice.

    The canonical voice is synthetic; with --recordings and --voice it is a recorded one, whose sentences are all used.
    """
    from tfconformer.data.speech.pairs import build_pairs, recorded_targets, synthetic_texts
    from tfconformer.data.speech.plan import training_script

    if (recordings is None) != (voice is None):
        raise click.UsageError("--recordings and --voice belong together")
    if recordings is not None and voice is not None:
        targets = recorded_targets(recordings, voice)
        texts = {subset: [utterance.text for utterance in found] for subset, found in targets.items()}
        manifests = build_pairs(output, texts, targets, sources=sources, jobs=jobs, seed=seed)
    else:
        script, packages = training_script(cache)
        texts = synthetic_texts(sentences, script, seed)
        manifests = build_pairs(output, texts, packages=packages, sources=sources, jobs=jobs, seed=seed)
    _write_shards(manifests, output / "shards", encoding="wav")


@data.command()
@click.option("--output", type=OUTPUT_FOLDER, required=True, help="Folder for the sample and its manifests.")
@click.option("--pairs", is_flag=True, help="Of pairs for speech-to-speech conversion.")
@click.option("--jobs", type=click.IntRange(1, 256), default=2, show_default=True, help="Processes.")
def sample(output: Path, pairs: bool, jobs: int) -> None:
    """Build a small sample corpus: synthetic speech in Ogg Vorbis, under 12 MB.

    It is made to be committed, so it has no shards; `data shards` makes them elsewhere.
    """
    from tfconformer.data.speech.build import build
    from tfconformer.data.speech.pairs import build_pairs, sample_texts
    from tfconformer.data.speech.plan import sample_plan

    if pairs:
        manifests = build_pairs(output, sample_texts(), sources=2, encoding="ogg", jobs=jobs)
    else:
        manifests = build(sample_plan(), output, encoding="ogg", jobs=jobs)
    for manifest in manifests:
        click.echo(manifest)


@data.command()
@click.argument("manifests", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--output", type=OUTPUT_FOLDER, required=True, help="Folder for the shards.")
@_WAV
@click.option("--runner", metavar="NAME", help="Write by Apache Beam: DirectRunner, FlinkRunner, DataflowRunner, ...")
@click.option("--runner-option", "arguments", multiple=True, metavar="--KEY=VALUE", help="Option of the Beam pipeline.")
@_MAX_SECONDS
@_NORMALIZE
def shards(
    manifests: tuple[Path, ...],
    output: Path,
    wav: bool,
    runner: str | None,
    arguments: tuple[str, ...],
    max_seconds: float,
    normalize: bool,
) -> None:
    """Turn MANIFESTS (JSON lines: audio_filepath, duration, text, speaker) into OUTPUT/NAME-*.tfrecord."""
    if arguments and runner is None:
        raise InputError("--runner-option needs --runner")
    settings = _options(wav, max_seconds, normalize)
    if runner is None:
        _write_shards(manifests, output, **settings)
        return
    from tfconformer.data.beam_shards import beam_runner

    _write_shards(manifests, output, beam_runner(runner, arguments), **settings)


def _options(wav: bool, max_seconds: float, normalize: bool) -> dict[str, Any]:
    """Returns the values of `ShardOptions`."""
    return {"encoding": "wav" if wav else "original", "max_duration": max_seconds, "normalize": normalize}


def _write_shards(manifests: Sequence[Path], folder: Path, runner: ShardRunner | None = None, **options: Any) -> None:
    from tfconformer.data.shards import ShardOptions, read_index, write_locally, write_shards

    names = [manifest.stem for manifest in manifests]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"several manifests are named {name}: rename all but one, or give each its own --output")
    for manifest in manifests:
        written = write_shards(
            manifest, folder, manifest.stem, options=ShardOptions(**options), runner=runner or write_locally
        )
        indexes = [read_index(shard) for shard in written]
        utterances = sum(len(index.samples) for index in indexes)
        hours = sum(sum(index.samples) / index.sample_rate for index in indexes) / 3600
        skipped = sum(len(index.skipped) for index in indexes)
        click.echo(f"{manifest}: {utterances} utterances, {hours:.2f} hours, {len(indexes)} shards, {skipped} skipped")
