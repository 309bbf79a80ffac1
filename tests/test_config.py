"""Configurations: what loads, and what a person reads when one does not."""

from pathlib import Path

import pytest
import yaml

from tfconformer.config import dump_config, load_config
from tfconformer.errors import InputError
from tfconformer.training.run import RunDirectory

REPOSITORY = Path(__file__).parents[1]

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
        ("model.right_context=[0, 1, 2]", "'model': right_context has 3 numbers for 2 blocks"),
        ("model.stackers=[{after: 1}, {after: 1}]", "'model': stackers must be in order"),
        (
            "model.stackers=[{after: 1, right: 1, stride: 3}]",
            "'model': a stacker of stride 3 .* give right 0, or 2 or",
        ),
        (
            "model={blocks: 2, dim: 8, heads: 2, subsampling_channels: 4, attention_chunk: 3, stackers: [{after: 1}]}",
            "'model': attention chunks .* give right_context",
        ),
        (
            "model={blocks: 2, dim: 8, heads: 2, subsampling_channels: 4, parrotron: {memory_blocks: [1, 2]}, "
            "stackers: [{after: 1}]}",
            r"memory_blocks \[1, 2\] must come after the last stacker, that is, be above 1",
        ),
        ("training.learning_rate=-1", "'training.learning_rate'"),
        ("data.augment.speeds=[9]", "'data.augment.speeds'.*factors"),
        ("data.augment.noise={recorded: 0.5}", "'data.augment.noise'.*belong together"),
        ("data.augment.noise={recorded: 0.5, recordings: a, babble: 0.6}", "'data.augment.noise'.*at most 1"),
        ("features={kind: waveform, mel_bins: 80}", "'features': features of the kind waveform have no mel_bins"),
        ("features.kind=waveform", "features.kind waveform and the section model.waveform need each other"),
        ("model.waveform={}", "'model': the convolutions of waveform make frames: set subsampling_channels to null"),
        (
            "model={blocks: 2, dim: 8, heads: 2, subsampling_channels: null, waveform: {kernels: [10]}}",
            "'model.waveform': channels, kernels and strides must be as many, got 7, 1 and 7",
        ),
        ("model.parrotron={target: {kind: waveform}}", "speech is generated of log-mel spectrograms: leave kind out"),
        ("features.mel_bins=258", "'features': mel_bins 258 exceeds the 257 frequencies of the transform"),
        ("features.fft_length=2147483647", "'features.fft_length': Input should be less than or equal to 65536"),
        ("model.subsampling_channels=2147483648", "'model.subsampling_channels': .* at most 2147483647, got"),
        ("model.right_context=[0, 99999999999999999999]", "'model.right_context.*': .* at most 2147483647, got"),
        ("features.upper_edge=9000", "'features'.*8000 Hz"),
        ("quantization=[{layers: a, spec: {bits: 5}}]", "'quantization.0.spec.bits'"),
        ("model=3", "'model'"),
        ("nonsense", "expected section.key=value"),
        ("model.dim.x=1", "'dim' is not a section"),
        ("model.dim=[1", "the value is not valid YAML: while parsing a flow sequence"),
        ("training.learning_rate=.inf", "'training.learning_rate': Input should be a finite number"),
        ("quantization=[{layers: a, spec: {bits: 4, sparsity: 2:4}}]", "2:4 is a number in base 60: put it in quotes"),
        ("data.train={a: 1, a: 2}", "the key 'a' is there already, in line 1"),
        ("data.train=[0x10]", "'data.train.0': .*valid string; YAML reads a int here: put it in quotes"),
    ],
)
def test_a_wrong_value_is_named(tmp_path, change, message):
    path = write(tmp_path / "c.yaml", VALID)
    with pytest.raises(InputError, match=message):
        load_config(path, [change])


