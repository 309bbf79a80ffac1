"""The import of a checkpoint into a run directory, from which it is exported or trained further."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import ValidationError

from tfconformer import atomic
from tfconformer.config import Config, TrainingConfig
from tfconformer.data.config import AugmentConfig, DataConfig
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.errors import InputError
from tfconformer.importing import lasr, parakeet, parakeet_transducer, wav2vec2_conformer
from tfconformer.importing.architecture import Architecture, Checkpoint, LayerWeights
from tfconformer.importing.ctc_vocabulary import read_ctc_vocabulary
from tfconformer.importing.hugging_face import HuggingFaceFolder
from tfconformer.importing.nemo import read_archive
from tfconformer.importing.tensors import Tensors
from tfconformer.importing.tokenizer_json import read_tokenizer_json
from tfconformer.section import explain
from tfconformer.training.checkpoint import abstract_model, write_weights
from tfconformer.training.run import RunDirectory


class _Family(NamedTuple):
    """A class of transformers.

    Attributes:
      read: reads the settings of a model.
      stored_name: see `Tensors`.
      tokenizer_file: name of the file of its tokenizer.
      read_tokenizer: reads that file, given the number of symbols and the blank, as a SentencePiece model.
    """

    read: Callable[[HuggingFaceFolder], Architecture]
    stored_name: Callable[[str], str] = str
    tokenizer_file: str = "tokenizer.json"
    read_tokenizer: Callable[[Path, int, int], bytes] = read_tokenizer_json


_FAMILIES = {
    "LasrForCTC": _Family(lasr.read),
    "ParakeetForCTC": _Family(parakeet.read),
    "ParakeetForRNNT": _Family(parakeet_transducer.read_rnnt),
    "ParakeetForTDT": _Family(parakeet_transducer.read_tdt),
    "Wav2Vec2ConformerForCTC": _Family(
        wav2vec2_conformer.read, wav2vec2_conformer.stored_name, "vocab.json", read_ctc_vocabulary
    ),
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
        if architecture.features.kind == "waveform":  # it has no mel bins to mask
            data = data.model_copy(update={"augment": AugmentConfig(spec_augment=None)})
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
    if folder.class_name not in _FAMILIES:
        raise InputError(f"{path} holds a {folder.class_name}; classes that can be imported: {', '.join(_FAMILIES)}")
    family = _FAMILIES[folder.class_name]
    architecture = family.read(folder)
    if architecture.blank >= architecture.symbols:
        raise InputError(f"{path}: the blank {architecture.blank} is none of the {architecture.symbols} symbols")
    tokenizer = family.read_tokenizer(path / family.tokenizer_file, architecture.symbols, architecture.blank)
    return Checkpoint(architecture, folder.tensors(family.stored_name), tokenizer)


def _all_layers(architecture: Architecture, tensors: Tensors) -> Iterator[LayerWeights]:
    """Yields the weights of all layers, the statistics of the features among them."""
    if architecture.model.feature_normalization == "corpus":
        bins = architecture.features.mel_bins
        yield "feature_normalization", [np.zeros(bins, np.float32), np.ones(bins, np.float32)]
    yield from architecture.layers(tensors)
