"""The installed wheel works outside the checkout: every command answers, and a model goes from a run to a score."""

import ctypes
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from converters.custom_ops import kernel_names
from tfconformer.data.manifest import Utterance, write_manifest

PACKAGES = ("android_bench", "converters", "tfconformer")
BUILD_FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE")
SECONDS = 2
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

pytestmark = pytest.mark.timeout(900)  # compiles the library, and starts some thirty processes

Run = Callable[..., str]


def run(*command: str | Path, folder: Path) -> str:
    """Runs a program that finds no checkout: neither in its working directory nor in PYTHONPATH."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
    done = subprocess.run([str(word) for word in command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout[-1000:]}{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """The wheel, built from a copy of the sources without what earlier builds left behind."""
    source, output = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in BUILD_FILES:
        shutil.copy(pytestconfig.rootpath / name, source / name)
    for name in PACKAGES:
        built = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(pytestconfig.rootpath / name, source / name, ignore=built)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", output, ".", folder=source)
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

    def command(*arguments: str | Path, program: str = "tfconformer") -> str:
        return run(environment / "bin" / program, *arguments, folder=elsewhere)

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


def test_a_run_becomes_a_file_and_a_report(tfconformer, tmp_path, pytestconfig):
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, SECONDS * 16000)
    soundfile.write(tmp_path / "noise.wav", noise, 16000)
    write_manifest(tmp_path / "noise.jsonl", [Utterance("noise.wav", SECONDS, "NOTHING", "nobody")])
    tfconformer("data", "shards", tmp_path / "noise.jsonl", "--output", tmp_path)
    shards, file = f"--shards={tmp_path}/noise-*.tfrecord", tmp_path / "int4.tflite"
    rules = ("--post-training", pytestconfig.rootpath / "configs/demo/int4.yaml")
    exported = tfconformer("export", pytestconfig.rootpath / "models/tiny", file, shards, *rules)
    assert "0 of 1 transcripts differ" in exported
    assert "in 4-bit layers" in tfconformer("summary", file)
    results, page = tmp_path / "int4.json", tmp_path / "report.html"
    assert "int4 on noise: WER" in tfconformer("evaluate", file, shards, "--output", results)
    tfconformer("dev", "report", results, "--output", page, "--title", "A wheel")
    assert "<h1>A wheel</h1>" in page.read_text()
