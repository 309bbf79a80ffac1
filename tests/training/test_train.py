"""Training as a user runs it: killed, continued, started from other weights."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.support.fresh_processes import Job
from tests.support.small_files import write_noise_corpus
from tests.support.tiny_conformer import with_teacher
from tfconformer.config import Config, dump_config
from tfconformer.errors import InputError
from tfconformer.training.run import RunDirectory
from tfconformer.training.train import completed_batches

STEPS_PER_EPOCH = 3
EPOCHS = 3


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Config:
    folder = tmp_path_factory.mktemp("corpus")
    write_noise_corpus(folder, train=12, dev=3)
    return with_teacher(
        {
            "data": {
                "train": [str(folder / "shards/train-*.tfrecord")],
                "dev": [str(folder / "shards/dev-*.tfrecord")],
                "batch_seconds": 4,
            },
            "model": {
                "blocks": 1,
                "dim": 16,
                "heads": 2,
                "conv_kernel": 5,
                "subsampling_channels": 4,
                "training_chunks": [1, 4, 100],  # drawn at random, so a continued run must know how far it was
            },
            "training": {
                "epochs": EPOCHS,
                "steps_per_epoch": STEPS_PER_EPOCH,
                "learning_rate": 1e-3,
                "average": 0.5,
                "distillation": {"teacher": str(folder / "teacher")},
            },
            # With everything that a quantizer remembers, so that a continued run must restore it.
            "quantization": [
                {"layers": ".*_head", "spec": None},
                {
                    "layers": "block_00_(ff1|attention)_.*",
                    "spec": {"bits": 2, "clip": {"learn": "channel"}},
                    "co_train": [{"bits": 8, "activation_bits": 8}],
                },
                {
                    "layers": ".*",
                    "spec": {
                        "bits": 4,
                        "clip": {"search": "channel", "every": 3},
                        "sparsity": "2:4",
                        "sparsity_schedule": {"begin": 1, "end": 9, "every": 2},
                        "schedule": {"begin": 1, "freeze": STEPS_PER_EPOCH + 3},
                    },
                },
            ],
        }
    )


@pytest.fixture
def run_training(processes, config) -> Callable[..., None]:
    """Trains in a process of its own, as the command line does."""

    def run(directory: Path, *copy: int | Path) -> None:
        config_file = directory.with_suffix(".yaml")
        config_file.write_text(dump_config(config, config_file.parent))
        (ended,) = processes.run(Job("train_and_copy", [config_file, directory, *copy]))
        assert ended.status == 0, ended.errors

    return run


@pytest.mark.timeout(900)  # two trainings
def test_a_killed_run_ends_with_the_weights_of_an_uninterrupted_one(run_training, tmp_path):
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    in_the_middle_of_the_second_epoch = STEPS_PER_EPOCH + 2
    run_training(straight, in_the_middle_of_the_second_epoch, killed)
    assert completed_batches(RunDirectory(killed)) == STEPS_PER_EPOCH
    run_training(killed)

    def arrays(run: Path) -> dict[str, np.ndarray]:
        found = {}
        with h5py.File(run / "last.weights.h5") as file:
            file.visititems(
                lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
        return found

    expected, actual = arrays(straight), arrays(killed)
    assert expected.keys() == actual.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(actual[name], value, err_msg=name)
    without_time = [
        [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in RunDirectory(run).history()]
        for run in (straight, killed)
    ]
    assert len(without_time[0]) == EPOCHS
    assert {"wer_dev_int2", "wer_dev_int8", "logits_distillation_loss"} <= without_time[0][-1].keys()
    assert without_time[0] == without_time[1]


def test_a_run_directory_belongs_to_one_configuration(config, tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.claim(config)
    run.claim(config)
    other = config.model_copy(update={"training": config.training.model_copy(update={"seed": 5})})
    with pytest.raises(InputError, match="another configuration"):
        run.claim(other)
