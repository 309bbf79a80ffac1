"""Builds the wheel `tfconformer-runtime`: the modules that running exported files needs, and the native library.

    python runtime_wheel/build.py dist                                        # for this machine
    python runtime_wheel/build.py dist --compiler aarch64-linux-gnu-gcc       # for 64-bit Arm

The modules are found by importing what the wheel offers, in a process in which TensorFlow cannot be imported. They are
packed with `setup.py` of this project, so there is no second list and no second copy of anything. The library has no
part of Python in it: one wheel serves every version. Its platform tag names the oldest C library that has all symbols
which the library takes from it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
QUANTIZERS = REPOSITORY / "tfconformer/quantization/quantizers"
BLOCKED = ("keras", "tensorflow", "tensorflow_io", "tensorflow_model_optimization", "tf_keras")
# Prints the modules that the names of the wheel import, and the tokenizer, which is imported when text is made.
FIND_MODULES = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocked())
import converters, tfconformer.data.tokenizer
for name in ("Converter", "Recognizer", "Transcriber", "load", "load_delegate_path", "transcribe"):
    getattr(converters, name)
print(*sorted(name for name in sys.modules if name.partition(".")[0] in ("converters", "tfconformer")))
"""


def main() -> None:
    """Builds the wheel and prints its path."""
    parser = argparse.ArgumentParser(description="Build the wheel tfconformer-runtime.")
    parser.add_argument("output", type=Path, help="folder for the wheel")
    parser.add_argument("--compiler", default="gcc", help="C compiler, which decides for which machine (default: gcc)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(build(Path(folder), arguments.output, arguments.compiler))


def build(folder: Path, output: Path, compiler: str) -> Path:
    """Builds the wheel in an empty folder and moves it to `output`; returns its path."""
    source = folder / "source"
    stage(source)
    tools = {"CC": compiler, "LDSHARED": f"{compiler} -shared"}
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    _run([*pip, "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source)], os.environ | tools)
    (wheel,) = folder.glob("*.whl")
    (library,) = source.glob("build/lib*/converters/custom_ops/*.so")
    platform = f"manylinux_{_oldest_libc(library)}_{_machine(compiler)}"
    tags = ["--remove", "--python-tag", "py3", "--abi-tag", "none", "--platform-tag", platform]
    name = _run([sys.executable, "-m", "wheel", "tags", *tags, str(wheel)]).split()[-1]
    output.mkdir(parents=True, exist_ok=True)
    return Path(shutil.move(folder / name, output / name))


def stage(source: Path) -> None:
    """Copies what the wheel is built from to a new folder."""
    modules = _run([sys.executable, "-c", FIND_MODULES]).split()
    paths = [REPOSITORY / name.replace(".", "/") for name in modules]
    files = [path / "__init__.py" if path.is_dir() else path.with_suffix(".py") for path in paths]
    files += (REPOSITORY / "converters/custom_ops").rglob("*.[ch]")
    # A spec is valid if its scheme is among these files.
    files += [QUANTIZERS / "__init__.py", *(QUANTIZERS / "schemes").glob("*.py")]
    for file in files:
        target = source / file.relative_to(REPOSITORY)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (source / "VERSION").write_text(project["version"] + "\n", encoding="utf-8")
    for file in ("setup.py", "LICENSE", "NOTICE", "runtime_wheel/pyproject.toml", "runtime_wheel/README.md"):
        shutil.copy(REPOSITORY / file, source)


def _oldest_libc(library: Path) -> str:
    """Returns the newest version of the C library whose symbols a library takes, such as "2_34"."""
    versions = re.findall(r"GLIBC_(\d+)\.(\d+)", _run(["readelf", "--version-info", str(library)]))
    major, minor = max((int(major), int(minor)) for major, minor in versions)
    return f"{major}_{max(minor, 17)}"  # before 2.17 the tags have other names


def _machine(compiler: str) -> str:
    return _run([compiler, "-dumpmachine"]).partition("-")[0]


def _run(command: list[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command[:4])} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


if __name__ == "__main__":
    main()
