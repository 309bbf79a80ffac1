"""The installed wheel works outside the checkout: every command answers, and the programs of the first pages run."""

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from converters.custom_ops import kernel_names
from tests.support.page_programs import page_programs
from tests.support.tiny_conformer import ONE_BLOCK, STREAMING, tiny_config, write_run
from tfconformer.config import Config, dump_config
from tfconformer.data.manifest import Utterance, write_manifest
from tfconformer.training.run import RunDirectory

PACKAGES = ("android_bench", "converters", "tfconformer")
BUILD_FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE")
# Prints the help page of every command, in one process: a process for each would cost seconds.
HELP_PAGES = """
import click
from tfconformer.cli import cli

def show(command, name):
    context = click.Context(command, info_name=name)
    print(command.get_help(context))
    for child in command.list_commands(context) if isinstance(command, click.Group) else ():
        show(command.get_command(context, child), f"{name} {child}")

show(cli, "tfconformer")
"""
# Runs steps one after the other, commands and programs, and prints END after the output of each, in one process: that
# of a command of its own takes five seconds to load TensorFlow. Training is eager, since to trace it takes longer.
END = "\f"
STEPS = f"""
import json, sys
import tensorflow as tf
from tfconformer.cli import cli
from tfconformer.training import train as training

def train_eagerly(*given, train=training.train):
    tf.config.run_functions_eagerly(True)
    try:
        return train(*given)
    finally:
        tf.config.run_functions_eagerly(False)

training.train = train_eagerly
for step in json.loads(sys.argv[1]):
    cli(step, standalone_mode=False) if isinstance(step, list) else exec(step, {{}})
    print(end={END!r}, flush=True)
"""
SPEECH = (
    "samples/speech/dev-clean/2000/102000/2000-102000-0000.ogg",
    "samples/speech/test-clean/3000/103000/3000-103000-0000.ogg",
)

pytestmark = pytest.mark.timeout(900)  # compiles the library

Run = Callable[..., str]


def run(*command: str | Path, folder: Path, **variables: str) -> str:
    """Runs a program that finds no checkout: neither in its working directory nor in PYTHONPATH."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
    done = subprocess.run([str(word) for word in command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout[-1000:]}{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config, compiler: Path) -> Path:
    """The wheel, built from a copy of the sources without what earlier builds left behind."""
    source, output = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in BUILD_FILES:
        shutil.copy(pytestconfig.rootpath / name, source / name)
    for name in PACKAGES:
        built = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(pytestconfig.rootpath / name, source / name, ignore=built)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    options = ("--no-deps", "--no-build-isolation", "--wheel-dir", output)
    run(*pip, "wheel", *options, ".", folder=source, CC=str(compiler), LDSHARED=f"{compiler} -shared")
    (wheel,) = output.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def tfconformer(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs the command of a fresh environment: the wheel is installed there, its dependencies are those of this one."""
    environment = tmp_path_factory.mktemp("environment") / "venv"
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    run(sys.executable, "-m", "venv", "--without-pip", environment, folder=elsewhere)
    python = environment / "bin/python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    run(*pip, "install", "--quiet", "--no-deps", wheel, folder=elsewhere)
    (packages,) = environment.glob("lib/python*/site-packages")
    dependencies = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("\n".join(dependencies) + "\n")

    def command(*arguments: str | Path, program: str = "tfconformer", folder: Path = elsewhere) -> str:
        return run(environment / "bin" / program, *arguments, folder=folder)

    return command


@pytest.fixture(scope="module")
def commands(pytestconfig: pytest.Config) -> list[str]:
    project = tomllib.loads((pytestconfig.rootpath / "pyproject.toml").read_text())["project"]
    groups = project["entry-points"]
    return [*groups["tfconformer.commands"], *(f"dev {name}" for name in groups["tfconformer.dev_commands"])]


def test_the_wheel_carries_its_licence(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name.partition(".dist-info/")[2]: name for name in archive.namelist()}
        assert {"licenses/LICENSE", "licenses/NOTICE"} <= names.keys()
        assert "License-Expression: Apache-2.0\n" in archive.read(names["METADATA"]).decode()


