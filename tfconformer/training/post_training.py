"""Post-training quantization of a float run; the result exports like a trained model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfconformer import memory
from tfconformer.config import Config
from tfconformer.data.pipeline import evaluation_utterances
from tfconformer.data.shards import find_shards
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.errors import InputError
from tfconformer.features.extract import extract_features
from tfconformer.models.config import shortest_utterance
from tfconformer.quantization.apply import match_layers
from tfconformer.quantization.post_training.quantize import (
    Hessians,
    fixed_model,
    input_hessians,
    quantize_post_training,
)
from tfconformer.quantization.quantizers.weights import QuantizedWeights
from tfconformer.quantization.spec import QuantizationRule, Rounding
from tfconformer.training.checkpoint import abstract_model, load_model, load_weights
from tfconformer.training.run import RunDirectory

# Utterances of the training data that calibrate GPTQ, spread over the shards.
CALIBRATION_UTTERANCES = 128
_BATCH = 16


def post_training_model(
    run: RunDirectory, rules: Sequence[QuantizationRule], rounding: Rounding
) -> tuple[keras.Model, Config]:
    """Quantizes the model of a float run; returns it and the run's configuration with these rules.

    Args:
      run: a finished float training; "gptq" calibrates with its training shards.
      rules: the quantization rules.
      rounding: "nearest" rounds each weight to the nearest code, "gptq" minimizes the error of a layer's outputs.

    Raises:
      InputError: the run is incomplete or itself quantized, a rule is wrong, or there are no shards.
    """
    config = run.config()
    if any(rule.spec for rule in config.quantization):
        raise InputError(f"{run.path} is a quantized run: post-training quantization starts from a float one")
    quantized = _quantized(load_model(run), config, rules, rounding)
    memory.release_freed()  # of the float model, in whose place another one comes
    structure = abstract_model(config, Tokenizer.from_file(run.tokenizer_file).vocabulary_size)
    model = fixed_model(structure, quantized)
    load_weights(model, run)
    return model, config.model_copy(update={"quantization": tuple(rules)})


def _quantized(
    model: keras.Model, config: Config, rules: Sequence[QuantizationRule], rounding: Rounding
) -> dict[str, QuantizedWeights]:
    specs = match_layers(model, rules)
    return quantize_post_training(model, specs, rounding, hessians_for(model, rounding, calibration_inputs(config)))


def hessians_for(
    model: keras.Model, rounding: Rounding, inputs: Iterable[tuple[tf.Tensor, tf.Tensor]]
) -> Hessians | None:
    """Returns the Hessians of the layers' inputs, which "gptq" needs; None for other roundings.

    Args:
      model: the float model.
      rounding: "nearest" or "gptq".
      inputs: calibration batches (features [B, frames, mel] float32, lengths [B] int32).
    """
    return input_hessians(model, inputs) if rounding == "gptq" else None


def batched(inputs: Iterable[tuple[tf.Tensor, tf.Tensor]]) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    """Yields padded batches (features [B, frames, mel], lengths [B]) of the utterances of `calibration_inputs`."""
    utterances = list(inputs)
    for start in range(0, len(utterances), _BATCH):
        batch = utterances[start : start + _BATCH]
        frames = max(mel.shape[1] for mel, _ in batch)
        padded = [tf.pad(mel, [[0, 0], [0, frames - mel.shape[1]], [0, 0]]) for mel, _ in batch]
        yield tf.concat(padded, axis=0), tf.concat([lengths for _, lengths in batch], axis=0)


def calibration_inputs(config: Config) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    """Yields (features [1, frames, mel], lengths [1]) of up to `CALIBRATION_UTTERANCES` training utterances."""
    utterances = [evaluation_utterances([shard]) for shard in find_shards(config.data.train)]
    taken, shortest = 0, shortest_utterance(config.features, config.model)
    while utterances and taken < CALIBRATION_UTTERANCES:
        for shard in list(utterances):
            one = next(shard, None)
            if one is None:
                utterances.remove(shard)
            elif taken < CALIBRATION_UTTERANCES and len(one.waveform) >= shortest:
                taken += 1
                features = extract_features(tf.constant(one.waveform[np.newaxis]), config.features)
                yield features, tf.shape(features)[1:2]
