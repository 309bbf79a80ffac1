"""Training on several replicas: the curve of one, equal state everywhere, and continuation after a worker is killed."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import tensorflow as tf

from tests.support.fresh_processes import Job
from tests.support.small_files import write_noise_corpus
from tests.support.tiny_conformer import with_teacher
from tfconformer.config import Config, dump_config
from tfconformer.errors import InputError
from tfconformer.training.distribution import process_strategy
from tfconformer.training.run import RunDirectory
from tfconformer.training.train import completed_batches, train

STEPS_PER_EPOCH = 2
EPOCHS = 2


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Config:
    """Batches of one to four utterances, and every state of a quantizer; no random choice differs between replicas."""
    folder = tmp_path_factory.mktemp("corpus")
    write_noise_corpus(folder, train=9, dev=2)
    return with_teacher(
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
                # Rounded to 0 of 256: numbers are drawn, and nothing is dropped.
                "dropout": 0.001,
            },
            "training": {
                "epochs": EPOCHS,
                "steps_per_epoch": STEPS_PER_EPOCH,
                "learning_rate": 1e-3,
                "average": 0.5,
                "resets": {"every": 3},
                "distillation": {"teacher": str(folder / "teacher")},
            },
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


def workers(config_file: Path, run: Path, *kill: int) -> list[Job]:
    """Returns the jobs of two workers, of which the second one kills itself before the step `kill`."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    jobs = []
    for index in range(2):
        cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        arguments = [config_file, run, last_of(run, index), 1, *(kill if index == 1 else ())]
        jobs.append(Job("train_replica", arguments, {"TF_CONFIG": json.dumps(cluster)}))
    return jobs


def last_of(run: Path, index: int) -> Path:
    return run.with_name(f"{run.name}-{index}.npz")


@pytest.fixture(scope="module")
def two_replicas(processes, config_file, tmp_path_factory) -> tuple[Path, dict[str, np.ndarray]]:
    """The run of a process with two replicas, which checks itself that their variables are equal, and its variables."""
    run = tmp_path_factory.mktemp("mirrored") / "run"
    (ended,) = processes.run(Job("train_replica", [config_file, run, last_of(run, 0), 2]))
    assert ended.status == 0, ended.errors
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


@pytest.mark.timeout(900)
def test_a_training_continues_after_a_worker_is_killed(processes, config_file, two_replicas, tmp_path):
    run = tmp_path / "run"
    chief, killed = processes.run(*workers(config_file, run, STEPS_PER_EPOCH + 1))
    assert killed.status == -signal.SIGKILL
    assert "another worker of the training ended: start all again to continue" in chief.errors, chief.errors[-3000:]
    assert completed_batches(RunDirectory(run)) == STEPS_PER_EPOCH
    for worker in processes.run(*workers(config_file, run)):
        assert worker.status == 0, worker.errors
    expected = dict(two_replicas[1])
    first, second = (dict(np.load(last_of(run, index))) for index in range(2))
    generators = [name.removesuffix("_0") for name in first if name.startswith("generator")]
    for replica, worker in enumerate((first, second)):
        for name in generators:
            np.testing.assert_array_equal(worker.pop(f"{name}_0"), expected.pop(f"{name}_{replica}"), err_msg=name)
    assert first.keys() == second.keys() == expected.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value, err_msg=name)
        # As two replicas of one process, whose sums may have another order.
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=5e-5, err_msg=name)
    losses = [[epoch["loss"] for epoch in RunDirectory(one).history()] for one in (run, two_replicas[0])]
    assert len(losses[0]) == EPOCHS
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_parameter_servers_are_refused(config, tmp_path, monkeypatch):
    strategy = Mock(spec=tf.distribute.ParameterServerStrategy)
    monkeypatch.setattr(tf.distribute, "get_strategy", lambda: strategy)
    with pytest.raises(InputError, match="parameter servers train without callbacks between steps"):
        train(config, RunDirectory(tmp_path / "run"))


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
