"""Training on several replicas: the curve of one, and equal state everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support import train_worker
from tfconformer.config import Config, dump_config
from tfconformer.data.manifest import Utterance, write_manifest
from tfconformer.data.shards import write_shards
from tfconformer.errors import InputError
from tfconformer.training.distribution import process_strategy
from tfconformer.training.run import RunDirectory
from tfconformer.training.train import train

STEPS_PER_EPOCH = 2
EPOCHS = 2


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Config:
    """Batches of one to four utterances, and every state of a quantizer; no random choice differs between replicas."""
    folder = tmp_path_factory.mktemp("corpus")
    random = np.random.default_rng(0)
    for name, count in (("train", 9), ("dev", 2)):
        utterances = []
        for index in range(count):
            samples = int(random.integers(8000, 16000))
            path = folder / f"{name}{index}.wav"
            soundfile.write(path, random.uniform(-0.3, 0.3, samples), 16000, subtype="PCM_16")
            utterances.append(Utterance(path.name, samples / 16000, random.choice(["YES", "NO MORE", "OH"]), "a"))
        write_manifest(folder / f"{name}.jsonl", utterances)
        write_shards(folder / f"{name}.jsonl", folder / "shards", name)
    return Config.model_validate(
        {
            "data": {
                "train": [str(folder / "shards/train-*.tfrecord")],
                "dev": [str(folder / "shards/dev-*.tfrecord")],
                "batch_seconds": 3,
                "augment": None,
            },
            "model": {
                "blocks": 1,
                "dim": 16,
                "heads": 2,
                "conv_kernel": 5,
                "subsampling_channels": 4,
                "dropout": 0.0,
            },
            "training": {"epochs": EPOCHS, "steps_per_epoch": STEPS_PER_EPOCH, "learning_rate": 1e-3},
            "quantization": [
                {"layers": "block_00_ff1_expand", "spec": {"bits": 2, "clip": {"learn": "channel"}}},
                {
                    "layers": "block_00_ff2_expand",
                    "spec": {
                        "bits": 4,
                        "clip": {"search": "channel", "every": 1},
                        "sparsity": "2:4",
                        "sparsity_schedule": {"begin": 0, "end": 3, "every": 1},
                    },
                },
                {
                    "layers": "block_00_conv_expand",
                    "spec": {"bits": 4, "clip": {"search": "channel", "every": 2}, "schedule": {"freeze": 3}},
                },
            ],
        }
    )


@pytest.fixture(scope="module")
def config_file(config, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(dump_config(config, path.parent))
    return path


def start(config_file: Path, run: Path, last: Path, replicas: int) -> subprocess.Popen:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", train_worker.__name__, config_file, run, last, replicas]
    return subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def last_of(run: Path, index: int) -> Path:
    return run.with_name(f"{run.name}-{index}.npz")


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate()
    assert process.returncode == 0, errors[-3000:]


@pytest.fixture(scope="module")
def two_replicas(config_file, tmp_path_factory) -> tuple[Path, dict[str, np.ndarray]]:
    """The run of a process with two replicas, which checks itself that their variables are equal, and its variables."""
    run = tmp_path_factory.mktemp("mirrored") / "run"
    finish(start(config_file, run, last_of(run, 0), 2))
    return run, dict(np.load(last_of(run, 0)))


@pytest.mark.timeout(900)
def test_two_replicas_have_the_curve_of_one(config, two_replicas, tmp_path):
    run, variables = two_replicas
    one = train(config, RunDirectory(tmp_path / "one"))
    alone, together = RunDirectory(tmp_path / "one").history(), RunDirectory(run).history()
    assert [epoch.keys() for epoch in alone] == [epoch.keys() for epoch in together]
    # The same sums in another order: float32 rounds at 6e-8, and AdamW divides by small second moments.
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-5)
    for index, variable in enumerate(one.weights):
        if variable.dtype.is_floating:
            np.testing.assert_allclose(
                variables[str(index)], variable.numpy(), rtol=0, atol=5e-5, err_msg=variable.name
            )


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        "{}",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}',
        '{"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": "0"}}',
    ],
)
def test_a_wrong_cluster_is_one_sentence(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match="TF_CONFIG should name the workers"):
        process_strategy()
