from __future__ import annotations

import io
import json
import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from tfconformer import atomic
from tfconformer.data import records
from tfconformer.data.audio import measure_seconds
from tfconformer.data.manifest import Utterance, read_manifest, write_manifest
from tfconformer.data.shards import ShardOptions, Skip, read_index, write_shards
from tfconformer.errors import InputError

RATE = 16000


def read_all(shards: list[Path]) -> list[tuple[np.ndarray, int, str, str]]:
    """(waveform, samples, text, id) of every record."""
    rows = []
    for serialized in tf.data.TFRecordDataset([str(shard) for shard in shards]):
        audio, samples, text, utterance_id, _ = (field[0] for field in records.parse(serialized[tf.newaxis]))
        rows.append(
            (records.decode_audio(audio).numpy(), int(samples), text.numpy().decode(), utterance_id.numpy().decode())
        )
    return rows


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def copy_of(manifest: Path, folder: Path) -> Path:
    shutil.copytree(manifest.parent, folder, ignore=shutil.ignore_patterns("shards"))
    return folder / "manifest.jsonl"


@pytest.mark.parametrize("encoding", ["original", "wav"])
def test_shards_hold_the_manifest(manifest: Path, tmp_path: Path, encoding: str) -> None:
    shards = write_shards(manifest, tmp_path, "train", utterances_per_shard=10, options=ShardOptions(encoding=encoding))
    assert [shard.name for shard in shards] == [f"train-{i:05d}-of-00004.tfrecord" for i in range(4)]
    rows, utterances = read_all(shards), read_manifest(manifest)
    assert [len(read_index(shard).samples) for shard in shards] == [10, 10, 10, 6]
    for (waveform, samples, text, utterance_id), utterance in zip(rows, utterances, strict=True):
        expected, _ = soundfile.read(utterance.audio_filepath, dtype="float32")
        assert (text, utterance_id, samples) == (utterance.text, Path(utterance.audio_filepath).stem, len(expected))
        # Lossy files: decoded by another library, or rounded to 16 bits; lossless ones come back bit for bit.
        tolerance = 2**-16 + 1e-6 if utterance.audio_filepath.endswith(".ogg") else 0
        np.testing.assert_allclose(waveform, expected, rtol=0, atol=tolerance)


def test_original_keeps_the_bytes_of_flac_and_vorbis(manifest: Path, shards: list[Path]) -> None:
    files = [Path(utterance.audio_filepath) for utterance in read_manifest(manifest)]
    stored = [
        records.parse(serialized[tf.newaxis]).audio.numpy()[0]
        for serialized in tf.data.TFRecordDataset([str(shard) for shard in shards])
    ]
    for path, audio in zip(files, stored, strict=True):
        assert audio == path.read_bytes() or path.suffix == ".wav"


def test_the_index_tells_what_is_inside(manifest: Path, shards: list[Path]) -> None:
    utterances = read_manifest(manifest)
    indexes = [read_index(shard) for shard in shards]
    assert [n for index in indexes for n in index.samples] == [round(u.duration * RATE) for u in utterances]
    assert indexes[0].characters == "".join(sorted({c for u in utterances[:10] for c in u.text}))
    assert all(index.sample_rate == RATE and index.skipped == () for index in indexes)


def test_a_second_run_writes_nothing(manifest: Path, tmp_path: Path) -> None:
    shards = write_shards(manifest, tmp_path, "train", utterances_per_shard=10)
    before = state(tmp_path)
    assert write_shards(manifest, tmp_path, "train", utterances_per_shard=10) == shards
    assert state(tmp_path) == before


KILLED_RUN = """
import os, sys
from tfconformer.data import records, shards
serialize, count = records.serialize, 0
def dying(*args):
    global count
    count += 1
    if count > 25:
        os._exit(9)
    return serialize(*args)
records.serialize = dying
shards.write_shards(sys.argv[1], sys.argv[2], "train", utterances_per_shard=10)
"""


def test_a_killed_run_continues(manifest: Path, shards: list[Path], tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED_RUN, manifest, tmp_path], check=False, capture_output=True)
    assert killed.returncode == 9
    before = state(tmp_path)
    assert sum(name.startswith("train") and name.endswith(".tfrecord") for name in before) == 2
    resumed = write_shards(manifest, tmp_path, "train", utterances_per_shard=10)
    after = state(tmp_path)
    for name, unchanged in before.items():
        assert name.endswith(".partial") or after[name] == unchanged
    assert set(after) == {path.name for shard in resumed for path in (shard, shard.with_suffix(".json"))}
    assert [shard.read_bytes() for shard in resumed] == [shard.read_bytes() for shard in shards]


