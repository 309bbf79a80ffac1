"""Mutates valid inputs and reads them; every outcome but a result or one sentence is a fault.

A case is a pure function of (seed, number), so that the message of a fault replays it.
"""

from __future__ import annotations

import io
import json
import logging
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from tfconformer.config import load_config
from tfconformer.data.audio import MonoMix, measure_seconds, read_audio
from tfconformer.data.librispeech import read_subset
from tfconformer.data.manifest import read_manifest
from tfconformer.errors import InputError

_RATE = 16000
_WAVE = np.random.default_rng(0).uniform(-0.3, 0.3, 800).astype(np.float32)
_LINE = {"audio_filepath": "a.wav", "duration": 1.5, "text": "ONE TWO", "speaker": "s", "offset": 0.25, "id": "x"}
_YAML = """extends: base.yaml
data: {train: [a], dev: [b], augment: {speeds: [0.9, 1.0], spec_augment: null}}
model: &m {blocks: 2, dim: 8, heads: 2, subsampling_channels: 4}
training:
  epochs: 1
  learning_rate: 0.001
  initial_weights: runs/float
quantization: [{layers: ".*", spec: {bits: 2, sparsity: "2:4", block_size: 64}}]
"""
_BASE = "training: {steps_per_epoch: 1, epochs: 2, learning_rate: 1}\n"
# What public reports of other programs' faults were about.
_SNIPPETS = [
    b"\xe2\x80\xa8", b"\xe2\x80\xa9", b"\xc2\x85", b"\xef\xbb\xbf", b"\t", b"\r", b"\r\n", b"\n", b"\0", b"\x1c",
    b"\v", b"\xff", b"\\ud800", b"\\u0000", b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1", b"0", b"1e-400",
    b"9" * 400, b"null", b"true", b"[]", b"{}", b"[" * 200, b"{\"a\":" * 100, b"\"", b"'", b",", b":", b"2:4",
    b"0x10", b"2024-11-29", b"2024-99-99", b"1:30", b"&a ", b"*a", b"*m", b"<<: *m", b"!!int ",
    b"!!python/object:os.system ", b"!!binary ", b"!!timestamp ", b"? ", b"- ", b"# ", b"|", b">", b"%YAML 9.9",
    b"---", b"...", b"~", b".inf", b".nan", b"on", b"=", b"@", b"`", b"../" * 40, b"/dev/null", b"n" * 300, b"offset",
    b"duration", b"text", b"audio_filepath", b"training", b"model", b"quantization", b"extends",
]  # fmt: skip


def mutated(content: bytes, generator: random.Random) -> bytes:
    """Returns the content after one to four random edits."""
    data = bytearray(content)
    for _ in range(generator.randint(1, 4)):
        at, end = sorted(generator.choices(range(len(data) + 1), k=2))
        edit = generator.randrange(6)
        if edit == 0:
            data[at:at] = generator.choice(_SNIPPETS)
        elif edit == 1:
            data[at : at + generator.randint(0, 12)] = generator.choice(_SNIPPETS)
        elif edit == 2:
            del data[at : min(end, at + 40)]
        elif edit == 3:
            data[at:at] = data[at : min(end, at + 60)]
        elif edit == 4:
            del data[at if generator.random() < 0.3 else len(data) :]
        elif data:
            data[generator.randrange(len(data))] = generator.randrange(256)
    return bytes(data)


def _manifest(folder: Path, generator: random.Random) -> None:
    lines = [json.dumps(_LINE | {"id": f"x{i}"}) for i in range(generator.randint(1, 3))]
    path = folder / "m.jsonl"
    path.write_bytes(mutated("\n".join(lines).encode(), generator))
    for utterance in read_manifest(path):
        assert utterance.name and utterance.duration >= 0, utterance


def _transcript(folder: Path, generator: random.Random) -> None:
    chapter = folder / "dev" / "1" / "2"
    if not chapter.is_dir():
        chapter.mkdir(parents=True)
        for i in range(3):
            soundfile.write(chapter / f"1-2-{i}.flac", _WAVE, _RATE)
    (chapter / "1-2.trans.txt").write_bytes(mutated(b"1-2-0 ZERO\n1-2-1\tONE\n1-2-2 TWO THREE\n", generator))
    utterances, skipped = read_subset(folder / "dev")
    assert len(utterances) + sum(skipped.values()) >= 3, skipped
    assert all(utterance.text.strip() for utterance in utterances)


def _configuration(folder: Path, generator: random.Random) -> None:
    (folder / "base.yaml").write_bytes(
        mutated(_BASE.encode(), generator) if generator.random() < 0.2 else _BASE.encode()
    )
    path = folder / "c.yaml"
    path.write_bytes(mutated(_YAML.encode(), generator) if generator.random() < 0.8 else _YAML.encode())
    overrides = [
        mutated(generator.choice([b"training.initial_weights=a", b"model.dim=16", b"data.train=[a, b]"]), generator)
        for _ in range(generator.randrange(3))
    ]
    load_config(path, [one.decode("utf-8", "surrogateescape") for one in overrides])


def _audio(folder: Path, generator: random.Random) -> None:
    kinds = [
        ("WAV", "PCM_16"),
        ("WAV", "FLOAT"),
        ("WAV", "GSM610"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("AIFF", "PCM_16"),
    ]
    kind, subtype = generator.choice(kinds)
    stream = io.BytesIO()
    soundfile.write(stream, _WAVE, 8000 if subtype == "GSM610" else _RATE, format=kind, subtype=subtype)
    content = stream.getvalue()
    header = 100 if generator.random() < 0.7 else len(content)  # most edits in the header
    content = mutated(content[:header], generator) + content[header:]
    path = folder / "a"
    path.write_bytes(content)
    start, seconds = (generator.random() * 0.1, 0.02) if generator.random() < 0.3 else (0.0, None)
    audio = read_audio(path, 40.0, start, seconds)
    assert np.isfinite(audio.samples).all() and audio.seconds <= 41
    MonoMix()(audio.samples)
    assert measure_seconds(path) >= 0


KINDS: dict[str, Callable[[Path, random.Random], None]] = {
    "manifest": _manifest,
    "transcript": _transcript,
    "configuration": _configuration,
    "audio": _audio,
}


def run(
    folder: Path, seed: int, first: int, count: int, should_stop: Callable[[], bool] = lambda: False
) -> Counter[str]:
    """Runs cases and returns the number of each outcome: "manifest read", "manifest refused", ...

    Args:
      folder: an empty folder for the inputs.
      seed: seed of all cases.
      first: number of the first case.
      count: number of cases.
      should_stop: function that ends the run early when it returns True.

    Raises:
      Exception: a case ended in another exception than an `InputError`; its note replays it.
    """
    logging.disable(logging.WARNING)
    outcomes: Counter[str] = Counter()
    try:
        for number in range(first, first + count):
            if should_stop():
                break
            generator = random.Random(f"{seed}/{number}")
            kind = generator.choice(list(KINDS))
            own = folder / kind
            own.mkdir(exist_ok=True)
            try:
                KINDS[kind](own, generator)
                outcomes[f"{kind} read"] += 1
            except InputError as error:
                outcomes[f"{kind} refused" if "\n" not in str(error) else f"{kind} refused in lines"] += 1
            except BaseException as error:
                error.add_note(f"--seed {seed} --first {number} --cases 1")
                raise
    finally:
        logging.disable(logging.NOTSET)
    return outcomes
