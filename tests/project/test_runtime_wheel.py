"""The wheel tfconformer-runtime: its modules are those of the tree, and it recognizes speech without TensorFlow."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

import converters
from tests.support import without_tensorflow
from tests.support.small_files import FRAME, write_recognizer

pytestmark = pytest.mark.timeout(900)  # compiles the library


@pytest.fixture(scope="module")
def wheel(tmp_path_factory, pytestconfig, compiler) -> Path:
    output = tmp_path_factory.mktemp("dist")
    command = [sys.executable, pytestconfig.rootpath / "runtime_wheel/build.py", output, "--compiler", compiler]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def test_one_wheel_serves_every_version_of_python(wheel):
    assert re.fullmatch(r"tfconformer_runtime-[\d.]+-py3-none-manylinux_2_\d\d_x86_64\.whl", wheel.name)


def test_its_modules_are_those_of_the_tree_and_none_more(wheel, pytestconfig):
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        contents = {name: archive.read(name) for name in names if name.endswith((".py", ".h"))}
        metadata = next(name for name in archive.namelist() if name.endswith("METADATA"))
        requirements = re.findall(r"Requires-Dist: ([\w-]+)", archive.read(metadata).decode())
    for name, content in contents.items():
        assert content == (pytestconfig.rootpath / name).read_bytes(), name
    assert {"converters/runtime/transcribe.py", "converters/streaming/online_recognizer.py"} <= contents.keys()
    assert set(names) - contents.keys() == {"converters/custom_ops/libtfconformer_ops.so"}
    assert not {name for name in requirements if "tensorflow" in name or "keras" in name}
    assert not [name for name in names if re.search("exporter|training|layers|commands|evaluation", name)]


def test_it_transcribes_in_an_environment_of_its_own(wheel, tmp_path):
    model, speech = tmp_path / "int4.tflite", tmp_path / "speech.wav"
    write_recognizer(model)
    soundfile.write(speech, np.random.default_rng(0).uniform(-0.5, 0.5, 20 * FRAME), 16000)
    packages = tmp_path / "packages"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--target", packages, wheel], check=True)
    program = Path(without_tensorflow.__file__)
    # The packages of the wheel stand before those of this environment; the checkout is on no path.
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    code = (
        f"import sys, runpy; sys.argv = ['x', {str(model)!r}, {str(speech)!r}]; "
        f"runpy.run_path({str(program)!r})['main'](); import converters; print(converters.__file__)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text, file = done.stdout.splitlines()
    assert text == converters.transcribe(model, speech).text != ""
    assert Path(file).is_relative_to(packages)