def test_a_shard_without_its_index_is_written_again(manifest: Path, shards: list[Path], tmp_path: Path) -> None:
    first = write_shards(manifest, tmp_path, "train", utterances_per_shard=10)[0]
    first.write_bytes(b"half")
    first.with_suffix(".json").unlink()
    write_shards(manifest, tmp_path, "train", utterances_per_shard=10)
    assert first.read_bytes() == shards[0].read_bytes()


def _other_text(manifest: Path) -> None:
    manifest.write_text(manifest.read_text().replace('"CA ', '"OTHER '))


def _other_audio(manifest: Path) -> None:
    shutil.copy(manifest.parent / "u14.ogg", manifest.parent / "u11.ogg")


@pytest.mark.parametrize("change", [_other_text, _other_audio])
def test_only_what_changed_is_written_again(manifest: Path, tmp_path: Path, change: Callable[[Path], None]) -> None:
    own = copy_of(manifest, tmp_path / "corpus")
    shards = write_shards(own, tmp_path / "shards", "train", utterances_per_shard=10)
    before = state(tmp_path / "shards")
    change(own)
    write_shards(own, tmp_path / "shards", "train", utterances_per_shard=10)
    after = state(tmp_path / "shards")
    assert [before[shard.name][0] != after[shard.name][0] for shard in shards] == [False, True, False, False]
    assert [before[shard.name] != after[shard.name] for shard in shards] == [False, True, False, False]


def test_a_shorter_manifest_leaves_no_old_shard(manifest: Path, tmp_path: Path) -> None:
    manifest = copy_of(manifest, tmp_path / "corpus")
    write_shards(manifest, tmp_path, "train", utterances_per_shard=10)
    other = write_shards(manifest, tmp_path, "train-other", utterances_per_shard=36)
    write_manifest(manifest, read_manifest(manifest)[:15])
    shards = write_shards(manifest, tmp_path, "train", utterances_per_shard=10)
    assert sorted(tmp_path.glob("*.tfrecord")) == sorted([*shards, *other])
    assert len(read_all(shards)) == 15


def test_other_options_write_everything_again(manifest: Path, tmp_path: Path) -> None:
    write_shards(manifest, tmp_path, "train", utterances_per_shard=40)
    shards = write_shards(manifest, tmp_path, "train", utterances_per_shard=40, options=ShardOptions(min_duration=2.0))
    assert all(samples >= 2.0 * RATE for _, samples, _, _ in read_all(shards))


def test_shards_of_another_manifest_are_not_replaced(manifest: Path, tmp_path: Path) -> None:
    write_shards(manifest, tmp_path / "shards", "train")
    before = state(tmp_path / "shards")
    other = copy_of(manifest, tmp_path / "other")
    with pytest.raises(InputError, match=r"holds the shards train of .*manifest.jsonl, not of .*other/manifest.jsonl"):
        write_shards(other, tmp_path / "shards", "train")
    assert state(tmp_path / "shards") == before
    write_shards(other, tmp_path / "shards", "dev")
    moved = other.rename(tmp_path / "other" / "moved.jsonl")
    write_shards(moved, tmp_path / "shards", "dev")
    assert {path for path, content in before.items()} < set(state(tmp_path / "shards"))


def wav(wave: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, wave, rate, format="WAV", subtype=subtype)
    return stream.getvalue()


def flac(wave: np.ndarray) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, wave, RATE, format="FLAC")
    return stream.getvalue()


def open_ended(content: bytes) -> bytes:
    """A FLAC file as an encoder leaves it that could not go back to write the length."""
    header = int.from_bytes(content[18:26], "big") >> 36 << 36
    return content[:18] + header.to_bytes(8, "big") + content[26:]


SECOND = np.random.default_rng(0).uniform(-0.3, 0.3, RATE).astype(np.float32)
BAD_FILES: dict[str, tuple[bytes, str]] = {
    "garbage.flac": (b"no audio at all " * 50, "corrupt audio"),
    "nothing.flac": (b"", "corrupt audio"),
    "half.flac": (flac(SECOND)[:9000], "corrupt audio"),
    "open-ended-half.flac": (open_ended(flac(SECOND))[:9000], "corrupt audio"),
    "zeroed.flac": (flac(SECOND)[:9000] + bytes(200) + flac(SECOND)[9200:], "corrupt audio"),
    "endless.flac": (open_ended(flac(np.tile(SECOND, 41))), "too long"),
    "scaled.wav": (wav(SECOND * 32768, subtype="FLOAT"), "audio far outside of [-1, 1]"),
    "opposite.wav": (wav(np.stack([SECOND, -SECOND], axis=1)), "channels of opposite phase"),
    "fast.wav": (wav(SECOND, rate=2**30), "corrupt audio"),
    "cut.wav": (wav(SECOND)[:9000], "truncated audio"),
    "infinite.wav": (wav(np.where(np.arange(RATE) == 7, np.inf, SECOND), subtype="FLOAT"), "corrupt audio"),
    "empty.wav": (wav(SECOND[:0]), "empty audio"),
    "three.wav": (wav(SECOND[:3]), "too short"),
    "hour.wav": (wav(np.zeros(RATE * 41, np.float32)), "too long"),
}


