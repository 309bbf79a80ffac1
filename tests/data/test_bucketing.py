from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfconformer.data import records
from tfconformer.data.bucketing import LengthBuckets
from tfconformer.data.config import DataConfig

LENGTHS = np.random.default_rng(4).integers(1000, 260_000, 700)


def drawn(buckets: LengthBuckets, lengths: np.ndarray) -> list[np.ndarray]:
    """Lengths of the utterances of each batch."""
    serialized = [records.serialize(b"", int(n), 16000, "", "", "") for n in lengths]
    batches = buckets.batches(tf.data.Dataset.from_tensor_slices(serialized))
    return [records.parse(batch).samples.numpy() for batch in batches]


@pytest.mark.parametrize("batch_samples", [1, 150_000, 1_000_000])
def test_batches_are_bounded_and_counted(batch_samples: int) -> None:
    buckets = LengthBuckets(shortest=3000, longest=200_000, batch_samples=batch_samples)
    batches = drawn(buckets, LENGTHS)
    for batch in batches:
        assert len(batch) * batch.max() <= batch_samples or len(batch) == 1
    used = LENGTHS[(LENGTHS >= 3000) & (LENGTHS <= 200_000)]
    assert sorted(np.concatenate(batches)) == sorted(used)
    assert buckets.batch_count(LENGTHS) == len(batches)


def test_little_is_padding() -> None:
    batches = drawn(LengthBuckets(shortest=0, longest=260_000, batch_samples=1_000_000), LENGTHS)
    padded = sum(len(batch) * batch.max() for batch in batches)
    # Half a bucket's width of 20 % on average; 0.15 leaves room for the last batches of the buckets.
    assert 1 - LENGTHS.sum() / padded < 0.15


def test_the_bounds_themselves_are_used() -> None:
    buckets = LengthBuckets(shortest=100, longest=200, batch_samples=400)
    for length in buckets.bounds()[-3:]:
        fitting = 400 // length
        assert [len(batch) for batch in drawn(buckets, np.array([99, 201] + [length] * (fitting + 1)))] == [fitting, 1]
        assert buckets.batch_count([99, 201] + [length] * (fitting + 1)) == 2


def test_from_config() -> None:
    data = DataConfig(train=(), dev=(), batch_seconds=8, min_duration=0.5, max_duration=4)
    assert LengthBuckets.from_config(data, 16000) == LengthBuckets(8000, 64000, 128_000)