def test_a_waveform_has_no_mel_bins_to_mask(tmp_path):
    model = "model: {blocks: 2, dim: 8, heads: 2, subsampling_channels: null, waveform: {}}"
    features = "features: {kind: waveform, sample_rate: 8000}"
    path = write(tmp_path / "c.yaml", "\n".join([VALID.replace(VALID.splitlines()[2], model), features]))
    with pytest.raises(
        InputError, match=r"data\.augment\.spec_augment masks mel bins, which a waveform lacks: set it to"
    ):
        load_config(path)
    config = load_config(path, ["data.augment.spec_augment=null"])
    assert (config.features.frame_step, config.features.mel_bins, config.model.encoder_stride) == (1, 1, 320)
    assert load_config(write(tmp_path / "d.yaml", dump_config(config, tmp_path))) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not valid YAML"),
        ("- 1", "mapping"),
        ("", "mapping"),
        ("data: {}", "'data.train'"),
        ("a: 1\nb: 2\na: 3", "line 3, column 1: the key 'a' is there already, in line 1"),
        ("a: {b: 1,\n b: 2}", "line 2, column 2: the key 'b' is there already, in line 1"),
        ("a: &x [*x]", "line 1, column 4: it contains itself"),
        ("a: 2024-99-99", "a value cannot be read"),
        ('!!int "": 1', "a value cannot be read"),
        ("[" * 3000, "it is nested too deep"),
        ('a: "\\ud800"', "half of a pair of surrogates is no text"),
        ("a: 1:30", "1:30 is a number in base 60"),
        ("0: &0 [1,1]\n" + "".join(f"{i}: &{i} [*{i - 1},*{i - 1}]\n" for i in range(1, 40)), "stand for too much"),
        (VALID.replace("[a]", "[2024-11-29]"), "'data.train.0': .*YAML reads a date here: put it in quotes"),
    ],
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
    (tmp_path / "run").mkdir()
    stored = write(tmp_path / "run/config.yaml", dump_config(config, tmp_path / "run"))
    assert load_config(stored) == config
    assert "train:\n  - ../a\n" in stored.read_text()


