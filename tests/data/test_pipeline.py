from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from tfconformer.data.config import AugmentConfig, DataConfig, TokenizerConfig
from tfconformer.data.manifest import read_manifest
from tfconformer.data.pipeline import (
    Replicas,
    batches_per_pass,
    evaluation_batches,
    evaluation_utterances,
    training_dataset,
)
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.errors import InputError
from tfconformer.features.config import FeatureConfig
from tfconformer.features.log_mel import frame_count, log_mel

FEATURES = FeatureConfig(mel_bins=20)
Batch = tuple[np.ndarray, np.ndarray, np.ndarray]


def config(augment: AugmentConfig | None = None, **changes: float) -> DataConfig:
    settings = {"batch_seconds": 8.0, "max_duration": 4.0, "shuffle_buffer": 12} | changes
    return DataConfig(train=(), dev=(), augment=augment, **settings)


def draw(dataset: tf.data.Dataset, count: int) -> list[Batch]:
    return [(mel.numpy(), frames.numpy(), labels.numpy()) for (mel, frames), labels in dataset.take(count)]


def texts(batch: Batch, tokenizer: Tokenizer) -> list[str]:
    return [tokenizer.decode([i for i in row if i >= 0]) for row in batch[2].tolist()]


def assert_equal(left: list[Batch], right: list[Batch]) -> None:
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def differ(left: list[Batch], right: list[Batch]) -> bool:
    return any(a.shape != b.shape or np.any(a != b) for (a, *_), (b, *_) in zip(left, right, strict=True))


def test_every_pass_has_every_utterance_once(shards: list[Path], manifest: Path, tokenizer: Tokenizer) -> None:
    data = config()
    per_pass = batches_per_pass(shards, FEATURES, data)
    batches = draw(training_dataset(shards, tokenizer, FEATURES, data, 1), 3 * per_pass)
    expected = sorted(utterance.text for utterance in read_manifest(manifest))
    orders = []
    for start in (0, per_pass, 2 * per_pass):
        drawn = [text for batch in batches[start : start + per_pass] for text in texts(batch, tokenizer)]
        assert sorted(drawn) == expected
        orders.append(drawn)
    assert orders[0] != orders[1] != orders[2]


@pytest.mark.parametrize("features", [FEATURES, FeatureConfig(kind="waveform")], ids=["log_mel", "waveform"])
def test_features_and_labels_are_those_of_the_files(
    shards: list[Path], manifest: Path, tokenizer: Tokenizer, features: FeatureConfig
) -> None:
    sources = {utterance.text: utterance.audio_filepath for utterance in read_manifest(manifest)}
    data = config()
    for batch in draw(training_dataset(shards, tokenizer, features, data, 1), batches_per_pass(shards, features, data)):
        values, frames, labels = batch
        assert (values.dtype, frames.dtype, labels.dtype) == (np.float32, np.int32, np.int32)
        assert values.shape[1] == frames.max()
        for row, text in enumerate(texts(batch, tokenizer)):
            waveform, _ = soundfile.read(sources[text], dtype="float32")
            is_waveform = features.kind == "waveform"
            assert frames[row] == (len(waveform) if is_waveform else frame_count(len(waveform), FEATURES))
            expected = waveform[:, np.newaxis] if is_waveform else log_mel(waveform, FEATURES)
            # Batched and single FFTs and matrix products may round differently, Vorbis is decoded by another library.
            np.testing.assert_allclose(values[row, : frames[row]], expected, rtol=0, atol=1e-3)
            np.testing.assert_array_equal(values[row, frames[row] :], 0)
            ids = tokenizer.encode(text)
            assert labels[row].tolist() == ids + [-1] * (labels.shape[1] - len(ids))