def test_what_cannot_be_used_is_skipped_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, (content, _) in BAD_FILES.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "good.wav").write_bytes(wav(SECOND))
    utterances = [Utterance(name, 1.0 if "cut" in name else 0.0, "TEXT", "s") for name in [*BAD_FILES, "good.wav"]]
    utterances += [Utterance("missing.wav", 1.0, "TEXT", "s"), Utterance("good.wav", 1.0, "  ", "s", id="silent")]
    utterances += [
        Utterance("nul\0.wav", 1.0, "TEXT", "s"),
        Utterance("good.wav", 1.0, "A \ud800", "s", id="surrogate"),
    ]
    lines = [json.dumps(utterance.record()) + "\n" for utterance in utterances]  # with the escape of a lone surrogate
    (tmp_path / "manifest.jsonl").write_text("".join(lines))
    with caplog.at_level(logging.INFO, logger="tfconformer"):
        shards = write_shards(tmp_path / "manifest.jsonl", tmp_path / "shards", "bad")
    expected = {name: reason for name, (_, reason) in BAD_FILES.items()}
    more = [("missing.wav", "unreadable file"), ("good.wav", "empty transcript"), ("nul\0.wav", "unreadable file")]
    more += [("good.wav", "text that is not Unicode")]
    named = (*expected.items(), *more)
    assert read_index(shards[0]).skipped == tuple(Skip(str(tmp_path / n), reason) for n, reason in named)
    assert len(read_all(shards)) == 1
    assert "bad: 18 utterances skipped: 7 corrupt audio, 2 too long" in caplog.text
    assert all(str(tmp_path / name) in caplog.text for name in expected)


def write(folder: Path, *utterances: Utterance, options: ShardOptions | None = None) -> list[Path]:
    write_manifest(folder / "manifest.jsonl", utterances)
    return write_shards(folder / "manifest.jsonl", folder / "shards", "x", options=options)


def test_a_flac_without_a_length_is_measured_by_decoding(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(open_ended(flac(SECOND)))
    shards = write(tmp_path, Utterance("a.flac", 1.0, "TEXT", "s"))
    ((waveform, samples, _, _),) = read_all(shards)
    assert samples == len(waveform) == RATE
    np.testing.assert_array_equal(waveform, np.rint(SECOND * 32768) / 32768)
    assert measure_seconds(tmp_path / "a.flac") == 1.0


def test_a_codec_of_telephones_is_converted(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", SECOND[:8000], 8000, subtype="GSM610")
    ((waveform, samples, _, _),) = read_all(write(tmp_path, Utterance("a.wav", 1.0, "TEXT", "s")))
    assert samples == len(waveform) == 2 * 8320  # whole frames of 160 samples


@pytest.mark.parametrize("content", [flac(SECOND), open_ended(flac(SECOND)), wav(SECOND)])
def test_offset_and_duration_choose_a_part_of_a_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    parts = [Utterance("a", 0.25, "ONE", "s", offset=0.0), Utterance("a", 0.5, "TWO", "s", offset=0.25)]
    beyond = Utterance("a", 0.5, "THREE", "s", offset=0.75)
    after = Utterance("a", 0.5, "FOUR", "s", offset=3.0)
    shards = write(tmp_path, *parts, beyond, after)
    expected = np.rint(SECOND * 32768) / 32768
    if content.startswith(b"RIFF"):  # which rounds otherwise
        expected, _ = soundfile.read(io.BytesIO(content), dtype="float32")
    (first, *_, first_id), (second, *_, second_id) = read_all(shards)
    np.testing.assert_array_equal(first, expected[:4000])
    np.testing.assert_array_equal(second, expected[4000:12000])
    assert (first_id, second_id) == ("a-00000000", "a-00000250")
    assert [skip.reason for skip in read_index(shards[0]).skipped][1] in ("truncated audio", "corrupt audio")
    assert len(read_index(shards[0]).skipped) == 2


def test_audio_longer_than_its_manifest_says_is_a_remark(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.wav").write_bytes(wav(SECOND))
    (tmp_path / "b.wav").write_bytes(wav(np.clip(8 * SECOND, -2, 2), subtype="FLOAT"))
    assert len(read_all(write(tmp_path, Utterance("a.wav", 0.5, "A", "s"), Utterance("b.wav", 1.0, "B", "s")))) == 2
    assert "a.wav is longer than its duration in the manifest" in caplog.text
    assert "used nevertheless: 1 longer than its duration in the manifest, 1 clipped" in caplog.text


def test_longer_utterances_are_an_option(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav(np.tile(SECOND, 41)))
    utterance = Utterance("a.wav", 41.0, "TEXT", "s")
    with pytest.raises(InputError, match="1 too long"):
        write(tmp_path, utterance)
    assert read_index(write(tmp_path, utterance, options=ShardOptions(max_duration=60))[0]).samples == (41 * RATE,)


def test_transcripts_can_be_normalized(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav(SECOND))
    shards = write(tmp_path, Utterance("a.wav", 1.0, "It’s 5, dear!", "s"), options=ShardOptions(normalize=True))
    assert read_all(shards)[0][2] == "IT'S FIVE DEAR"


def test_partial_files_of_living_writers_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav(SECOND))
    (tmp_path / "shards").mkdir()
    dead = tmp_path / "shards" / ".x-00000-of-00001.tfrecord.abc.partial"
    dead.touch()
    with atomic.atomic_path(tmp_path / "shards" / "x-00000-of-00001.tfrecord") as living:
        living.write_bytes(b"half")
        shards = write(tmp_path, Utterance("a.wav", 1.0, "TEXT", "s"))
        assert living.read_bytes() == b"half" and not dead.exists()
        living.write_bytes(shards[0].read_bytes())
    assert len(read_all(shards)) == 1


def test_a_folder_that_tensorflow_cannot_name_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav(SECOND))
    write_manifest(tmp_path / "manifest.jsonl", [Utterance("a.wav", 1.0, "TEXT", "s")])
    with pytest.raises(InputError, match="cannot write the shard"):
        write_shards(tmp_path / "manifest.jsonl", tmp_path / "a\udc80", "x")


def test_nothing_usable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav(SECOND[:5]))
    write_manifest(tmp_path / "manifest.jsonl", [Utterance("a.wav", 0.0, "TEXT", "s")])
    with pytest.raises(InputError, match=r"none of its 1 utterances is usable \(1 too short\)"):
        write_shards(tmp_path / "manifest.jsonl", tmp_path / "shards", "bad")