def test_the_wheel_carries_a_library_that_loads(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        library = archive.extract("converters/custom_ops/libtfconformer_ops.so", tmp_path)
    assert "converters/runtime/model.py" in names
    assert "tfconformer/errors.py" in names
    assert len([name for name in names if name.startswith("converters/exporter/utterances/")]) == 3
    header = "converters/custom_ops/include/tfconformer_ops.h"
    assert [name for name in names if name.endswith((".c", ".h"))] == [header]
    loaded = ctypes.CDLL(library)
    loaded.tfc_kernel_name.restype = ctypes.c_char_p
    assert loaded.tfc_kernel_name(0).decode() == kernel_names()[0]


def test_the_packages_are_those_of_the_wheel(tfconformer, pytestconfig):
    code = f"import {', '.join(PACKAGES)}; print(*(package.__file__ for package in ({', '.join(PACKAGES)})))"
    files = [Path(file) for file in tfconformer("-c", code, program="python").split()]
    assert {file.parent.parent.name for file in files} == {"site-packages"}
    assert not any(file.is_relative_to(pytestconfig.rootpath) for file in files)


def test_the_version_is_that_of_the_project(tfconformer, pytestconfig):
    project = tomllib.loads((pytestconfig.rootpath / "pyproject.toml").read_text())["project"]
    assert tfconformer("--version").split()[-1] == project["version"]


def test_every_command_has_a_help_page(tfconformer, commands):
    pages = tfconformer("-c", HELP_PAGES, program="python")
    assert tfconformer("--help") == pages[: pages.index("Usage:", 1)]
    for name in (*commands, "data shards"):
        assert f"\nUsage: tfconformer {name} [OPTIONS]" in pages


@pytest.fixture
def folder(tmp_path: Path, pytestconfig: pytest.Config) -> Path:
    """A folder with what the pages take from a checkout: two utterances, a tiny float model, and a configuration."""
    for file in SPEECH:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(pytestconfig.rootpath / file, tmp_path / file)
    shutil.copy(tmp_path / SPEECH[1], tmp_path / "speech.wav")  # whose format is found by its content
    manifest = tmp_path / "samples/speech/manifests/{}.jsonl"
    manifest.parent.mkdir()
    for name, file in {"train": SPEECH[0], "dev": SPEECH[0], "test-clean": SPEECH[1]}.items():
        seconds = soundfile.info(tmp_path / file).duration
        write_manifest(Path(str(manifest).format(name)), [Utterance(str(tmp_path / file), seconds, "A B", "a")])
    tree = tiny_config(context=STREAMING | ONE_BLOCK).model_dump()
    tree["data"] |= {name: (str(tmp_path / f"build/demo/shards/{name}-*.tfrecord"),) for name in ("train", "dev")}
    config = Config.model_validate(tree)
    write_run(RunDirectory(tmp_path / "models/small"), config)
    rule = {"layers": ".*", "spec": {"bits": 4, "block_size": 8}}
    demo = tmp_path / "configs/demo/int4.yaml"
    demo.parent.mkdir(parents=True)
    demo.write_text(dump_config(Config.model_validate(tree | {"quantization": [rule]}), demo.parent))
    return tmp_path


def test_the_programs_and_commands_of_the_first_pages(tfconformer, folder, pytestconfig):
    train_and_export, transcribe_and_evaluate = page_programs(pytestconfig.rootpath / "docs/get-started.md")
    keras_model, speech_model = page_programs(pytestconfig.rootpath / "README.md")
    shards = "--shards=build/demo/shards/test-clean-*.tfrecord"
    manifests = sorted(map(str, (folder / "samples/speech/manifests").glob("*.jsonl")))
    steps = [
        ["data", "shards", *manifests, "--output", "build/demo/shards"],
        train_and_export,
        transcribe_and_evaluate,
        keras_model,
        ["export", "models/small", "live.tflite", shards, "--streaming", "--post-training", "configs/demo/int4.yaml"],
        speech_model,
        stream_of(pytestconfig.rootpath / "docs/guides/streaming.md"),
        ["summary", "int4.tflite"],
        ["evaluate", "int4.tflite", shards, "--output", "int4.json"],
        ["dev", "report", "int4.json", "--output", "report.html", "--title", "A wheel"],
    ]
    printed = tfconformer("-c", STEPS, json.dumps(steps), program="python", folder=folder)
    _, trained, evaluated, keras_output, exported, spoken, streamed, summary, scored, _ = printed.split(END)[:-1]
    assert len(list((folder / "runs/int4").glob("best.h5"))) == 1 and trained.strip()
    assert "WER" in evaluated
    assert re.search(r"\[\[.*\]\]", keras_output, re.DOTALL)
    assert "0 of 1 transcripts differ" in exported
    assert spoken.strip() and streamed.strip()
    assert "in 4-bit layers" in summary
    assert "int4 on test-clean: WER" in scored
    assert "<h1>A wheel</h1>" in (folder / "report.html").read_text()


def stream_of(page: Path) -> str:
    """The programs about streams, with a microphone that is a file."""
    recognize, generate, *_ = page_programs(page)
    speech = "import soundfile\nmicrophone = soundfile.blocks('speech.wav', 4800, dtype='float32')\n"
    return f"{speech}{recognize}recognizer.reset()\n{speech}{generate}"
