"""Grids of experiments: what their YAML means, and what a killed one repeats. The runs themselves are in tests/e2e."""

from pathlib import Path

import pytest
import yaml

from converters.experiments import execute as experiment_execution
from converters.experiments.execute import execute, run_folder
from converters.experiments.grid import experiment_runs, file_hash, load_experiment
from tests.support.results_samples import results
from tfconformer.errors import InputError

GRID = {
    "title": "A grid",
    "config": "shared.yaml",
    "test_sets": ["test-*.tfrecord"],
    "seeds": [1, 2],
    "baseline": "float32",
    "variants": {
        "float32": {},
        "int4": {"spec": {"bits": 4, "block_size": 64}, "training": {"learning_rate": 0.5}},
        "mixed": {"quantization": [{"layers": "block_00_.*", "spec": {"bits": 8}}]},
        "rounded, 2:4": {"spec": {"bits": 4, "sparsity": "2:4"}, "post_training": "gptq"},
    },
}
SHARED = {
    "data": {"train": ["train-*.tfrecord"], "dev": ["dev-*.tfrecord"]},
    "model": {"blocks": 1, "dim": 8, "heads": 1, "subsampling_channels": 2},
    "training": {"epochs": 2, "steps_per_epoch": 3, "learning_rate": 0.1, "initial_weights": "float"},
    "quantization": [{"layers": ".*_head", "spec": None}],
}


