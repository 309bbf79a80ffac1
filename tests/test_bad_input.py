"""Every command with each class of bad path, folder, file and value: one sentence and an exit status, no traceback."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.packed_layer import random_layer
from tests.support.small_files import FRAME, write_recognizer, write_test_set
from tests.support.tflite_builder import RecognizerBuilder
from tfconformer import cli

MODELS = Path(__file__).parents[1] / "models"
YAML = """
data: {train: [test-*.tfrecord], dev: [test-*.tfrecord]}
model: {blocks: 1, dim: 8, heads: 2, subsampling_channels: 4}
training: {epochs: 1, steps_per_epoch: 1, learning_rate: 0.001}
"""


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Valid words of every kind: `run`, `yaml`, `tflite`, `shards`, `wav`, `manifest`, `corpus`."""
    folder = tmp_path_factory.mktemp("good")
    write_recognizer(folder / "int4.tflite")
    write_test_set(folder, "test")
    (folder / "good.yaml").write_text(YAML)
    soundfile.write(folder / "good.wav", np.zeros(FRAME * 8), 16000)
    return {
        "run": str(MODELS / "tiny"),
        "yaml": str(folder / "good.yaml"),
        "tflite": str(folder / "int4.tflite"),
        "shards": f"{folder}/test-*.tfrecord",
        "wav": str(folder / "good.wav"),
        "manifest": str(folder / "test.jsonl"),
        "corpus": str(write_chapter(folder / "corpus")),
    }


def write_chapter(corpus: Path) -> Path:
    """Writes a corpus of one chapter of one utterance, laid out as LibriSpeech is."""
    chapter = corpus / "dev-clean" / "1" / "2"
    chapter.mkdir(parents=True)
    soundfile.write(chapter / "1-2-0.flac", np.zeros(FRAME * 8), 16000)
    (chapter / "1-2.trans.txt").write_text("1-2-0 ZERO\n")
    return corpus


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
    "damaged run": incomplete_run(YAML),
}
# Words that are no paths, by the option.
VALUES: dict[str, list[str]] = {
    "--set": [
        "model.dim",
        "model.dim=[1",
        "a.b.c=1",
        "=",
        "model.dim=.nan",
        "model=1",
        "quantization=5",
        "\0=1",
        "x=\udc80",
    ],
    "--budget": ["", "x", "-1MB", "nanMB", "1e999MB", "0kB", "\udc80"],
    "--keep-float": ["[", "(", "*"],
    "--only": ["[", "nothing"],
    "--max-seconds": ["nan", "inf", "0", "-1", "x", "1e999"],
    "--threads": ["0", "-1", "x", "99999999999999999999"],
    "--beam-width": ["0", "x"],
    "--bits": ["x"],
    "--rule1-min-trailing-silence": ["nan", "x"],
    "--hours": ["nan", "inf", "0", "x"],
    "--utterances": ["0", "x"],
}
# Commands, with {kind} for a valid word and {bad} for a bad file.
WITH_FILES = [
    "allocate {bad} {out}.yaml --budget 1MB",
    "bench {bad} --shards {shards}",
    "bench {tflite} --shards {bad}",
    "convert {bad} {out}.wav {tflite}",
    "convert {wav} {out}.wav {bad}",
    "data librispeech {bad} --output {out}",
    "data shards {bad} --output {out}",
    "data parrotron --output {out} --cache {out} --voice v --recordings {bad}",
    "evaluate {bad} --shards {shards}",
    "evaluate {tflite} --shards {bad}",
    "export {bad} {out}.tflite",
    "export {run} {out}.tflite --shards {bad}",
    "export {run} {out}.tflite --shards {shards} --post-training {bad}",
    "import {bad} {out}",
    "language-model {bad} {out}.arpa",
    "language-model {run} {out}.arpa --shards {bad}",
    "quantize {bad} {run} {out}",
    "quantize {yaml} {bad} {out}",
    "stream {bad} --wav {wav}",
    "stream {tflite} --wav {bad}",
    "summary {bad}",
    "transcribe {bad} {wav}",
    "transcribe {tflite} {bad}",
    "train {bad} {out}",
    "train {yaml} {out} --set training.initial_weights={bad}",
    'train {yaml} {out} --set data.train=["{bad}"]',
    "dev experiments {bad} --runs {out} --results {out}",
    "dev recipes {bad} --results {out} --page {out}.md",
    "dev report {bad} --output {out}.html",
    "dev stream-report float={bad} --shards {shards} --output {out}.json",
    "dev stream-report float={run} --shards {bad} --output {out}.json",
]
# Commands that load a model before they open the file.
WITH_PATHS = [
    "transcribe {tflite} {wav} --beam-width 2 --hotwords {bad}",
    "evaluate {run} --shards {shards} --beam-width 2 --language-model {bad}",
]
# Commands whose output, {bad}, cannot be written.
WITH_OUTPUTS = [
    "allocate {run} {bad}.yaml --budget 1MB",
    "bench {tflite} --shards {shards} --output {bad}",
    "data librispeech {corpus} --output {bad}",
    "data parrotron --output {bad} --cache {out}",
    "data sample --output {bad}",
    "data shards {manifest} --output {bad}",
    "data speech --output {bad} --cache {out} --subset dev-clean",
    "demo --output {bad}",
    "evaluate {tflite} --shards {shards} --output {bad}",
    "export {run} {bad}.tflite --shards {shards}",
    "import tests/importing/checkpoints/parakeet_ctc {bad}",
    "language-model {run} {bad} --shards {shards}",
    "train {yaml} {bad}",
    "dev config-reference {bad}",
    "dev probe --output {bad}",
    "dev stream-report float={run} --shards {shards} --output {bad}",
]
WITH_VALUES = [
    "train {yaml} {out} --set {bad}",
    "export {run} {out}.tflite --shards {shards} --set {bad}",
    "allocate {run} {out}.yaml --budget {bad}",
    "allocate {run} {out}.yaml --budget 1kB --keep-float {bad}",
    "evaluate {tflite} --shards {shards} --max-seconds {bad}",
    "evaluate {tflite} --shards {shards} --threads {bad}",
    "evaluate {tflite} --shards {shards} --beam-width {bad}",
    "data shards {manifest} --output {out} --max-seconds {bad}",
    "data speech --output {out} --cache {out} --hours {bad} --subset none",
    "export {run} {out}.tflite --shards {shards} --bits {bad}",
    "export {run} {out}.tflite --shards {shards} --utterances {bad}",
    "transcribe {tflite} {wav} --max-seconds {bad}",
    "transcribe {tflite} {wav} --beam-width {bad}",
    "stream {tflite} --wav {wav} --rule1-min-trailing-silence {bad}",
]
NO_FOLDER = ("below a file", "nul", "long name")


