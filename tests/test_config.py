"""Configurations: what loads, and what a person reads when one does not."""

import pytest

from tfconformer.config import dump_config, load_config
from tfconformer.errors import InputError

VALID = """
data: {train: [a], dev: [b]}
model: {blocks: 2, dim: 8, heads: 2, subsampling_channels: 4}
training: {epochs: 1, steps_per_epoch: 1, learning_rate: 0.001}
"""


def write(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model.bloks=3", "unknown key 'model.bloks'"),
        ("model.dim=wide", "'model.dim'.*integer"),
        ("model.dim=9", "'model': dim 9 is not a multiple of heads 2"),
        ("model={blocks: 2, dim: 8, heads: 2, subsampling_channels: 4, training_chunks: [0]}", "training_chunks.0"),
        ("training.learning_rate=-1", "'training.learning_rate'"),
        ("data.augment.speeds=[9]", "'data.augment.speeds'.*factors"),
        ("features.upper_edge=9000", "'features'.*8000 Hz"),
        ("quantization=[{layers: a, spec: {bits: 5}}]", "'quantization.0.spec.bits'"),
        ("model=3", "'model'"),
        ("nonsense", "expected section.key=value"),
        ("model.dim.x=1", "'dim' is not a section"),
    ],
)
def test_a_wrong_value_is_named(tmp_path, change, message):
    path = write(tmp_path / "c.yaml", VALID)
    with pytest.raises(InputError, match=message):
        load_config(path, [change])


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "not valid YAML"), ("- 1", "mapping"), ("", "mapping"), ("data: {}", "'data.train'")]
)
def test_a_wrong_file_is_named(tmp_path, text, message):
    path = write(tmp_path / "c.yaml", text)
    with pytest.raises(InputError, match=message) as error:
        load_config(path)
    assert "c.yaml" in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml"):
        load_config(tmp_path / "none.yaml")


def test_extends_replaces_section_by_section(tmp_path):
    write(tmp_path / "base.yaml", VALID)
    path = write(tmp_path / "child.yaml", "extends: base.yaml\nmodel: {dim: 16}\n")
    config = load_config(path)
    assert (config.model.dim, config.model.blocks) == (16, 2)
    write(tmp_path / "base.yaml", "extends: child.yaml\n" + VALID)
    with pytest.raises(InputError, match="circle"):
        load_config(path)


def test_dump_round_trip(tmp_path):
    overrides = ["quantization=[{layers: '.*', spec: {bits: 2, symmetric: false, block_size: 64}}]"]
    config = load_config(write(tmp_path / "c.yaml", VALID), overrides)
    assert load_config(write(tmp_path / "d.yaml", dump_config(config))) == config


@pytest.mark.parametrize(
    "name",
    [
        "small",
        "small_streaming",
        "conformer_s",
        "conformer_m",
        "conformer_l",
        "demo/int8",
        "demo/int2",
        "streaming/int4",
        "streaming/int2",
    ],
)
def test_the_shipped_configurations_load(name):
    load_config(f"configs/{name}.yaml")
