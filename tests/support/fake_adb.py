#!/usr/bin/env python3
"""An `adb` for tests: a folder stands for the phone. It writes down what it is told and answers as a phone would.

FAKE_PHONE names the folder: `root` is the phone's file system, `commands.txt` what was said, `answers.json` what is to
be answered. Of the benchmark it gives a report with the SHA-256 of the model that was pushed and with what the
transcripts say; every run takes the next of the thermal states.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import sys
from pathlib import Path

PHONE = Path(os.environ.get("FAKE_PHONE", ""))
PACKAGE = "org.tfconformer.bench"
THERMAL = PHONE / "thermal.json"
EXTERNAL = f"/sdcard/Android/data/{PACKAGE}/files"


def main(words: list[str]) -> int:
    with (PHONE / "commands.txt").open("a") as file:
        file.write(shlex.join(words) + "\n")
    answers = json.loads((PHONE / "answers.json").read_text())
    if words[0] == "get-state":
        print(answers.get("state", "device"))
        return 0
    if words[0] == "install":
        return 0 if Path(words[-1]).is_file() else 1
    if words[0] == "push":
        return _push([Path(word) for word in words[1:-1]], words[-1])
    assert words[0] == "shell" and len(words) == 2, words
    return _shell(shlex.split(words[1]), answers)


def _push(files: list[Path], folder: str) -> int:
    target = _local(folder)
    for file in files:
        if file.is_dir():
            shutil.copytree(file, target / file.name, dirs_exist_ok=True)
        else:
            shutil.copyfile(file, target / file.name)
    return 0


def _shell(words: list[str], answers: dict) -> int:
    if words[0] == "mkdir":
        _local(words[-1]).mkdir(parents=True, exist_ok=True)
    elif words[0] in ("chmod", "input"):
        pass
    elif words[0].endswith("/tfconformer_bench"):
        assert _local(words[0]).is_file()
        print(json.dumps(_report(words[1:], answers)))
    elif words[:2] == ["am", "start"]:
        assert words[words.index("-n") + 1] == f"{PACKAGE}/.MainActivity"
        extras = {words[i + 1]: words[i + 2] for i, word in enumerate(words) if word == "--es"}
        _run_app(extras["args"].split(), extras["report"], answers)
    elif words[0] == "logcat":
        print((PHONE / "log.txt").read_text(), end="")
    elif words[0] == "pidof":
        print("" if answers.get("app_died") else "4711")
    elif words[0] == "cat":
        if answers.get("hides_app_folder"):
            print(f"cat: {words[1]}: Permission denied", file=sys.stderr)
            return 1
        print(_local(words[1]).read_text())
    elif words[0] == "rm":
        _local(words[1]).unlink()
    else:
        raise AssertionError(words)
    return 0


def _run_app(arguments: list[str], name: str, answers: dict) -> None:
    log = PHONE / "log.txt"
    log.touch()
    if answers.get("app_died"):
        return
    report = _report(arguments, answers)
    path = _local(f"{EXTERNAL}/{name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report))
    with log.open("a") as file:
        file.write(f"earlier.json ended: error: no\n{name} ended: {report.get('error', 'fine')}\n")


def _report(arguments: list[str], answers: dict) -> dict:
    options = dict(word.removeprefix("--").split("=", 1) for word in arguments)
    if "error" in answers:
        return {"schema": 1, "status": "failed", "exit_code": 1, "error": answers["error"]}
    states = json.loads(THERMAL.read_text())
    before, after = states.pop(0)
    THERMAL.write_text(json.dumps([*states, [before, after]]))
    model = _local(options["model"]).read_bytes()
    lines = _local(options["transcripts"]).read_text().splitlines()
    transcripts = []
    for number, line in enumerate(lines):
        name, _, text = line.partition(" ")
        assert _local(f"{options['audio']}/{name}.wav").is_file()
        seconds = {"audio_seconds": 2.0, "compute_seconds": 0.01 * (number + 1)}
        transcripts.append({"name": name, "reference": text, "hypothesis": f"{text} MORE", **seconds})
    return {
        "schema": 1,
        "status": "ok",
        "exit_code": 0,
        "program": {"version": "0.1.0", "abi": "arm64-v8a", "entry_point": "cli"},
        "settings": {"mode": "offline", "threads": int(options["threads"]), "warmup": 3, "runs": 20},
        "model": {"name": "m", "sha256": answers.get("sha256", hashlib.sha256(model).hexdigest())},
        "engine": {"name": "TFLite", "version": "2.14.0", "library": "libtensorflowlite_jni.so", "kernel": "neon"},
        "device": {
            "model": "Maker Phone",
            "system": "Android 14 (API 34)",
            "cores": [{"index": 0, "governor": "schedutil"}, {"index": 1, "governor": "schedutil"}],
            "affinity": [0, 1],
        },
        "thermal": {"before": _thermal(before), "after": _thermal(after)},
        "memory": {"before_kb": 1000, "init_kb": 2000, "peak_kb": 4000},
        "recognition": {"transcripts": transcripts},
    }


def _thermal(status: int | None) -> dict:
    return {"zones": []} if status is None else {"status": status, "zones": []}


def _local(path: str) -> Path:
    return PHONE / "root" / path.lstrip("/")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