@pytest.fixture
def grid(tmp_path, monkeypatch) -> Path:
    """A grid, its shared configuration, a training shard and a float model."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shared.yaml").write_text(yaml.safe_dump(SHARED))
    for name in ("train", "dev", "test"):
        (tmp_path / f"{name}-00000-of-00001.tfrecord").write_bytes(b"speech")
    (tmp_path / "float").mkdir()
    (tmp_path / "float" / "best.h5").write_bytes(b"weights")
    return write(tmp_path / "grid.yaml", GRID)


def write(path: Path, tree: dict) -> Path:
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    return path


def runs_of(path: Path) -> list:
    return experiment_runs(load_experiment(path))


def test_every_variant_and_seed_is_a_run_and_rounding_has_no_seed(grid):
    runs = runs_of(grid)
    assert [(run.variant, run.seed) for run in runs] == [
        ("float32", 1),
        ("float32", 2),
        ("int4", 1),
        ("int4", 2),
        ("mixed", 1),
        ("mixed", 2),
        ("rounded, 2:4", 1),
    ]
    assert (runs[3].model, runs[3].baseline) == ("int4 seed 2", "float32 seed 2")
    assert (runs[6].model, runs[6].baseline) == ("rounded, 2:4", "float32 seed 1")
    assert len({run.identity for run in runs}) == len(runs)


def test_a_variant_changes_what_it_names_and_nothing_else(grid):
    float32, _, _, int4, mixed, *_ = runs_of(grid)
    assert float32.config.quantization == float32.config.quantization[:1]
    assert int4.config.training.learning_rate == 0.5 and int4.config.training.seed == 2
    assert int4.config.training.epochs == 2
    assert [rule.layers for rule in int4.config.quantization] == [".*_head", ".*"]
    assert int4.config.quantization[1].spec.block_size == 64
    assert [rule.layers for rule in mixed.config.quantization] == [".*_head", "block_00_.*"]
    unchanged = {"training", "quantization"}
    assert int4.config.model_dump(exclude=unchanged) == float32.config.model_dump(exclude=unchanged)


def test_precisions_of_a_co_trained_model_share_a_training(grid):
    rules = [{"layers": ".*", "spec": {"bits": 8}, "co_train": [{"bits": 4}, {"bits": 2}]}]
    variants = {"float32": {}} | {f"int{bits}": {"quantization": rules, "bits": bits} for bits in (8, 4, 2)}
    runs = runs_of(write(grid, GRID | {"seeds": [1], "variants": variants}))
    assert len({run.training for run in runs}) == 2
    assert len({run.identity for run in runs}) == 4


def test_the_folder_follows_configuration_data_and_float_model(grid):
    before = [run.identity for run in runs_of(grid)]
    assert [run.identity for run in runs_of(grid)] == before
    changed = SHARED | {"training": SHARED["training"] | {"epochs": 3}}
    write(grid.with_name("shared.yaml"), changed)
    assert not set(before) & {run.identity for run in runs_of(grid)}


@pytest.mark.parametrize(
    "file",
    ["train-00000-of-00001.tfrecord", "dev-00000-of-00001.tfrecord", "test-00000-of-00001.tfrecord", "float/best.h5"],
)
def test_other_contents_are_another_run(grid, file):
    before = runs_of(grid)[0].identity
    other = grid.with_name("other")
    other.mkdir()
    path = grid.with_name(file) if "/" not in file else grid.parent / file
    path.rename(other / "old")
    path.write_bytes(b"something else")
    file_hash.cache_clear()
    assert runs_of(grid)[0].identity != before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variants": {"int4": {}}}, "the baseline 'float32' is not one of the variants"),
        ({"variants": {"float32": {"spec": {"bits": 5}}}}, "'variants.float32.spec.bits'"),
        ({"variants": {"float32": {"width": 4}}}, "unknown key 'variants.float32.width'"),
        (
            {"variants": {"float32": {"spec": {"bits": 4}, "quantization": [{"layers": "a", "spec": None}]}}},
            "give 'spec' or 'quantization', not both",
        ),
        ({"variants": {"float32": {"post_training": "gptq", "training": {"epochs": 1}}}}, "does not train"),
        ({"variants": {"float32": {"training": {"epoch": 1}}}}, "variant 'float32': unknown key 'training.epoch'"),
        ({"variants": {"float32": {"spec": {"bits": 4}, "bits": 8}}}, "a rule needs 'co_train'"),
        ({"config": "missing.yaml"}, "cannot read the configuration"),
        ({"seeds": []}, "'seeds'"),
    ],
)
def test_a_wrong_grid_is_named(grid, change, message):
    with pytest.raises(InputError, match=message):
        runs_of(write(grid, GRID | change))


def test_a_grid_without_a_float_model_is_named(grid):
    training = {key: value for key, value in SHARED["training"].items() if key != "initial_weights"}
    write(grid.with_name("shared.yaml"), SHARED | {"training": training})
    with pytest.raises(InputError, match="initial_weights"):
        runs_of(grid)


def test_finished_runs_are_not_repeated_and_an_interrupted_one_is(grid, tmp_path, monkeypatch):
    executed = []

    def stand_in(run, folder):
        executed.append(run.model)
        if len(executed) == 3:
            run_folder(folder, run).mkdir(parents=True)
            (run_folder(folder, run) / "model.tflite").write_bytes(b"half a file")
            raise KeyboardInterrupt
        rows = [row for row in results().rows if row.model == "int2"]
        return results().model_copy(
            update={
                "rows": tuple(row.model_copy(update={"model": run.model}) for row in rows),
                "layers": (),
                "transcripts": (),
            }
        )

    monkeypatch.setattr(experiment_execution, "_execute_alone", stand_in)
    experiment, output = load_experiment(grid), tmp_path / "grid.json"
    with pytest.raises(KeyboardInterrupt):
        execute(grid, experiment, tmp_path / "runs", output)
    names = [run.model for run in runs_of(grid)]
    assert executed == names[:3]
    finished = execute(grid, experiment, tmp_path / "runs", output)
    assert executed == [*names[:3], *names[2:]]
    assert list(dict.fromkeys(row.model for row in finished.rows)) == names
    assert execute(grid, experiment, tmp_path / "runs", output) == finished
    assert executed == [*names[:3], *names[2:]]


def test_a_grid_means_the_same_in_every_directory(grid, tmp_path, monkeypatch):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    names = [run.identity for run in runs_of(grid)]
    monkeypatch.chdir(folder)
    assert [run.identity for run in runs_of(grid)] == names
    changed = {"float32": {"training": {"initial_weights": "float"}}}
    (run,) = runs_of(write(grid, GRID | {"seeds": [1], "variants": changed}))
    assert run.initial_run.resolve() == tmp_path / "float"
