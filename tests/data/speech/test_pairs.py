from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from tfconformer.data import librispeech, records
from tfconformer.data.manifest import read_manifest
from tfconformer.data.shards import read_index, write_shards
from tfconformer.data.speech import pairs
from tfconformer.data.speech.sentences import split_of
from tfconformer.data.speech.synthesis import Voice, missing
from tfconformer.data.speech.voices import SPEAKERS, Speaker
from tfconformer.errors import InputError

SCRIPT = ["I HAVE NEVER SEEN SUCH A THING", "WHAT", "LET US GO HOME", "THE BOAT IS READY FOR YOU"]
TEXTS = {"train-pairs": ["OPEN THE DOOR", "CLOSE IT"], "dev-pairs": ["WAIT"], "test-pairs": ["GO ON"]}


def test_sentences_of_subsets_differ() -> None:
    texts = pairs.synthetic_texts(60, SCRIPT, seed=3)
    assert {name: len(found) for name, found in texts.items()} == {
        "train-pairs": 60, "dev-pairs": 60, "test-pairs": 240, "test-pairs-other": 120,
    }  # fmt: skip
    every = [text for found in texts.values() for text in found]
    assert len(set(every)) == len(every)
    # "WHAT" has one word; the others are fewer than a third.
    assert set(SCRIPT) & set(every) == set(SCRIPT) - {"WHAT"}
    for name, found in texts.items():
        assert {split_of(text) for text in set(found) - set(SCRIPT)} == {name.split("-")[0]}


def test_the_sample_has_sentences_of_the_corpus() -> None:
    texts = pairs.sample_texts()
    assert {name: len(found) for name, found in texts.items()} == {"train-pairs": 48, "dev-pairs": 6, "test-pairs": 6}
    every = pairs.synthetic_texts(60, [], seed=0)
    assert all(set(found) <= set(every[name]) for name, found in texts.items())


def test_training_sentences_have_several_sources_and_no_source_is_the_canonical_voice() -> None:
    texts = pairs.synthetic_texts(40, [], seed=0)
    chapters = pairs.source_chapters(texts, 3, seed=0)
    spoken = Counter((chapter.subset, text) for chapter in chapters for text in chapter.texts)
    assert spoken == Counter(
        {(name, text): 3 if name == "train-pairs" else 1 for name in texts for text in texts[name]}
    )
    voices = {name: {c.voice for c in chapters if c.subset == name} for name in texts}
    assert not voices["train-pairs"] & (voices["dev-pairs"] | voices["test-pairs"] | voices["test-pairs-other"])
    assert all(speaker.voice != pairs.CANONICAL for found in voices.values() for speaker in found)
    assert {c.degraded_every for c in chapters if c.subset == "train-pairs"} == {5}


def test_more_sources_than_speakers_are_refused() -> None:
    with pytest.raises(InputError, match="train-pairs has 70 speakers"):
        pairs.source_chapters({"train-pairs": ["GO"]}, 71, seed=0)


@pytest.fixture
def espeak_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    voices = [Voice("espeak-ng", f"en-us+{variant}") for variant in ("m1", "m2", "m3", "m4")]
    if missing([*voices, pairs.CANONICAL]):
        pytest.skip("espeak-ng or flite is not installed")
    first, second, third, fourth = (Speaker(number, voice) for number, voice in enumerate(voices, 1))
    speakers = {"train-synthetic": (first, second), "dev-clean": (third,), "test-clean": (fourth,)}
    monkeypatch.setattr(pairs, "SPEAKERS", SPEAKERS | speakers)


@pytest.mark.usefixtures("espeak_sources")
def test_a_corpus_of_pairs_becomes_shards_of_pairs(tmp_path: Path) -> None:
    manifests = pairs.build_pairs(tmp_path, TEXTS, sources=2, jobs=1)
    assert [manifest.stem for manifest in manifests] == [
        *("dev-pairs", "test-pairs", "train-pairs", "dev-canonical", "train-canonical")
    ]
    for pairs_of_set, voice in ((manifests[0], manifests[3]), (manifests[2], manifests[4])):
        spoken = {(u.text, u.target_filepath) for u in read_manifest(pairs_of_set)}
        assert sorted((u.text, u.audio_filepath) for u in read_manifest(voice)) == sorted(spoken)
    train = read_manifest(manifests[2])
    assert sorted((u.text, u.speaker) for u in train) == [
        ("CLOSE IT", "1"), ("CLOSE IT", "2"), ("OPEN THE DOOR", "1"), ("OPEN THE DOOR", "2"),
    ]  # fmt: skip
    by_text = {text: {u.target_filepath for u in train if u.text == text} for text in TEXTS["train-pairs"]}
    assert [len(targets) for targets in by_text.values()] == [1, 1]
    shards = write_shards(manifests[2], tmp_path / "shards", "train-pairs")
    (serialized,) = tf.data.TFRecordDataset([str(path) for path in shards]).batch(9)
    fields = records.parse(serialized)
    for row, utterance in enumerate(train):
        target, _ = soundfile.read(utterance.target_filepath, dtype="float32")
        assert np.abs(target).max() == pytest.approx(0.6, abs=2**-15)
        np.testing.assert_array_equal(records.decode_audio(fields.target[row]), target)
        longer = max(int(fields.samples[row]), len(target))
        assert longer == records.parse_samples(serialized[row]) == read_index(shards[0]).samples[row]


@pytest.mark.usefixtures("espeak_sources")
def test_a_recorded_canonical_voice(tmp_path: Path) -> None:
    for subset, texts in TEXTS.items():
        split = subset.split("-")[0]
        chapter = tmp_path / "recordings" / f"{split}-kathleen" / "1" / "2"
        chapter.mkdir(parents=True)
        (chapter / "1-2.trans.txt").write_text("".join(f"1-2-{i:04d} {text}\n" for i, text in enumerate(texts)))
        for number in range(len(texts)):
            soundfile.write(chapter / f"1-2-{number:04d}.flac", np.full(8000 + number, 0.1), 16000)
    targets = pairs.recorded_targets(tmp_path / "recordings", "kathleen")
    texts = {subset: [utterance.text for utterance in found] for subset, found in targets.items()}
    assert texts == TEXTS
    manifests = pairs.build_pairs(tmp_path / "pairs", texts, targets, sources=1, jobs=1)
    for manifest in manifests[:3]:
        for utterance in read_manifest(manifest):
            (target,) = [u for u in targets[manifest.stem] if u.text == utterance.text]
            assert Path(target.audio_filepath).samefile(utterance.target_filepath)
    with pytest.raises(InputError, match="train-nobody has no recordings"):
        pairs.recorded_targets(tmp_path / "recordings", "nobody")


def test_only_the_manifest_of_pairs_has_a_field_for_targets() -> None:
    plain = librispeech.Utterance("a.flac", 1.0, "A", "1")
    pair = librispeech.Utterance("a.flac", 1.0, "A", "1", "b.flac")
    assert "target_filepath" not in plain.record()
    assert pair.record()["target_filepath"] == "b.flac"
