"""Batches of utterances of similar length, which need little padding."""

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
# Utterances below this share of the longest one are all in the first bucket.
_SHORTEST_SHARE = 1 / 16


@dataclass(frozen=True)
class LengthBuckets:
    """The limits of utterances and batches; lengths in samples.

    Attributes:
      shortest: length of the shortest utterance used, at least 0.
      longest: length of the longest utterance used.
      batch_samples: largest size of a batch with its padding; a longer utterance is a batch of its own.
    """

    shortest: int
    longest: int
    batch_samples: int

    @classmethod
    def from_config(cls, data: DataConfig, sample_rate: int) -> LengthBuckets:
        """Returns the buckets of a configuration; `sample_rate` in Hz."""
        return cls(
            shortest=math.ceil(data.min_duration * sample_rate),
            longest=int(data.max_duration * sample_rate),
            batch_samples=int(data.batch_seconds * sample_rate),
        )

    def bounds(self) -> list[int]:
        """Returns the largest length of each bucket, ascending; the last is `longest`."""
        count = math.floor(math.log(1 / _SHORTEST_SHARE, _RATIO)) + 1
        return sorted({max(1, int(self.longest / _RATIO**i)) for i in range(count)})

    def batch_sizes(self) -> list[int]:
        """Returns the number of utterances in a batch of each bucket."""
        return [max(1, self.batch_samples // bound) for bound in self.bounds()]

    def used(self, samples: Iterable[int]) -> np.ndarray:
        """Returns the lengths that lie in [shortest, longest]."""
        lengths = np.fromiter(samples, np.int64)
        return lengths[(lengths >= self.shortest) & (lengths <= self.longest)]

    def batch_count(self, samples: Iterable[int]) -> int:
        """Returns the number of batches that `batches` makes of utterances of these lengths, in any order."""
        bucket = np.searchsorted(self.bounds(), self.used(samples))
        sizes = np.asarray(self.batch_sizes())
        return int(np.sum(-(-np.bincount(bucket, minlength=len(sizes)) // sizes)))

    def batches(self, serialized: tf.data.Dataset) -> tf.data.Dataset:
        """Groups serialized records into batches, [batch] string; the last batch of a bucket may be smaller."""
        dataset = serialized.map(lambda record: (record, records.parse_samples(record)))
        dataset = dataset.filter(lambda _, samples: (samples >= self.shortest) & (samples <= self.longest))
        dataset = dataset.bucket_by_sequence_length(
            lambda _, samples: samples,
            bucket_boundaries=[bound + 1 for bound in self.bounds()],
            bucket_batch_sizes=[*self.batch_sizes(), 1],  # the last bucket, for longer utterances, is empty
        )
        return dataset.map(lambda batch, _: batch)
