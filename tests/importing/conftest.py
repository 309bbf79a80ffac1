"""Runs that are imported from the checkpoints of this folder; each is made once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tf_keras as keras

from tfconformer.config import Config
from tfconformer.importing.run import import_checkpoint
from tfconformer.training.checkpoint import load_model
from tfconformer.training.run import RunDirectory

CHECKPOINTS = Path(__file__).parent / "checkpoints"
# Path of a checkpoint: index of its blank.
BLANKS = {"lasr_ctc": 0, "parakeet_ctc": 40, "nemo_conformer/model.nemo": 40, "nemo_hybrid/model.nemo": 40}


@dataclass(frozen=True)
class Imported:
    """An imported run, and what the checkpoint's own code computes; its logits have the blank first."""

    run: RunDirectory
    config: Config
    model: keras.Model
    expected: dict[str, np.ndarray]


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Imported]:
    @cache
    def make(name: str) -> Imported:
        source = CHECKPOINTS / name
        run = RunDirectory(tmp_path_factory.mktemp("imported") / "run")
        config = import_checkpoint(source, run)
        expected = dict(np.load((source if source.is_dir() else source.parent) / "expected.npz"))
        others = np.delete(np.arange(expected["logits"].shape[1]), BLANKS[name])
        expected["logits"] = expected["logits"][:, [BLANKS[name], *others]]
        return Imported(run, config, load_model(run), expected)

    return make


def relative_rms(actual: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))
