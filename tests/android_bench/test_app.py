"""The app, as its dex, on a JVM: what a person or a script does with it, and what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.apk_on_jvm import AppOnJvm

REPORT = {
    "schema": 1,
    "status": "ok",
    "settings": {"mode": "offline", "threads": 2, "warmup": 3, "runs": 20},
    "model": {"name": "int4.tflite", "sha256": "ab" * 32, "file_bytes": 1532288},
    "engine": {"name": "TFLite", "version": "2.14.0", "library": "libtensorflowlite_jni.so", "kernel": "neon"},
    "device": {"model": "Maker Phone", "system": "Android 14 (API 34)", "cores": [], "affinity": []},
    "thermal": {"before": {"status": 0, "zones": []}, "after": {"status": 1, "zones": []}},
    "memory": {"before_kb": 1000, "init_kb": 2000, "peak_kb": 4000},
    "timing": {
        "init_us": 4000.0,
        "first_us": 9000.0,
        "utterance": {"count": 20, "p50_us": 8000.0, "p90_us": 8250.0, "p99_us": 8500.0},
        "rtf_p50": 0.002,
        "rtf_p90": 0.0025,
    },
    "profile": {"operations": [{"kind": "CONV_2D", "nodes": 3, "run_us": 6000.0, "share": 0.75}]},
    "output_check": {"status": "within_tolerance", "relative_rms": 1e-6, "tolerance_relative_rms": 1e-4},
    "recognition": {"words": 200, "wer": 0.065},
}
LINE = "int4.tflite, offline, 2 threads: 8.00 ms (p90 8.25 ms), output within_tolerance"


def failure(message: str) -> dict:
    return {"schema": 1, "status": "failed", "exit_code": 1, "error": message}


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A phone with two bundled models and a pushed one."""
    for name in ("assets/models/int2.tflite", "assets/models/int4.tflite", "external/models/mine.tflite"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "assets/models/int4.reference").write_bytes(b"expected")
    (tmp_path / "native.json").write_text(json.dumps(REPORT))
    return tmp_path


def run(app: AppOnJvm, device: Path, *scenario: str, **properties: str) -> list[str]:
    return app.run(device, *scenario, native_report=device / "native.json", **properties).splitlines()


def test_a_script_runs_a_bundled_model_and_gets_a_report(app: AppOnJvm, device: Path) -> None:
    lines = run(app, device, "script", "--model=int4.tflite --threads=2")
    unpacked = device / "files/models/int4.tflite"
    assert f'native: --model={unpacked} --threads=2 --speech="{device}/external/speech"' in lines
    assert (device / "external/speech").is_dir()
    assert unpacked.read_bytes() == b"assets/models/int4.tflite"
    assert unpacked.with_suffix(".reference").read_bytes() == b"expected"
    assert json.loads((device / "external/mine.json").read_text()) == REPORT
    assert f"I/tfconformer: mine.json ended: {LINE}" in lines
    assert sum("tfconformer" in line and line.startswith(("I/", "E/")) for line in lines) == 1


def test_the_screen_shows_the_result(app: AppOnJvm, device: Path) -> None:
    lines = run(app, device, "script", "--model=int4.tflite")
    cells = [line.removeprefix("text: ") for line in lines if line.startswith("text: ")]
    table = dict(zip(cells[cells.index("Model", 1) :: 2], cells[cells.index("Model", 1) + 1 :: 2], strict=True))
    assert table == {
        "Model": "int4.tflite, 1.53 MB",
        "SHA-256": "ab" * 32,
        "Engine": "TFLite 2.14.0, kernel neon",
        "Loading": "4.00 ms",
        "First run": "9.00 ms",
        "Utterance": "8.00 ms / 8.25 ms / 8.50 ms (p50 / p90 / p99 of 20)",
        "Real-time factor": "0.0020 / 0.0025 (p50 / p90)",
        "Output": "within tolerance (relative RMS 1.0e-06, accepted 0.00010)",
        "Word error rate": "6.5 % of 200 words",
        "Memory": "2.0 MB loaded, 4.1 MB at most",
        "Phone": "Maker Phone, Android 14 (API 34)",
        "Throttling": "none, afterwards light",
        "CONV_2D": "6.00 ms, 75 %",
    }


def test_the_screen_shows_a_conversion(app: AppOnJvm, device: Path) -> None:
    times = {"count": 20, "p50_us": 400.0, "p90_us": 500.0, "p99_us": 600.0}
    parts = [{"name": name, "step": times} for name in ("encoder", "decoder", "vocoder")]
    spoken = {"audio_seconds": 2.0, "speech_seconds": 1.5, "stopped": True, "name": "a", "file": "/speech/a.wav"}
    endless = spoken | {"stopped": False, "name": "b"}
    del endless["file"]
    timing = REPORT["timing"] | {"components": parts, "first_sound": times}
    (device / "native.json").write_text(json.dumps(REPORT | {"timing": timing, "conversion": [spoken, endless]}))
    lines = run(app, device, "script", "--model=int4.tflite --mode=streaming --speech=/elsewhere")
    assert f"native: --model={device}/files/models/int4.tflite --mode=streaming --speech=/elsewhere" in lines
    cells = [line.removeprefix("text: ") for line in lines if line.startswith("text: ")]
    percentiles = "0.40 ms / 0.50 ms / 0.60 ms (p50 / p90 / p99 of 20)"
    for label in ("Step of the encoder", "Step of the decoder", "Step of the vocoder", "First sound"):
        assert cells[cells.index(label) + 1] == percentiles
    first = cells.index("Speech")
    assert cells[first : first + 4] == [
        "Speech",
        "1.50 s of 2.00 s: /speech/a.wav",
        "Speech",
        "1.50 s of 2.00 s, cut off: b",
    ]