def outcome(words: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Runs the command line in this process; returns its exit status and the last line on standard error."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    error = capfd.readouterr().err
    assert "Traceback" not in error, error
    lines = [line for line in error.splitlines() if line.strip()]
    return int(end.value.code or 0), lines[-1] if lines else ""


def words_of(template: str, good: dict[str, str], bad: str, out: Path) -> list[str]:
    return [word.format(**good, bad=bad, out=out) for word in template.split()]


def require_one_sentence(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    status, line = outcome(words, capfd)
    assert status in (1, 2, 3), (words, status)
    assert line.startswith(("tfconformer: ", "Error: ")) and len(line) < 2000, (words, line)


def made(classes: dict[str, Callable[[Path], str]], folder: Path) -> Iterator[tuple[str, str]]:
    for name, make in classes.items():
        own = folder / name.replace(" ", "-")
        own.mkdir()
        yield name, make(own)


@pytest.mark.parametrize("template", WITH_FILES)
def test_bad_files(template, good, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _, bad in made(FILES, tmp_path):
        if bad or "initial_weights" not in template:  # of which the empty text is null
            require_one_sentence(words_of(template, good, bad, tmp_path / "out"), capfd)


@pytest.mark.parametrize("template", WITH_PATHS)
def test_bad_paths(template, good, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _, bad in made(NO_FILE, tmp_path):
        require_one_sentence(words_of(template, good, bad, tmp_path / "out"), capfd)


@pytest.mark.parametrize("template", WITH_OUTPUTS)
def test_bad_outputs(template, good, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, bad in made(NO_FILE, tmp_path):
        if name in NO_FOLDER:
            require_one_sentence(words_of(template, good, bad, tmp_path / "out"), capfd)


@pytest.mark.parametrize("template", WITH_VALUES)
def test_bad_values(template, good, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = template.split()
    for value in VALUES[words[words.index("{bad}") - 1]]:
        require_one_sentence(words_of(template, good, value, tmp_path / "out"), capfd)


def test_a_folder_that_takes_no_file_is_one_sentence(good, capfd):
    """A folder of the kernel, which not even root can write."""
    require_one_sentence(["evaluate", good["tflite"], "--shards", good["shards"], "--output", "/proc/self/x"], capfd)


def test_a_model_whose_tokenizer_is_another_one_s(tmp_path, good, capfd):
    write_recognizer(tmp_path / "other.tflite", layer=random_layer(np.random.default_rng(0), 4, FRAME, 99))
    require_one_sentence(["evaluate", str(tmp_path / "other.tflite"), "--shards", good["shards"]], capfd)


def test_an_option_of_generated_speech_is_none_of_a_recognizer(good, capfd):
    require_one_sentence(["evaluate", good["tflite"], "--shards", good["shards"], "--utterances", "2"], capfd)


def test_a_file_without_metadata(tmp_path, good, capfd):
    path = tmp_path / "plain.tflite"
    path.write_bytes(RecognizerBuilder([random_layer(np.random.default_rng(0), 4, FRAME, 9)]).finish())
    for words in (
        ["summary"],
        ["evaluate", "--shards", good["shards"]],
        ["stream", "--wav", good["wav"]],
        ["transcribe", good["wav"]],
    ):
        require_one_sentence([words[0], str(path), *words[1:]], capfd)
