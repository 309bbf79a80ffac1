"""The import of a checkpoint into a run directory, from which it is exported or trained further."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from tfconformer import atomic
from tfconformer.config import Config, TrainingConfig
from tfconformer.data.config import DataConfig
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.errors import InputError
from tfconformer.importing import lasr, parakeet, parakeet_transducer
from tfconformer.importing.architecture import Architecture, Checkpoint, LayerWeights
from tfconformer.importing.hugging_face import HuggingFaceFolder
from tfconformer.importing.nemo import read_archive
from tfconformer.importing.tensors import Tensors
from tfconformer.importing.tokenizer_json import read_tokenizer_json
from tfconformer.section import explain
from tfconformer.training.checkpoint import abstract_model, write_weights
from tfconformer.training.run import RunDirectory

# Classes of transformers.
_FAMILIES: dict[str, Callable[[HuggingFaceFolder], Architecture]] = {
    "LasrForCTC": lasr.read,
    "ParakeetForCTC": parakeet.read,
    "ParakeetForRNNT": parakeet_transducer.read_rnnt,
    "ParakeetForTDT": parakeet_transducer.read_tdt,
}
# Classes of Conformers that are not among them, and the reasons.
_REFUSED = {
    "Wav2Vec2ConformerForCTC": "its features are trained convolutions of the waveform, and those of this package are "
    "log-mel spectrograms",
}
# A start for a fine-tuning that quantizes; another configuration extends that of the run.
_TRAINING = TrainingConfig(epochs=5, steps_per_epoch=1000, learning_rate=1e-4, warmup_steps=500)


def import_checkpoint(
    source: Path,
    run: RunDirectory,
    train: Sequence[str] = (),
    dev: Sequence[str] = (),
    decoder: str | None = None,
) -> Config:
    """Writes configuration, tokenizer and weights of a checkpoint into a run directory; returns the configuration.

    Args:
      source: a folder of a Hugging Face checkpoint, or a NeMo archive.
      run: the run directory, which may exist if it holds the same model.
      train: glob patterns of shards, for calibration and for training further.
      dev: glob patterns of shards, for the verification of exports and for scores.
      decoder: the decoder that the run has, "ctc" or "transducer"; None: the model's, or of a hybrid the CTC head.

    Raises:
      InputError: the checkpoint is none of a known class, is incomplete, has no such decoder, or has settings or
        tensors that this package does not compute; the message names them.
    """
    with contextlib.ExitStack() as files:
        try:
            data = DataConfig(train=tuple(train), dev=tuple(dev))
            checkpoint = read_archive(source, files, decoder) if source.is_file() else _read_folder(source)
        except ValidationError as error:
            raise InputError(f"{source}: {explain(error)}") from None
        architecture, tensors = checkpoint.architecture, checkpoint.tensors
        if decoder is not None and architecture.task != f"recognition_{decoder}":
            raise InputError(f"{source} has no decoder {decoder!r}: leave the choice out, it is for hybrids")
        tokenizer = Tokenizer.from_bytes(checkpoint.tokenizer)
        if tokenizer.vocabulary_size + 1 != architecture.symbols:
            raise InputError(
                f"{source}: its tokenizer has {tokenizer.vocabulary_size} tokens, the model {architecture.symbols} "
                "symbols, of which one is the blank"
            )
        config = Config(
            task=architecture.task,
            features=architecture.features,
            model=architecture.model,
            data=data,
            training=_TRAINING,
        )
        run.require(config)
        with atomic.atomic_path(run.weights_file) as file:
            write_weights(file, abstract_model(config, tokenizer.vocabulary_size), _all_layers(architecture, tensors))
            tensors.ignore(r"num_batches_tracked$")
            tensors.check_all_used()
    tokenizer.save(run.tokenizer_file)
    run.claim(config)
    return config


def _read_folder(path: Path) -> Checkpoint:
    folder = HuggingFaceFolder(path)
    if folder.class_name in _REFUSED:
        raise InputError(f"{path} holds a {folder.class_name}, which is not imported: {_REFUSED[folder.class_name]}")
    if folder.class_name not in _FAMILIES:
        raise InputError(f"{path} holds a {folder.class_name}; classes that can be imported: {', '.join(_FAMILIES)}")
    architecture = _FAMILIES[folder.class_name](folder)
    if architecture.blank >= architecture.symbols:
        raise InputError(f"{path}: the blank {architecture.blank} is none of the {architecture.symbols} symbols")
    tokenizer = read_tokenizer_json(path / "tokenizer.json", architecture.symbols, architecture.blank)
    return Checkpoint(architecture, folder.tensors(), tokenizer)


def _all_layers(architecture: Architecture, tensors: Tensors) -> Iterator[LayerWeights]:
    """Yields the weights of all layers, the statistics of the features among them."""
    if architecture.model.feature_normalization == "corpus":
        bins = architecture.features.mel_bins
        yield "feature_normalization", [np.zeros(bins, np.float32), np.ones(bins, np.float32)]
    yield from architecture.layers(tensors)
