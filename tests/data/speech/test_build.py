from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tfconformer
from tests.support.processes import is_running, wait_for
from tfconformer.data.manifest import read_manifest
from tfconformer.data.speech import partition
from tfconformer.data.speech.build import build
from tfconformer.data.speech.chapters import SyntheticChapter
from tfconformer.data.speech.debian_packages import DebianPackage
from tfconformer.data.speech.plan import Plan
from tfconformer.data.speech.synthesis import Voice, missing
from tfconformer.data.speech.voices import Speaker
from tfconformer.errors import InputError

ESPEAK = [Voice("espeak-ng", "en-us+m3"), Voice("espeak-ng", "en-gb+f2")]
pytestmark = pytest.mark.skipif(bool(missing(ESPEAK)), reason="espeak-ng is not installed")


def chapter(subset: str, number: int, texts: tuple[str, ...], every: int = 2) -> SyntheticChapter:
    return SyntheticChapter(subset, number, f"speaker {number}", Speaker(number, ESPEAK[number % 2]), texts, every, 0)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    package = DebianPackage("game", "1.0", tmp_path / "root")
    package.documentation.mkdir(parents=True)
    (package.documentation / "copyright").write_text("free")
    train = [
        chapter("train-synthetic", n, (f"OPEN DOOR {word}", f"CLOSE DOOR {word}"))
        for n, word in ((1, "ONE"), (2, "TWO"))
    ]
    return Plan((*train, chapter("test-clean", 3, ("LOCK THE DOOR", "PLEASE WAIT"))), (package,))


def test_a_corpus_is_complete_sound_and_documented(plan: Plan, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    manifests = build(plan, corpus)
    assert [manifest.name for manifest in manifests] == ["test-clean.jsonl", "train-synthetic.jsonl"]
    subsets = {manifest.stem: read_manifest(manifest) for manifest in manifests}
    assert partition.leaks(subsets) == []
    assert [u.text for u in subsets["train-synthetic"]] == [
        "OPEN DOOR ONE", "CLOSE DOOR ONE", "OPEN DOOR TWO", "CLOSE DOOR TWO",
    ]  # fmt: skip
    for utterance in (u for part in subsets.values() for u in part):
        audio = Path(utterance.audio_filepath)
        (provenance,) = audio.parent.glob("*.provenance.jsonl")
        records = {record["audio"]: record for record in map(json.loads, provenance.read_text().splitlines())}
        assert records[audio.name]["source"].startswith("espeak-ng ")
        assert records[audio.name]["licence"] == "GPL-3.0-or-later"
        degraded = "noise" in records[audio.name]["detail"]
        assert degraded == bool(re.search(r"-0001\.flac$", audio.name)), "every second one is degraded"
    assert (corpus / "SOURCES/game/copyright").read_text() == "free"
    assert "MODIFIED VERSION" in (corpus / "SOURCES/game/NOTICE.txt").read_text()


def test_a_second_run_makes_only_what_is_missing_and_the_same(plan: Plan, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    build(plan, corpus)
    files = sorted(corpus.rglob("*.flac"))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
    removed = plan.chapters[1].folder(corpus)
    for path in removed.iterdir():
        path.unlink()
    build(plan, corpus)
    for path in files:
        assert path.read_bytes() == before[path][0]
        assert (path.stat().st_mtime_ns == before[path][1]) == (path.parent != removed)


def test_a_folder_with_leaking_speech_is_an_input_error(plan: Plan, tmp_path: Path) -> None:
    build(plan, tmp_path / "corpus")
    leaking = Plan((chapter("test-other", 9, ("OPEN DOOR ONE",)),))
    with pytest.raises(InputError, match=r"mixes training and test data.*share 1 sentences, such as 'OPEN DOOR ONE'"):
        build(leaking, tmp_path / "corpus")


def test_a_killed_build_takes_its_workers_along_and_can_be_continued(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    script = tmp_path / "forever.py"
    script.write_text(
        "from pathlib import Path\n"
        "from tfconformer.data.speech.build import build\n"
        "from tfconformer.data.speech.chapters import SyntheticChapter\n"
        "from tfconformer.data.speech.plan import Plan\n"
        "from tfconformer.data.speech.synthesis import Voice\n"
        "from tfconformer.data.speech.voices import Speaker\n"
        "def chapter(number, count):\n"
        "    speaker = Speaker(number, Voice('espeak-ng', 'en-us+m3'))\n"
        "    return SyntheticChapter('train-x', number, 'x', speaker, ('WAIT FOR ME',) * count, 0, 0)\n"
        "if __name__ == '__main__':\n"
        f"    build(Plan((chapter(1, 1), chapter(2, 100000))), Path({str(corpus)!r}))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(tfconformer.__file__).parents[1])}
    process = subprocess.Popen([sys.executable, str(script)], env=environment)
    first = chapter("train-x", 1, ()).folder(corpus)
    try:
        wait_for(first.is_dir)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert children
    finally:
        process.kill()
        process.wait()
    wait_for(lambda: not any(is_running(child) for child in children))
    second = chapter("train-x", 2, ("HERE I AM",))
    (manifest,) = build(Plan((second,)), corpus)
    assert sorted(u.text for u in read_manifest(manifest)) == ["HERE I AM", "WAIT FOR ME"]
