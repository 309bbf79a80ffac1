"""Runs that are imported from the checkpoints of this folder; each is made once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from tfconformer.config import Config
from tfconformer.features.extract import extract_features
from tfconformer.importing.run import import_checkpoint
from tfconformer.training.checkpoint import load_model
from tfconformer.training.run import RunDirectory

# Float32 sums in another order, through a logarithm, two blocks and the normalizations between them: 1e-5 measured.
PARITY = 1e-4
CHECKPOINTS = Path(__file__).parent / "checkpoints"
# Paths of checkpoints: the index of their blank.
CTC = {
    "lasr_ctc": 0,
    "parakeet_ctc": 40,
    "nemo_conformer/model.nemo": 40,
    "nemo_hybrid/model.nemo": 40,
    "wav2vec2_relative": 0,
    "wav2vec2_rotary": 0,
    "wav2vec2_none": 0,
}
TRANSDUCERS = {"parakeet_rnnt": 40, "parakeet_tdt": 41, "nemo_hybrid/model.nemo": 40, "nemo_tdt/model.nemo": 40}
ALL = [*((name, "ctc") for name in CTC), *((name, "transducer") for name in TRANSDUCERS)]


@dataclass(frozen=True)
class Imported:
    """An imported run, and what the checkpoint's own code computes; its logits have the blank first."""

    run: RunDirectory
    config: Config
    model: keras.Model
    blank: int
    expected: dict[str, np.ndarray]

    @property
    def features(self) -> list[tf.Tensor]:
        """The features of the waveform [1, T, mel_bins], and their length [1]."""
        values = extract_features(tf.constant(self.expected["speech"][np.newaxis]), self.config.features)
        return [values, tf.constant([values.shape[1]])]

    def labels(self, ids: Iterable[int]) -> list[int]:
        """Returns the labels of the checkpoint's ids, which the blank is not among."""
        return [index + 1 if index < self.blank else index for index in map(int, ids)]


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Imported]:
    @cache
    def make(name: str, decoder: str = "ctc") -> Imported:
        source, is_hybrid = CHECKPOINTS / name, name in CTC and name in TRANSDUCERS
        run = RunDirectory(tmp_path_factory.mktemp("imported") / "run")
        config = import_checkpoint(source, run, decoder=decoder)
        suffix = "_transducer" if is_hybrid and decoder == "transducer" else ""
        expected = dict(np.load((source if source.is_dir() else source.parent) / f"expected{suffix}.npz"))
        blank = (CTC if decoder == "ctc" else TRANSDUCERS)[name]
        others = np.delete(np.arange(expected["logits"].shape[-1]), blank)
        expected["logits"] = expected["logits"][..., [blank, *others]]
        return Imported(run, config, load_model(run), blank, expected)

    return make


def relative_rms(actual: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))