@pytest.fixture
def tree(tmp_path) -> Path:
    """A checkout: configurations in folders of their own, one of which extends the other."""
    for folder in ("configs/demo", "data", "runs", "[odd]"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("train-0.tfrecord", "dev-0.tfrecord"):
        (tmp_path / "data" / name).touch()
    text = VALID.replace("[a]", "[../data/train-*.tfrecord]").replace("[b]", "[../data/dev-*.tfrecord]")
    write(tmp_path / "configs/base.yaml", text.replace("0.001", "0.001, initial_weights: ../runs/float"))
    write(tmp_path / "configs/demo/child.yaml", "extends: ../base.yaml\ndata: {dev: [../../data/d*.tfrecord]}\n")
    return tmp_path


@pytest.mark.parametrize("directory", [".", "configs", "configs/demo", "[odd]"])
def test_paths_are_relative_to_the_file_that_holds_them(tree, monkeypatch, directory):
    monkeypatch.chdir(tree / directory)
    config = load_config(tree / "configs/demo/child.yaml")
    found = [
        Path(path).resolve() for pattern in (*config.data.train, *config.data.dev) for path in Path().glob(pattern)
    ]
    assert found == [tree / "data/train-0.tfrecord", tree / "data/dev-0.tfrecord"]
    assert Path(config.training.initial_weights).resolve() == tree / "runs/float"


def test_at_the_top_of_a_checkout_paths_are_short(tree, monkeypatch):
    monkeypatch.chdir(tree)
    config = load_config("configs/demo/child.yaml")
    assert config.data.train == ("data/train-*.tfrecord",)
    assert config.training.initial_weights == "runs/float"


def test_paths_of_overrides_are_relative_to_the_working_directory(tree, monkeypatch):
    monkeypatch.chdir(tree / "runs")
    changes = ["data.train=[x/*.tfrecord, /y/*.tfrecord]", "training.initial_weights=./z"]
    config = load_config("../configs/demo/child.yaml", changes)
    assert config.data.train == ("x/*.tfrecord", "/y/*.tfrecord")
    assert config.training.initial_weights == "z"


@pytest.mark.parametrize("name", ["exp #2", "null", "~", "2024-11-29", "0x10", "yes", "[a", "a: b", "'q'", '"', "é ü"])
def test_the_name_of_a_folder_in_an_override_is_that_folder(tree, monkeypatch, name):
    monkeypatch.chdir(tree)
    config = load_config("configs/base.yaml", [f"training.initial_weights={name}"])
    assert config.training.initial_weights == name
    run = RunDirectory(tree / "runs/one")
    run.claim(config)
    assert run.config() == config
    assert load_config("configs/base.yaml", ["training.initial_weights="]).training.initial_weights is None


def test_brackets_in_the_name_of_a_folder_are_no_pattern(tree, monkeypatch):
    write(tree / "[odd]/c.yaml", VALID.replace("[a]", "['*.tfrecord']"))
    (tree / "[odd]/t.tfrecord").touch()
    monkeypatch.chdir(tree)
    assert list(Path().glob(load_config("[odd]/c.yaml").data.train[0])) == [Path("[odd]/t.tfrecord")]


def test_a_run_belongs_to_its_configuration_from_every_directory(tree, monkeypatch):
    monkeypatch.chdir(tree)
    RunDirectory(Path("runs/one")).claim(load_config("configs/demo/child.yaml"))
    assert str(tree) not in (tree / "runs/one/config.yaml").read_text()
    monkeypatch.chdir(tree / "configs")
    RunDirectory(Path("../runs/one")).require(load_config("demo/child.yaml"))
    with pytest.raises(InputError, match="another configuration"):
        RunDirectory(Path("../runs/one")).require(
            load_config("demo/child.yaml", ["data.train=[data/train-*.tfrecord]"])
        )


def test_absolute_paths_stay_absolute_in_a_run(tree):
    config = load_config(tree / "configs/base.yaml", [f"data.dev=['{tree}/data/d*.tfrecord']"])
    run = RunDirectory(tree / "runs/one")
    run.claim(config)
    assert f"{tree}/data/d*.tfrecord" in run.config_file.read_text()
    run.require(config)


def test_a_run_of_an_earlier_version_continues(tree, monkeypatch):
    """Its paths are relative to the working directory, and nothing in the file says so."""
    monkeypatch.chdir(tree)
    config = load_config("configs/demo/child.yaml")
    run = RunDirectory(Path("runs/old"))
    run.path.mkdir()
    run.config_file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    run.require(config)
    assert run.config().data.train == ("data/train-*.tfrecord",)


def test_a_later_format_is_refused(tmp_path):
    with pytest.raises(InputError, match="has format 3, this version reads 2"):
        load_config(write(tmp_path / "c.yaml", "format: 3\n" + VALID))


SHIPPED = [path for path in sorted(REPOSITORY.glob("configs/**/*.yaml")) if path.parent.name != "experiments"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(REPOSITORY / "configs")))
def test_the_shipped_configurations_load_from_every_directory(path, tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    config = load_config(path)
    monkeypatch.chdir(tmp_path)
    elsewhere = load_config(path)
    for pattern, as_seen_here in zip(
        config.data.train + config.data.dev, elsewhere.data.train + elsewhere.data.dev, strict=True
    ):
        assert pattern.startswith(("data/", "build/"))
        assert Path(as_seen_here).resolve() == REPOSITORY / pattern
    assert (config.training.initial_weights or "models/").startswith(("models/", "runs/"))


@pytest.mark.parametrize("name", ["small", "small_streaming", "small_streaming_transducer", "tiny", "tiny/first_stage"])
def test_the_shipped_models_name_their_data_relative_to_themselves(name, monkeypatch, tmp_path):
    run = RunDirectory(REPOSITORY / "models" / name)
    for directory in (REPOSITORY, tmp_path):
        monkeypatch.chdir(directory)
        for pattern in (*run.config().data.train, *run.config().data.dev):
            assert Path(pattern).resolve().parent == REPOSITORY / "data/speech/shards"
