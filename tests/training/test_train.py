"""Training as a user runs it: killed, continued, started from other weights."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.small_files import write_noise_corpus
from tfconformer.config import Config, dump_config
from tfconformer.errors import InputError
from tfconformer.training.run import RunDirectory
from tfconformer.training.train import completed_batches

STEPS_PER_EPOCH = 3
EPOCHS = 3

# Trains in a process of its own, as the command line does. With a third and a fourth argument it copies the run
# directory after that many steps: a run that is killed leaves what is on disk at that moment.
PROGRAM = """
import shutil, sys
from pathlib import Path
import tf_keras as keras
from tests.support.tracing import omit_stacks
from tfconformer.config import load_config
from tfconformer.training import train as training
from tfconformer.training.run import RunDirectory

if len(sys.argv) > 3:
    class Copy(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if int(self.model.optimizer.iterations) == int(sys.argv[3]):
                shutil.copytree(sys.argv[2], sys.argv[4])
    fit = keras.Model.fit
    def fit_and_copy(self, *args, callbacks, **kwargs):
        return fit(self, *args, callbacks=[*callbacks, Copy()], **kwargs)
    keras.Model.fit = fit_and_copy
omit_stacks()
model = training.train(load_config(sys.argv[1]), RunDirectory(Path(sys.argv[2])))
assert model.train_tf_function.experimental_get_tracing_count() == 1
model.save_weights(Path(sys.argv[2]) / "last.weights.h5")
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Config:
    folder = tmp_path_factory.mktemp("corpus")
    write_noise_corpus(folder, train=12, dev=3)
    return Config.model_validate(
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
            "training": {"epochs": EPOCHS, "steps_per_epoch": STEPS_PER_EPOCH, "learning_rate": 1e-3},
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


def run_training(config: Config, run: Path, *copy: int | Path) -> None:
    config_file = run.with_suffix(".yaml")
    config_file.write_text(dump_config(config, config_file.parent))
    command = [sys.executable, "-c", PROGRAM, str(config_file), str(run), *map(str, copy)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    finished = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.timeout(900)  # two trainings, each in a process that loads TensorFlow
def test_a_killed_run_ends_with_the_weights_of_an_uninterrupted_one(config, tmp_path):
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    in_the_middle_of_the_second_epoch = STEPS_PER_EPOCH + 2
    run_training(config, straight, in_the_middle_of_the_second_epoch, killed)
    assert completed_batches(RunDirectory(killed)) == STEPS_PER_EPOCH
    run_training(config, killed)

    import h5py

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
    assert {"wer_dev_int2", "wer_dev_int8"} <= without_time[0][-1].keys()
    assert without_time[0] == without_time[1]


def test_a_run_directory_belongs_to_one_configuration(config, tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.claim(config)
    run.claim(config)
    other = config.model_copy(update={"training": config.training.model_copy(update={"seed": 5})})
    with pytest.raises(InputError, match="another configuration"):
        run.claim(other)
