"""Batches of features and labels from shards.

    serialized records -> shuffle -> batches of similar length -> decode -> augment -> features -> (features, labels)

Everything up to the batches happens on serialized records, so that a continued training skips its completed batches at
the cost of reading at most one pass. Every random choice is a pure function of (seed, pass) or (seed, batch, position
in the batch); the same arguments give the same arrays.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from tfconformer.data import augment, records
from tfconformer.data.bucketing import LengthBuckets
from tfconformer.data.config import AugmentConfig, DataConfig
from tfconformer.data.shards import ShardIndex, read_index
from tfconformer.data.sounds import Recordings, read_impulse_responses, read_recordings
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.errors import InputError
from tfconformer.features.config import FeatureConfig
from tfconformer.features.extract import extract_features
from tfconformer.features.log_mel import frame_count, scaled_log_mel
from tfconformer.features.pitch import track_pitch

LABEL_PADDING = -1
_INTERLEAVED_SHARDS = 8

Paths = Sequence[str | Path]


class Replicas(NamedTuple):
    """The replicas that share the batches of a training, and those among them that this process computes.

    Attributes:
      total: number of all replicas.
      first: number of this process's first one, counted from 0.
      local: number of this process's replicas.
    """

    total: int = 1
    first: int = 0
    local: int = 1


ALONE = Replicas()


class TargetFormat(Protocol):
    """The format of targets that are more than labels."""

    def targets(self, labels: tf.Tensor, fields: records.Records, /) -> Any:
        """Makes the targets of a batch from its labels [B, tokens] and records."""


class SpectrogramFormat(NamedTuple):
    """The format of the spectrograms of pairs.

    Attributes:
      features: the log-mel front end.
      frames_per_step: number of frames in a step.
      source_duration: stretches every spectrogram to the duration of its source.
    """

    features: FeatureConfig
    frames_per_step: int
    source_duration: bool = False

    def targets(self, labels: tf.Tensor, fields: records.Records) -> SpeechTarget:
        """Makes the targets of a batch of pairs."""
        return SpeechTarget(labels, *_target_steps(fields, self))


class WaveformFormat(NamedTuple):
    """The format of waveforms beside the spectrograms that they are made from.

    Attributes:
      features: the log-mel front end.
      look_ahead: frames of the spectrogram that are read before the samples of a frame are made.
    """

    features: FeatureConfig
    look_ahead: int

    def targets(self, labels: tf.Tensor, fields: records.Records) -> WaveformTarget:
        """Makes the targets of a batch of utterances, without their augmentation."""
        return _waveform_target(fields.audio, self)


class SpeechTarget(NamedTuple):
    """The targets of a batch of pairs.

    Attributes:
      labels: [B, tokens] int32, of the transcripts, padded with -1; empty in evaluation.
      spectrogram: [B, S, frames_per_step * bins] float32, the canonical voice's scaled log-mel spectrogram in steps,
        silence after the end; at least one step of it.
      steps: [B] int32, the steps with speech.
    """

    labels: tf.Tensor
    spectrogram: tf.Tensor
    steps: tf.Tensor


class WaveformTarget(NamedTuple):
    """A batch of speech as a vocoder makes it, silence after the end.

    Attributes:
      spectrogram: [B, T, bins] float32, scaled log-mel; frame t ends with sample (t + 1) * frame_step of the utterance.
      waveform: [B, T * frame_step] float32 in [-1, 1), delayed, so that hop t holds the first samples of the frame
        t - look_ahead.
      pitch: [B, T] float32, of the frames, in Hz, 0 without voice.
    """

    spectrogram: tf.Tensor
    waveform: tf.Tensor
    pitch: tf.Tensor


class EvaluationUtterance(NamedTuple):
    """A test utterance.

    Attributes:
      waveform: [samples] float32 in [-1, 1).
      text: transcript.
      id: name of the utterance.
    """

    waveform: np.ndarray
    text: str
    id: str


class EvaluationPair(NamedTuple):
    """A test utterance with the same sentence in the voice that speech is converted to.

    Attributes:
      source: [samples] float32 in [-1, 1).
      target: [samples] float32 in [-1, 1), or of no samples where the sentence is not there in that voice.
      text: transcript.
      id: name of the utterance.
    """

    source: np.ndarray
    target: np.ndarray
    text: str
    id: str


# There is no Python control flow on tensors in the pipeline, and conversion makes tracing slow.
@tf.autograph.experimental.do_not_convert
def training_dataset(
    shards: Paths,
    tokenizer: Tokenizer,
    features: FeatureConfig,
    data: DataConfig,
    seed: int,
    start_batch: int = 0,
    target: TargetFormat | None = None,
    replicas: Replicas = ALONE,
) -> tf.data.Dataset:
    """Returns an endless dataset of training batches.

    Each pass over the shards yields every utterance of [min_duration, max_duration] once, in another order. A batch
    holds utterances of similar length, at most `batch_seconds` with padding before augmentation (a slow speed factor
    makes it longer); an utterance longer than that is a batch of its own.

    Args:
      shards: files of `write_shards`.
      tokenizer: a tokenizer that covers every transcript of the shards.
      features: kind and settings of the features.
      data: durations, batch size, shuffling and augmentation.
      seed: seed of order and augmentation.
      start_batch: number of batches of the same dataset to skip, at least 0.
      target: format of the targets; None for labels alone.
      replicas: several replicas share a batch: replica r takes the utterances r, r + total, r + 2 total, ... of it. The
        dataset holds the parts of this process's replicas in turn. All parts of a batch have as many utterances: a
        shorter one is filled up with an utterance without frames and labels.

    Returns:
      A dataset of ((features [batch, frames, mel] float32, zero beyond the lengths; lengths [batch] int32, in frames),
      labels [batch, tokens] int32 padded with -1, or the targets of the format).

    Raises:
      InputError: a shard has no index or another sample rate, no utterance is left, transcripts have characters that
        the tokenizer lacks, recordings for augmentation cannot be read, or several replicas train a vocoder.
    """
    if replicas.total > 1 and isinstance(target, WaveformFormat):
        raise InputError("a vocoder is trained with --replicas 1: its losses count the utterances that fill up a part")
    for shard in shards:
        _check(shard, features, tokenizer)
    per_pass = batches_per_pass(shards, features, data)
    buckets = LengthBuckets.from_config(data, features.sample_rate)
    paths = [str(path) for path in shards]
    augmentation = _Augmentation.load(data.augment, features.sample_rate) if data.augment else None

    def one_pass(number: tf.Tensor) -> tf.data.Dataset:
        # Dataset.shuffle mixes its seed with the global seed of the graph, which is the graph of this function.
        # TensorFlow compares a global seed of 0 with the pass number, which is a tensor: hence seed + 1.
        tf.random.set_seed(seed + 1)
        return buckets.batches(_shuffled(paths, data.shuffle_buffer, number))

    def prepare(batch: tf.Tensor, serialized: tf.Tensor, key: tf.Tensor) -> tuple[tuple[tf.Tensor, tf.Tensor], Any]:
        fields = records.parse(serialized)
        inputs = _augmented_features(fields.audio, batch, key, features, augmentation)
        labels = _labels(fields.text, tokenizer)
        return inputs, labels if target is None else target.targets(labels, fields)

    def whole(batch: tf.Tensor, serialized: tf.Tensor) -> tuple[tuple[tf.Tensor, tf.Tensor], Any]:
        return prepare(batch, serialized, _key(seed, batch))

    def part(batch: tf.Tensor, replica: tf.Tensor, serialized: tf.Tensor) -> tuple[tuple[tf.Tensor, tf.Tensor], Any]:
        rows, own = _rows_of(replica, tf.size(serialized), replicas.total)
        key = tf.random.experimental.stateless_fold_in(_key(seed, batch), replica)
        return _emptied(*prepare(batch, tf.gather(serialized, rows), key), own)

    first_pass, skipped = divmod(start_batch, per_pass)
    dataset = tf.data.Dataset.range(first_pass, tf.int64.max).flat_map(one_pass).skip(skipped)
    dataset = dataset.enumerate(start_batch)
    if replicas.total == 1:
        dataset = dataset.map(whole, num_parallel_calls=tf.data.AUTOTUNE)
    else:
        numbers = tf.data.Dataset.range(replicas.first, replicas.first + replicas.local)
        dataset = dataset.flat_map(lambda batch, serialized: numbers.map(lambda replica: (batch, replica, serialized)))
        dataset = dataset.map(part, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(_options())


def batches_per_pass(shards: Paths, features: FeatureConfig, data: DataConfig) -> int:
    """Returns the number of batches of one pass of `training_dataset` over the shards, the same in every pass.

    Raises:
      InputError: a shard has no index, or no utterance lies within the durations.
    """
    samples = [n for shard in shards for n in read_index(shard).samples]
    count = LengthBuckets.from_config(data, features.sample_rate).batch_count(samples)
    if not count:
        raise InputError(
            f"the {len(shards)} training shards hold no utterance of {data.min_duration:g} to {data.max_duration:g} s"
        )
    return count


@tf.autograph.experimental.do_not_convert
def evaluation_batches(
    shards: Paths,
    features: FeatureConfig,
    batch_seconds: float = 64.0,
    max_seconds: float = math.inf,
    target: TargetFormat | None = None,
) -> tf.data.Dataset:
    """Returns a dataset of every utterance once, unaugmented, in batches of similar length and in a fixed order.

    Args:
      shards: files of `write_shards`.
      features: kind and settings of the features.
      batch_seconds: largest duration of a batch with its padding, in seconds.
      max_seconds: longest utterance that is part of the dataset, in seconds.
      target: format of the targets; None for texts.

    Returns:
      A dataset of ((features [batch, frames, mel] float32, lengths [batch] int32, in frames), texts [batch] string, ids
      [batch] string), with the targets of the format in place of the texts if there is one.

    Raises:
      InputError: a shard has no index or another sample rate.
    """

    def prepare(serialized: tf.Tensor) -> tuple[tuple[tf.Tensor, tf.Tensor], Any, tf.Tensor]:
        fields = records.parse(serialized)
        waveform, lengths = _decode(fields.audio, (1.0,), tf.zeros_like(fields.samples, tf.int32))
        inputs = _features(waveform, lengths, features)
        if target is None:
            return inputs, fields.text, fields.id
        no_labels = tf.zeros([tf.size(fields.text), 0], tf.int32)
        return inputs, target.targets(no_labels, fields), fields.id

    indexes = [_check(shard, features) for shard in shards]
    most = max_seconds * features.sample_rate
    longest = max((n for index in indexes for n in index.samples if n <= most), default=1)
    buckets = LengthBuckets(shortest=0, longest=longest, batch_samples=int(batch_seconds * features.sample_rate))
    dataset = buckets.batches(tf.data.TFRecordDataset([str(path) for path in shards]))
    return dataset.map(prepare, num_parallel_calls=tf.data.AUTOTUNE).prefetch(1).with_options(_options())


def evaluation_utterances(shards: Paths, limit: int | None = None) -> Iterator[EvaluationUtterance]:
    """Yields the utterances of the shards in the order of the manifest; with `limit`, at most so many."""

    def read(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        fields = records.parse(serialized[tf.newaxis])
        return records.decode_audio(fields.audio[0]), fields.text[0], fields.id[0]

    dataset = tf.data.TFRecordDataset([str(path) for path in shards]).map(read)
    if limit is not None:
        dataset = dataset.take(limit)
    for waveform, text, utterance_id in dataset.with_options(_options()).as_numpy_iterator():
        yield EvaluationUtterance(waveform, text.decode("utf-8"), utterance_id.decode("utf-8"))


def evaluation_pairs(shards: Paths, limit: int | None = None) -> Iterator[EvaluationPair]:
    """Yields the pairs of the shards in the order of the manifest; with `limit`, at most so many."""

    def read(serialized: tf.Tensor) -> tuple[tf.Tensor, ...]:
        fields = records.parse(serialized[tf.newaxis])
        target = fields.target[0]
        has_target = tf.strings.length(target) > 0
        decoded = tf.cond(has_target, lambda: records.decode_audio(target), lambda: tf.zeros([0]))
        return records.decode_audio(fields.audio[0]), decoded, fields.text[0], fields.id[0]

    dataset = tf.data.TFRecordDataset([str(path) for path in shards]).map(read)
    if limit is not None:
        dataset = dataset.take(limit)
    for source, target, text, utterance_id in dataset.with_options(_options()).as_numpy_iterator():
        yield EvaluationPair(source, target, text.decode("utf-8"), utterance_id.decode("utf-8"))


def transcripts(shards: Paths) -> list[str]:
    """Returns the transcripts of the shards, in their order."""
    dataset = tf.data.TFRecordDataset([str(path) for path in shards]).batch(256).map(lambda r: records.parse(r).text)
    return [text.decode("utf-8") for batch in dataset.as_numpy_iterator() for text in batch]


def _key(seed: int, batch: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.constant(seed, tf.int32), tf.cast(batch, tf.int32)])


def _rows_of(replica: tf.Tensor, size: tf.Tensor, total: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the rows of a batch that a replica takes, and [rows] bool, false for the one that only fills up."""
    rows = tf.range(-(-size // total)) * total + tf.cast(replica, tf.int32)
    return rows % size, rows < size


def _emptied(
    inputs: tuple[tf.Tensor, tf.Tensor], target: tf.Tensor | SpeechTarget, own: tf.Tensor
) -> tuple[tuple[tf.Tensor, tf.Tensor], tf.Tensor | SpeechTarget]:
    """Takes frames, labels and steps from the utterances that are not `own` [batch], so that no loss counts them."""
    mel, lengths = inputs
    lengths = tf.where(own, lengths, 0)
    emptied = _zero_padding(mel, lengths), lengths
    if isinstance(target, SpeechTarget):
        labels = tf.where(own[:, tf.newaxis], target.labels, LABEL_PADDING)
        return emptied, SpeechTarget(labels, target.spectrogram, tf.where(own, target.steps, -1))
    return emptied, tf.where(own[:, tf.newaxis], target, LABEL_PADDING)


def _shuffled(paths: Sequence[str], buffer: int, number: tf.Tensor) -> tf.data.Dataset:
    """Returns the serialized records in the order of pass `number`."""
    files = tf.data.Dataset.from_tensor_slices(list(paths)).shuffle(len(paths), seed=2 * number)
    dataset = files.interleave(tf.data.TFRecordDataset, cycle_length=min(len(paths), _INTERLEAVED_SHARDS))
    return dataset.shuffle(buffer, seed=2 * number + 1)


class _Augmentation(NamedTuple):
    """The settings of augmentation with the recordings that they name."""

    config: AugmentConfig
    noises: Recordings | None
    responses: tf.Tensor | None

    @classmethod
    def load(cls, config: AugmentConfig, sample_rate: int) -> _Augmentation:
        noise, reverberation = config.noise, config.reverberation
        return cls(
            config,
            read_recordings(noise.recordings, sample_rate) if noise and noise.recordings else None,
            read_impulse_responses(reverberation.responses, sample_rate) if reverberation else None,
        )


def _augmented_features(
    audio: tf.Tensor, batch: tf.Tensor, key: tf.Tensor, features: FeatureConfig, augmentation: _Augmentation | None
) -> tuple[tf.Tensor, tf.Tensor]:
    size = tf.shape(audio)
    if augmentation is None:
        return _features(*_decode(audio, (1.0,), tf.zeros(size, tf.int32)), features)
    config = augmentation.config
    seeds = tf.unstack(tf.random.split(key, 6))
    chosen = tf.random.stateless_uniform(size, seeds[0]) < augment.ramp(batch, config.ramp_batches)
    speeds = (1.0, *config.speeds)
    drawn = tf.random.stateless_uniform(size, seeds[1], 1, len(speeds), tf.int32)
    waveform, lengths = _decode(audio, speeds, tf.where(chosen, drawn, 0))
    if config.reverberation is not None and augmentation.responses is not None:
        echoing = chosen & (tf.random.stateless_uniform(size, seeds[4]) < config.reverberation.probability)
        waveform = augment.reverberate(waveform, lengths, echoing, augmentation.responses, seeds[5])
    if config.noise is not None:
        waveform = augment.add_noise(waveform, lengths, chosen, seeds[2], config.noise, augmentation.noises)
    mel, frames = _features(waveform, lengths, features)
    if config.spec_augment is not None:
        masked = augment.spec_augment(mel, frames, seeds[3], config.spec_augment)
        mel = _zero_padding(tf.where(chosen[:, tf.newaxis, tf.newaxis], masked, mel), frames)
    return mel, frames


def _decode(audio: tf.Tensor, speeds: Sequence[float], choice: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes [batch] files at the speeds `speeds[choice]`: ([batch, samples] float32, lengths [batch] int32)."""

    def one(element: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        waveform = records.decode_audio(element[0])
        branches = [lambda speed=speed: augment.speed_perturb(waveform, speed) for speed in speeds]
        return tf.switch_case(element[1], branches)

    ragged = tf.map_fn(one, (audio, choice), fn_output_signature=tf.RaggedTensorSpec([None], tf.float32))
    return ragged.to_tensor(), tf.cast(ragged.row_lengths(), tf.int32)


def _features(waveform: tf.Tensor, lengths: tf.Tensor, config: FeatureConfig) -> tuple[tf.Tensor, tf.Tensor]:
    frames = frame_count(lengths, config)
    values = extract_features(waveform, config, lengths)
    return _zero_padding(tf.ensure_shape(values, [None, None, config.mel_bins]), frames), frames


def _target_steps(fields: records.Records, target: SpectrogramFormat) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns spectrogram and steps of a `SpeechTarget` from [B] pairs."""
    waveform, samples = _decode(fields.target, (1.0,), tf.zeros_like(fields.target, tf.int32))
    tf.debugging.assert_positive(samples, "a record has no target; shards of pairs are made from manifests of pairs")
    config = target.features
    per_step = config.frame_step * target.frames_per_step
    # Silence up to the end of the last step and one step more, and in front what makes the windows causal.
    ahead = config.frame_length - config.frame_step
    after = (_steps(tf.reduce_max(samples), per_step) + 1) * per_step - tf.shape(waveform)[1]
    mel = scaled_log_mel(tf.pad(waveform, [(0, 0), (ahead, after)]), config)
    if target.source_duration:
        source = tf.cast(fields.samples, tf.int32)
        frames = (_steps(tf.reduce_max(source), per_step) + 1) * target.frames_per_step
        mel = augment.time_stretch(mel, tf.cast(source / samples, tf.float32), frames)
        samples = source
    width = target.frames_per_step * config.mel_bins
    return tf.reshape(mel, [tf.shape(mel)[0], -1, width]), _steps(samples, per_step)


def _steps(samples: tf.Tensor, per_step: int) -> tf.Tensor:
    return -(-samples // per_step)


def _waveform_target(audio: tf.Tensor, target: WaveformFormat) -> WaveformTarget:
    """Returns the targets of [B] audio files, with as much silence as lets every sample come out."""
    waveform, _ = _decode(audio, (1.0,), tf.zeros_like(audio, tf.int32))
    config, size = target.features, tf.shape(waveform)[1]
    # Silence in front makes the windows causal; a frame makes its first samples when the last of them is there.
    ahead = config.frame_length - config.frame_step
    frames = -(-size // config.frame_step) + ahead // config.frame_step + target.look_ahead
    padded = tf.pad(waveform, [(0, 0), (ahead, frames * config.frame_step - size)])
    pitch = tf.numpy_function(lambda wave: track_pitch(wave, config), [padded], tf.float32, stateful=False)
    return WaveformTarget(
        spectrogram=tf.ensure_shape(scaled_log_mel(padded, config), [None, None, config.mel_bins]),
        waveform=tf.pad(padded, [(0, 0), (target.look_ahead * config.frame_step, 0)])[:, : frames * config.frame_step],
        pitch=tf.ensure_shape(pitch, [None, None]),
    )


def _zero_padding(mel: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
    return tf.where(tf.sequence_mask(frames, tf.shape(mel)[1])[:, :, tf.newaxis], mel, 0.0)


def _labels(texts: tf.Tensor, tokenizer: Tokenizer) -> tf.Tensor:
    """Returns the token ids [batch, tokens] int32 of [batch] transcripts, padded with -1."""

    def encode(batch: np.ndarray) -> np.ndarray:
        ids = [tokenizer.encode(text.decode("utf-8")) for text in batch]
        labels = np.full([len(ids), max(map(len, ids))], LABEL_PADDING, np.int32)
        for row, sentence in zip(labels, ids, strict=True):
            row[: len(sentence)] = sentence
        return labels

    return tf.ensure_shape(tf.numpy_function(encode, [texts], tf.int32, stateful=False), [None, None])


def _check(shard: str | Path, features: FeatureConfig, tokenizer: Tokenizer | None = None) -> ShardIndex:
    """Returns a shard's index after checking that the shard fits the front end and, in training, the tokenizer."""
    index = read_index(shard)
    if index.sample_rate != features.sample_rate:
        raise InputError(
            f"{shard} holds audio at {index.sample_rate} Hz, features.sample_rate is {features.sample_rate} Hz"
        )
    missing = tokenizer.missing_characters(index.characters) if tokenizer else ""
    if missing:
        raise InputError(f"the transcripts of {shard} have characters that the tokenizer lacks: {missing!r}")
    return index


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    return options