def test_a_person_picks_a_model_runs_it_and_shares_the_report(app: AppOnJvm, device: Path) -> None:
    lines = run(app, device, "tap")
    arguments = f"--model={device}/files/models/int4.tflite --mode=streaming --threads=1"
    assert f'native: {arguments} --speech="{device}/external/speech"' in lines
    assert f"text: {LINE}" in lines
    assert "started: LiveActivity" in lines
    assert "press Share the report: true" in lines
    (shared,) = (line for line in lines if line.startswith("shared: "))
    assert json.loads(shared.removeprefix("shared: ")) == REPORT


def test_offers_bundled_and_pushed_models(app: AppOnJvm, device: Path) -> None:
    lines = run(app, device, "look")
    choices = [line.removeprefix("choice: ") for line in lines if line.startswith("choice: ")]
    assert choices[:5] == ["int2.tflite", "int4.tflite", "mine.tflite (pushed)", "offline", "streaming"]
    assert "button: Start" in lines and "button: Cancel" not in lines and "button: Share the report" not in lines


def test_a_benchmark_outlives_a_turned_phone(app: AppOnJvm, device: Path) -> None:
    lines = run(app, device, "turn", native_waits="true")
    assert sum(line.startswith("native: ") for line in lines) == 1
    assert f"text: {LINE}" in lines and "button: Start" in lines
    assert json.loads((device / "external/report.json").read_text()) == REPORT


def test_cancel_ends_the_benchmark(app: AppOnJvm, device: Path) -> None:
    lines = run(app, device, "cancel", native_waits="true")
    assert "text: error: cancelled" in lines and "button: Start" in lines
    assert json.loads((device / "external/report.json").read_text()) == failure("cancelled")


def test_without_permission_or_native_code_the_sample_says_so(app: AppOnJvm, device: Path) -> None:
    lines = run(app, device, "speak", "-1")
    assert "text: Without the permission to record there is nothing to recognize." in lines
    assert "button: Convert" in lines and "button: Stop" not in lines
    lines = app.run(device, "speak", "0", native="own", java_library_path=device).splitlines()
    message = "text: the asset models/int2.tflite: the native library cannot be loaded: "
    assert any(line.startswith(message) for line in lines)
    assert "button: Convert" in lines and "button: Stop" not in lines


def test_one_benchmark_at_a_time(app: AppOnJvm, device: Path) -> None:
    lines = run(app, device, "busy", native_waits="true")
    assert "E/tfconformer: second.json ended: error: another benchmark is running" in lines
    assert sum(line.startswith("native: ") for line in lines) == 1
    assert (device / "external/first.json").exists() and not (device / "external/second.json").exists()


def test_says_where_models_go_if_there_is_none(app: AppOnJvm, device: Path) -> None:
    for model in device.glob("*/models/*.tflite"):
        model.unlink()
    lines = run(app, device, "look")
    assert f"text: There is no model. Push a .tflite file to {device}/external/models" in lines
    assert "button: Start (disabled)" in lines


def test_names_the_models_there_are(app: AppOnJvm, device: Path) -> None:
    lines = run(app, device, "script", "--model=int5.tflite")
    names = f"int2.tflite, int4.tflite, {device}/external/models/mine.tflite"
    assert f"text: error: there is no model 'int5.tflite' in the app, which has {names}" in lines


@pytest.mark.parametrize("full", ["files/models/int4.tflite.partial", "external/mine.json.partial"])
def test_a_full_disk_is_said_and_leaves_no_half_file(app: AppOnJvm, device: Path, full: str) -> None:
    partial = device / full
    partial.parent.mkdir(parents=True, exist_ok=True)
    partial.symlink_to("/dev/full")
    lines = run(app, device, "script", "--model=int4.tflite")
    file = partial.with_suffix("")
    assert any(line.startswith(f"text: error: cannot write {file}: No space left") for line in lines)
    assert not file.exists() and not partial.is_symlink()


def test_says_that_the_native_library_is_missing(app: AppOnJvm, device: Path) -> None:
    lines = app.run(device, "script", "--model=int4.tflite", native="own").splitlines()
    assert any(line.startswith("text: error: the native library cannot be loaded: ") for line in lines)
    assert "error" in json.loads((device / "external/mine.json").read_text())


def test_says_that_the_native_core_gave_nonsense(app: AppOnJvm, device: Path) -> None:
    (device / "native.json").write_text("nonsense")
    lines = run(app, device, "script", "--model=int4.tflite")
    assert any(line.startswith("text: error: the native core returned no JSON object") for line in lines)