@pytest.mark.parametrize(
    ("rate", "channels", "subtype"), [(8000, 2, "PCM_16"), (44100, 1, "PCM_24"), (16000, 3, "FLOAT")]
)
def test_other_rates_channels_and_encodings_are_converted(
    tmp_path: Path, rate: int, channels: int, subtype: str
) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    soundfile.write(tmp_path / "a.wav", np.stack([tone] * channels, axis=1), rate, subtype=subtype)
    write_manifest(tmp_path / "manifest.jsonl", [Utterance("a.wav", 1.0, "TEXT", "s")])
    ((waveform, samples, _, _),) = read_all(write_shards(tmp_path / "manifest.jsonl", tmp_path / "shards", "x"))
    assert samples == len(waveform) == RATE
    middle = slice(1000, -1000)  # the resampler rings at the ends
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    # 16-bit rounding at both ends, plus the resampler's ripple below -60 dB.
    np.testing.assert_allclose(waveform[middle], expected[middle], rtol=0, atol=1e-3)


def test_wav_of_other_programs(tmp_path: Path) -> None:
    """An odd chunk before the data and an open-ended size: tensorflow-io alone returns nothing, or fails."""
    plain = wav(SECOND)
    chunk = b"LIST" + (13).to_bytes(4, "little") + b"INFOISFTxxxxx" + b"\0"
    odd = plain[:36] + chunk + plain[36:]
    streamed = plain[:4] + b"\xff" * 4 + plain[8:40] + b"\xff" * 4 + plain[44:]
    (tmp_path / "odd.wav").write_bytes(odd)
    (tmp_path / "streamed.wav").write_bytes(streamed)
    names = ["odd.wav", "streamed.wav"]
    write_manifest(tmp_path / "manifest.jsonl", [Utterance(name, 1.0, "TEXT", "s") for name in names])
    rows = read_all(write_shards(tmp_path / "manifest.jsonl", tmp_path / "shards", "x"))
    expected, _ = soundfile.read(io.BytesIO(plain), dtype="float32")
    assert len(rows) == 2
    for waveform, *_ in rows:
        np.testing.assert_array_equal(waveform, expected)


@pytest.mark.parametrize("content", [None, "{", "[]", json.dumps({"samples": []})])
def test_a_shard_needs_its_index(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "a.json").write_text(content)
    with pytest.raises(InputError, match=re.escape(str(tmp_path / "a"))):
        read_index(tmp_path / "a.tfrecord")
