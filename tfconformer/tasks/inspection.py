"""Inspection of a speech-to-speech model on a few utterances: free-running measures and pictures of its attention."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import NDArray

from tfconformer.data.pipeline import SpeechTarget
from tfconformer.decoding.alignment import emission_lag, warping_path
from tfconformer.decoding.spectrogram import convert
from tfconformer.features.config import FeatureConfig
from tfconformer.models.encoder import encoder_stride
from tfconformer.models.parrotron import ATTENTION
from tfconformer.tasks.graphs import AudioGraph, Floats, KerasGraphs, StepGraph
from tfconformer.tasks.task import Inspection

_UTTERANCES = 8
_PICTURES = 3


class ConversionInspector:
    """The inspector of a model in training, which reads its weights at every call.

    Measures, means over utterances: `stopped`, the share that the decoder ended itself; `length_ratio`, its steps over
    those of the target; `free_mel_l1`, the absolute error of the free-running spectrogram along the cheapest path to
    the target; `attention_lag_ms`, see `emission_lag`, with teacher forcing.

    Args:
      model: the training model.
      graphs: its graphs.
      features: the front end of the source.
      bins: width of a frame of the target.
    """

    def __init__(
        self, model: keras.Model, graphs: tuple[AudioGraph, tuple[StepGraph, ...]], features: FeatureConfig, bins: int
    ) -> None:
        audio, steps = graphs
        self._features = features
        self._bins = bins
        self._stride = encoder_stride(model)
        self._graphs = KerasGraphs(audio, steps, {}, features, compile_audio=False)
        self._encode = tf.function(lambda inputs: audio.model(inputs, training=False), reduce_retracing=True)
        self._attend = tf.function(lambda inputs: model(inputs, training=False)[ATTENTION], reduce_retracing=True)

    def __call__(self, batches: tf.data.Dataset) -> Inspection:
        """Inspects the first utterances of ((features, lengths), `SpeechTarget`, ids)."""
        found: list[Mapping[str, float]] = []
        pictures: dict[str, NDArray[np.float32]] = {}
        for features, target, name in itertools.islice(_utterances(batches), _UTTERANCES):
            inputs = [features[np.newaxis], np.array([len(features)], np.int32)]
            converted = convert(self._graphs, self._encode(inputs).numpy()[0])
            costs = np.mean(np.abs(converted.spectrogram[:, np.newaxis] - target), axis=-1)
            path = warping_path(costs)
            attention = self._attend([*inputs, target[np.newaxis]]).numpy()[0]
            found.append(
                {
                    "stopped": float(converted.stopped),
                    "length_ratio": converted.steps / len(target),
                    "free_mel_l1": float(np.mean(costs[path[:, 0], path[:, 1]])),
                    "attention_lag_ms": self._lag_ms(attention, features, target),
                }
            )
            if len(pictures) < _PICTURES:
                pictures[name] = _picture(converted.attention)
        return Inspection({key: float(np.mean([one[key] for one in found])) for key in found[0]}, pictures)

    def _lag_ms(self, attention: Floats, features: Floats, target: Floats) -> float:
        """Measures the lag of teacher-forced attention [steps, frames] in milliseconds."""
        config, frames = self._features, attention.shape[1]
        padded = np.pad(features, ((0, frames * self._stride - len(features)), (0, 0)), mode="edge")
        source = padded.reshape(frames, self._stride, config.mel_bins).mean(axis=1)
        lag = emission_lag(attention, source, _resampled(target, self._bins, config.mel_bins))
        # The windows of the source's frames reach beyond the frames.
        lag -= (config.frame_length - config.frame_step) / (2 * self._stride * config.frame_step)
        return lag * 1e3 * self._stride * config.frame_step / config.sample_rate


def _resampled(target: Floats, bins: int, count: int) -> Floats:
    """Returns the mean frame of each step, [steps, count], of a target [steps, frames_per_step * bins]."""
    frames = target.reshape(len(target), -1, bins).mean(axis=1)
    return np.stack([np.interp(np.linspace(0, 1, count), np.linspace(0, 1, bins), frame) for frame in frames])


def _utterances(batches: tf.data.Dataset) -> Iterator[tuple[Floats, Floats, str]]:
    """Yields features [frames, mel_bins], target [steps, frames_per_step * bins] and id of every utterance."""
    target: SpeechTarget
    for (features, lengths), target, ids in batches:
        rows = zip(features.numpy(), lengths.numpy(), target.spectrogram.numpy(), target.steps.numpy(), strict=True)
        for (row, length, spectrogram, steps), name in zip(rows, ids.numpy(), strict=True):
            yield row[:length], spectrogram[:steps], name.decode("utf-8")


def _picture(attention: Floats) -> Floats:
    """Draws weights [steps, frames] as an image [frames, steps, 1] in [0, 1], the first frame at the bottom."""
    return (attention / max(float(attention.max()), 1e-6)).T[::-1, :, np.newaxis]