@pytest.mark.parametrize("total", [2, 5])
def test_the_parts_of_replicas_make_up_each_batch(shards: list[Path], tokenizer: Tokenizer, total: int) -> None:
    data = config()
    count = batches_per_pass(shards, FEATURES, data)
    whole = draw(training_dataset(shards, tokenizer, FEATURES, data, 1), count)
    # A process of one replica and one of all others, whose parts come in turn.
    one = draw(training_dataset(shards, tokenizer, FEATURES, data, 1, replicas=Replicas(total, 0, 1)), count)
    rest = draw(
        training_dataset(shards, tokenizer, FEATURES, data, 1, replicas=Replicas(total, 1, total - 1)),
        count * (total - 1),
    )
    filled = 0
    for index, (mel, frames, labels) in enumerate(whole):
        parts = [one[index], *rest[index * (total - 1) : (index + 1) * (total - 1)]]
        assert {len(part[0]) for part in parts} == {-(-len(frames) // total)}
        for row in range(total * len(parts[0][0])):
            part = [array[row // total] for array in parts[row % total]]
            if row >= len(frames):
                filled += 1
                assert part[1] == 0 and not part[0].any() and (part[2] == -1).all()
                continue
            assert part[1] == frames[row]
            # Other batches round matrix products of the front end otherwise.
            np.testing.assert_allclose(part[0][: frames[row]], mel[row, : frames[row]], rtol=0, atol=1e-3)
            assert [i for i in part[2] if i >= 0] == [i for i in labels[row] if i >= 0]
    assert filled


AUGMENTED = AugmentConfig(speeds=(0.9, 1.0, 1.1), ramp_batches=(3, 20))


def test_the_same_arguments_give_the_same_arrays(shards: list[Path], tokenizer: Tokenizer) -> None:
    data = config(AUGMENTED)
    tf.random.set_seed(1)
    first = draw(training_dataset(shards, tokenizer, FEATURES, data, 5), 40)
    tf.random.set_seed(2)
    assert_equal(draw(training_dataset(shards, tokenizer, FEATURES, data, 5), 40), first)
    assert differ(draw(training_dataset(shards, tokenizer, FEATURES, data, 6), 40), first)


def test_a_restart_continues_exactly(shards: list[Path], tokenizer: Tokenizer) -> None:
    data, seed = config(AUGMENTED), 0
    per_pass = batches_per_pass(shards, FEATURES, data)
    whole = draw(training_dataset(shards, tokenizer, FEATURES, data, seed), 2 * per_pass + 8)
    for start in (per_pass - 1, per_pass, per_pass + 3):
        continued = draw(training_dataset(shards, tokenizer, FEATURES, data, seed, start_batch=start), 8)
        assert_equal(continued, whole[start : start + 8])


def test_a_late_start_reads_no_earlier_pass(shards: list[Path], tokenizer: Tokenizer) -> None:
    # A billion batches: only jumping can get there.
    assert len(draw(training_dataset(shards, tokenizer, FEATURES, config(AUGMENTED), 0, start_batch=10**9), 1)) == 1


def test_augmentation_begins_where_the_ramp_does(shards: list[Path], tokenizer: Tokenizer) -> None:
    plain = draw(training_dataset(shards, tokenizer, FEATURES, config(), 5), 12)
    late = draw(training_dataset(shards, tokenizer, FEATURES, config(AugmentConfig(ramp_batches=(6, 6))), 5), 12)
    assert_equal(late[:6], plain[:6])
    for (mel, frames, labels), (mel_plain, _, labels_plain) in zip(late[6:], plain[6:], strict=True):
        np.testing.assert_array_equal(labels, labels_plain)
        assert mel.shape != mel_plain.shape or np.any(mel != mel_plain)
        for row, count in zip(mel, frames, strict=True):
            np.testing.assert_array_equal(row[count:], 0)


def test_speeds_change_the_lengths(shards: list[Path], manifest: Path, tokenizer: Tokenizer) -> None:
    augment = AugmentConfig(speeds=(0.8, 1.25), noise=None, spec_augment=None)
    durations = {utterance.text: utterance.duration for utterance in read_manifest(manifest)}
    data = config(augment)
    seen = set()
    for batch in draw(training_dataset(shards, tokenizer, FEATURES, data, 2), batches_per_pass(shards, FEATURES, data)):
        for frames, text in zip(batch[1], texts(batch, tokenizer), strict=True):
            samples = round(durations[text] * FEATURES.sample_rate)
            (speed,) = (s for s in (0.8, 1.25) if frames == frame_count(int(samples / s), FEATURES))
            seen.add(speed)
    assert seen == {0.8, 1.25}


@pytest.mark.parametrize("augment", [None, AugmentConfig()])
def test_batches_of_one(shards: list[Path], tokenizer: Tokenizer, augment: AugmentConfig | None) -> None:
    data = config(augment, batch_seconds=0.1)
    assert batches_per_pass(shards, FEATURES, data) == 36
    for mel, frames, labels in draw(training_dataset(shards, tokenizer, FEATURES, data, 1), 36):
        assert mel.shape == (1, frames[0], 20) and labels.shape[0] == 1 and labels.min() > 0


def test_durations_out_of_bounds_are_left_out(shards: list[Path], tokenizer: Tokenizer) -> None:
    data = config(min_duration=1.0, max_duration=2.0)
    for _, frames, _ in draw(training_dataset(shards, tokenizer, FEATURES, data, 1), 10):
        assert frames.min() >= frame_count(16000, FEATURES) and frames.max() <= frame_count(32000, FEATURES)


def test_transcripts_beyond_the_tokenizer(shards: list[Path]) -> None:
    tokenizer = Tokenizer.train(["WORD ABCDE"], TokenizerConfig())
    with pytest.raises(InputError, match=r"train-0000\d-of-00004.*characters that the tokenizer lacks: 'F'"):
        training_dataset(shards, tokenizer, FEATURES, config(), 1)


def test_no_utterance_of_the_right_length(shards: list[Path], tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match=r"4 training shards hold no utterance of 3\.5 to 4 s"):
        training_dataset(shards, tokenizer, FEATURES, config(min_duration=3.5), 1)


def test_another_sample_rate(shards: list[Path], tokenizer: Tokenizer) -> None:
    features = FeatureConfig(sample_rate=8000, upper_edge=3800)
    with pytest.raises(InputError, match=r"holds audio at 16000 Hz, features\.sample_rate is 8000 Hz"):
        training_dataset(shards, tokenizer, features, config(), 1)
    with pytest.raises(InputError, match="holds audio at 16000 Hz"):
        evaluation_batches(shards, features)


def test_evaluation_has_every_utterance_once_in_a_fixed_order(shards: list[Path], manifest: Path) -> None:
    sources = {Path(utterance.audio_filepath).stem: utterance for utterance in read_manifest(manifest)}
    orders = []
    for _ in range(2):
        order = []
        for (mel, frames), batch_texts, ids in evaluation_batches(shards, FEATURES, batch_seconds=8):
            assert mel.shape[0] * (mel.shape[1] - 1) * FEATURES.frame_step <= 8 * FEATURES.sample_rate
            for row, name in enumerate(ids.numpy().astype(str)):
                assert batch_texts[row].numpy().decode() == sources[name].text
                waveform, _ = soundfile.read(sources[name].audio_filepath, dtype="float32")
                # As in training.
                np.testing.assert_allclose(mel[row, : frames[row]], log_mel(waveform, FEATURES), rtol=0, atol=1e-3)
                order.append(name)
        orders.append(order)
    assert sorted(orders[0]) == sorted(sources)
    assert orders[0] == orders[1]


def test_evaluation_utterances_come_in_the_order_of_the_manifest(shards: list[Path], manifest: Path) -> None:
    for found, utterance in zip(evaluation_utterances(shards), read_manifest(manifest), strict=True):
        expected, _ = soundfile.read(utterance.audio_filepath, dtype="float32")
        assert (found.text, found.id) == (utterance.text, Path(utterance.audio_filepath).stem)
        # Two Vorbis decoders; the lossless formats are equal.
        tolerance = 1e-6 if utterance.audio_filepath.endswith("ogg") else 0
        np.testing.assert_allclose(found.waveform, expected, rtol=0, atol=tolerance)
