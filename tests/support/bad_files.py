"""Classes of bad paths, folders and files, of which each is bad wherever a command reads one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import yaml

CONFIG = {
    "data": {"train": ["test-*.tfrecord"], "dev": ["test-*.tfrecord"]},
    "model": {"blocks": 1, "dim": 8, "heads": 2, "subsampling_channels": 4},
    "training": {"epochs": 1, "steps_per_epoch": 1, "learning_rate": 0.001},
}


def text(content: str | bytes, name: str = "bad") -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        path = folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return make


def folder_named(name: str) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / name).mkdir()
        return str(folder / name)

    return make


def link(target: str) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / "link").symlink_to(target)
        return str(folder / "link")

    return make


def incomplete_run(config: str) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / "run").mkdir()
        (folder / "run" / "config.yaml").write_text(config)
        for name in ("tokenizer.model", "best.h5", "history.jsonl"):
            (folder / "run" / name).write_bytes(os.urandom(100))
        return str(folder / "run")

    return make


NO_FILE: dict[str, Callable[[Path], str]] = {
    "missing": lambda folder: str(folder / "missing"),
    "below a file": lambda folder: text("x", "file")(folder) + "/more",
    "nul": lambda folder: str(folder / "a\0b"),
    "surrogate": lambda folder: str(folder / "a\udc80b"),
    "long name": lambda folder: str(folder / ("n" * 300)),
    "empty name": lambda folder: "",
    "dangling link": link("nowhere"),
    "endless link": link("link"),
}
FILES: dict[str, Callable[[Path], str]] = {
    **NO_FILE,
    "folder": folder_named("folder"),
    "folder like a file": folder_named("folder.tflite"),
    "empty": text(""),
    "noise": text(np.random.default_rng(0).bytes(1000)),
    "no utf-8": text(b"\xff\xfe\0a"),
    "deep json": text("[" * 100_000),
    "deep yaml": text("a: " + "[" * 5000, "bad.yaml"),
    "list": text("[1, 2]", "bad.yaml"),
    "null": text("null", "bad.yaml"),
    "numbers": text("1: 2\ndata: 3\nmodel: {4: 5}\n", "bad.yaml"),
    "extends a list": text("extends: [1]\n", "bad.yaml"),
    "extends itself": text("extends: bad.yaml\n", "bad.yaml"),
    "tagged": text("a: !!python/object:os.system {}\n", "bad.yaml"),
    "results": text('{"rows": [{"model": 1}], "command": []}', "bad.json"),
    "manifest": text('{"audio_filepath": "x.wav", "duration": 1, "text": "A"}\n', "bad.jsonl"),
    "riff": text(b"RIFF\xff\xff\xff\xffWAVEfmt " + bytes(40), "bad.wav"),
    "flac": text(b"fLaC" + bytes(60), "bad.flac"),
    "tflite": text(b"\x1c\0\0\0TFL3" + bytes(200), "bad.tflite"),
    "run": incomplete_run("data: [1"),
    "damaged run": incomplete_run(yaml.safe_dump(CONFIG)),
}


def made(classes: dict[str, Callable[[Path], str]], folder: Path) -> Iterator[tuple[str, str]]:
    for name, make in classes.items():
        own = folder / name.replace(" ", "-")
        own.mkdir()
        yield name, make(own)
