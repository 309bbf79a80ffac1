"""Batches of utterances of similar length, so that little of a batch is padding."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfconformer.data import records
from tfconformer.data.config import DataConfig

# Ratio of a bucket's bounds: at most a fifth of a batch is padding, a tenth on average.
_RATIO = 1.25
# Below this share of the longest utterance, lengths are no longer told apart.
_SHORTEST_SHARE = 1 / 16


@dataclass(frozen=True)
class LengthBuckets:
    """Which utterances are used and how they are grouped, in samples.

    Attributes:
      shortest: shortest utterance used.
      longest: longest, likewise.
      batch_samples: bound on a batch with its padding; a longer utterance is a batch of its own.
    """

    shortest: int
    longest: int
    batch_samples: int

    @classmethod
    def from_config(cls, data: DataConfig, sample_rate: int) -> LengthBuckets:
        """The buckets of a training configuration."""
        return cls(
            shortest=math.ceil(data.min_duration * sample_rate),
            longest=int(data.max_duration * sample_rate),
            batch_samples=int(data.batch_seconds * sample_rate),
        )

    def bounds(self) -> list[int]:
        """Longest length of each bucket, ascending; the last is `longest`."""
        count = math.floor(math.log(1 / _SHORTEST_SHARE, _RATIO)) + 1
        return sorted({max(1, int(self.longest / _RATIO**i)) for i in range(count)})

    def batch_sizes(self) -> list[int]:
        """Utterances per batch of each bucket."""
        return [max(1, self.batch_samples // bound) for bound in self.bounds()]

    def used(self, samples: Iterable[int]) -> np.ndarray:
        """Those of the lengths that are within the bounds."""
        lengths = np.fromiter(samples, np.int64)
        return lengths[(lengths >= self.shortest) & (lengths <= self.longest)]

    def batch_count(self, samples: Iterable[int]) -> int:
        """Number of batches that `batches` makes of utterances of these lengths, in whatever order they come."""
        bucket = np.searchsorted(self.bounds(), self.used(samples))
        sizes = np.asarray(self.batch_sizes())
        return int(np.sum(-(-np.bincount(bucket, minlength=len(sizes)) // sizes)))

    def batches(self, serialized: tf.data.Dataset) -> tf.data.Dataset:
        """Serialized records -> [batch] strings of similar length; the last of a bucket may be smaller."""
        dataset = serialized.map(lambda record: (record, records.parse_samples(record)))
        dataset = dataset.filter(lambda _, samples: (samples >= self.shortest) & (samples <= self.longest))
        dataset = dataset.bucket_by_sequence_length(
            lambda _, samples: samples,
            bucket_boundaries=[bound + 1 for bound in self.bounds()],
            bucket_batch_sizes=[*self.batch_sizes(), 1],  # the last, of what is longer, stays empty
        )
        return dataset.map(lambda batch, _: batch)
