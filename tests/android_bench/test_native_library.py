"""The app's library: called as Android's runtime does under an emulator, and by this machine's Java."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from android_bench.emulator.qemu import CPUS, Emulator
from tests.android_bench.conftest import NativeModel, Validate
from tfconformer.errors import UnavailableError
from tfconformer.programs import find_program

NATIVE_JAVA = """package org.tfconformer.bench;
final class Native {
  static { System.load(System.getProperty("library")); }
  static native String run(String arguments, Progress progress);
  static native String version();
}
"""
PROGRESS_JAVA = """package org.tfconformer.bench;
interface Progress { void progress(int done, int total, String stage); }
"""
MAIN_JAVA = """package org.tfconformer.bench;
final class Main {
  public static void main(String[] words) {
    System.out.println(Native.version());
    for (String arguments : words) {
      try {
        System.out.println(Native.run(arguments, (done, total, stage) -> {
          if (arguments.contains("--runs=77")) throw new IllegalStateException("enough of " + stage);
        }));
      } catch (IllegalStateException error) {
        System.out.println(error.getMessage());
      }
    }
  }
}
"""


@pytest.mark.parametrize("cpu", CPUS)
def test_the_library_runs_inside_androids_tflite(
    emulator: Emulator, native_model: NativeModel, validate: Validate, cpu: str
) -> None:
    arguments = f' --model="{native_model.path}"  --warmup=2 --runs=3 --audio={native_model.speech}'
    done = emulator.run_library(arguments, cpu)
    assert done.returncode == 0, done.stderr
    report = validate(done.stdout)
    assert report["program"] == {"version": "0.1.0", "abi": "arm64-v8a", "entry_point": "jni"}
    assert report["output_check"]["status"] == "equal"
    assert report["engine"]["library"] == "libtensorflowlite_jni.so"
    assert "version 0.1.0" in done.stderr
    heard = [line for line in done.stderr.splitlines() if line.startswith("progress ")]
    assert heard == [
        "progress 0/1 loading",
        *(f"progress {i}/2 warm-up" for i in range(2)),
        *(f"progress {i}/3 timed runs" for i in range(3)),
        *(f"progress {i}/3 profiled runs" for i in range(3)),
        *(f"progress {i}/3 recognition" for i in range(3)),
    ]


def test_one_line_goes_to_the_log(emulator: Emulator, native_model: NativeModel) -> None:
    done = emulator.run_library(f"--model={native_model.path} --warmup=0 --runs=1")
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("I/tfconformer: ")]
    summary = json.loads(line.removeprefix("I/tfconformer: "))
    report = json.loads(done.stdout)
    assert summary["sha256"] == report["model"]["sha256"]
    assert summary["p50_us"] == report["timing"]["utterance"]["p50_us"]
    # Android's log cuts lines after four thousand characters.
    assert len(line) < 1000


def test_an_exception_of_the_listener_ends_the_run(emulator: Emulator, native_model: NativeModel) -> None:
    done = emulator.run_library(f"--model={native_model.path} --warmup=1 --runs=50", stop=True)
    assert done.stdout == ""  # the exception is the result
    heard = [line for line in done.stderr.splitlines() if line.startswith("progress ")]
    assert heard == ["progress 0/1 loading", "progress 0/1 warm-up", "progress 0/50 timed runs"]
    assert '"error":"stopped during timed runs"' in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "--model=FILE is missing"),
        ('--model="/sdcard/a b', "the arguments end within double quotes"),
        ("--model=m " + "--runs=1 " * 64, "more than 64 arguments"),
        ("--help", "--model=FILE"),
    ],
)
def test_a_wrong_command_has_a_report(emulator: Emulator, validate: Validate, arguments: str, message: str) -> None:
    report = validate(emulator.run_library(arguments).stdout)
    assert (report["status"], report["exit_code"]) == ("bad_arguments", 2)
    assert message in report["error"]


def test_java_calls_the_library(
    native_model: NativeModel, host_library: Path, validate: Validate, tmp_path: Path
) -> None:
    try:
        javac, java = find_program("javac"), find_program("java")
    except UnavailableError as error:
        pytest.skip(str(error))
    folder = tmp_path / "org/tfconformer/bench"
    folder.mkdir(parents=True)
    for name, content in {"Native": NATIVE_JAVA, "Progress": PROGRESS_JAVA, "Main": MAIN_JAVA}.items():
        (folder / f"{name}.java").write_text(content)
    subprocess.run([javac, "-d", tmp_path, *folder.glob("*.java")], check=True)
    commands = ["--speed=1", f"--model={native_model.path} --threads=1", f"--model={native_model.path} --runs=77"]
    done = subprocess.run(
        [java, "-Xcheck:jni", "-cp", tmp_path, f"-Dlibrary={host_library}", "org.tfconformer.bench.Main", *commands],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    version, refused, without_engine, stopped = done.stdout.splitlines()
    assert version == "0.1.0"
    assert validate(refused)["error"] == "unknown argument --speed=1; --help lists them"
    # No desktop build of TFLite has the C API, so this machine's Java gets as far as looking for it.
    report = validate(without_engine)
    assert (report["status"], report["program"]["entry_point"]) == ("failed", "jni")
    assert "no TFLite library" in report["error"]
    assert stopped == "enough of loading"
