"""A Conformer small enough to be converted in a test, with random weights in every layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import NDArray

from tfconformer.config import Config
from tfconformer.data.config import TokenizerConfig
from tfconformer.data.pipeline import transcripts
from tfconformer.data.shards import find_shards
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.layers.dense import float_layer
from tfconformer.quantization.apply import apply_rules
from tfconformer.training.checkpoint import float_model
from tfconformer.training.run import RunDirectory

# One scheme for each part of the model; K is 32, 60 or 128, so that blocks of 24 and 40 leave a short last one.
WEIGHTS_ONLY = [
    {"layers": ".*_head", "spec": None},
    {"layers": "subsampling_projection", "spec": {"bits": 2, "symmetric": False, "block_size": 40}},
    {"layers": "block_00_ff1_.*", "spec": {"bits": 8}},
    {"layers": "block_00_attention_.*", "spec": {"bits": 4, "block_size": 24}},
    {"layers": "block_00_conv_.*", "spec": {"bits": 2, "symmetric": False, "block_size": 24, "clip": 0.8}},
    {"layers": "block_00_ff2_expand", "spec": None},
    {"layers": "block_01_ff1_.*", "spec": {"bits": 4, "symmetric": False}},
    {"layers": "block_01_attention_.*", "spec": {"bits": 8, "symmetric": False, "block_size": 8}},
    {"layers": "block_01_ff2_.*", "spec": {"bits": 3, "symmetric": False, "block_size": 24}},
    {"layers": "block_01_conv_.*", "spec": {"bits": 2, "scheme": "half_integer", "block_size": 24}},
    {"layers": ".*", "spec": {"bits": 2, "block_size": 16}},
]
INT8_ACTIVATIONS = [
    {"layers": "block_00_.*", "spec": {"bits": 8, "activation_bits": 8}},
    {"layers": "block_01_ff.*", "spec": {"bits": 2, "symmetric": False, "block_size": 24, "activation_bits": 8}},
    {"layers": "block_01_attention_.*", "spec": {"bits": 3, "activation_bits": 8}},
    {"layers": "block_01_conv_.*", "spec": {"bits": 1, "scheme": "binary", "block_size": 16, "activation_bits": 8}},
    {"layers": ".*", "spec": {"bits": 4, "block_size": 16, "activation_bits": 8}},
]
# What LiteRT's own formats hold. Clipped ranges have the lowest code, -2^(bits - 1).
LITERT = [
    {"layers": ".*_head|subsampling_convolution", "spec": None},
    {"layers": "subsampling_projection", "spec": {"bits": 4, "clip": 0.6}},
    {"layers": "block_00_attention_.*", "spec": {"bits": 4, "block_size": 32, "activation_bits": 8}},
    {"layers": "block_00_conv_.*", "spec": {"bits": 8, "scale_dtype": "float32", "clip": 0.8}},
    {"layers": ".*", "spec": {"bits": 2, "activation_bits": 8, "clip": 0.5}},
]


# A transducer with every width and kind of activations among its decoder's layers.
TRANSDUCER_RULES = [
    {"layers": "joint_head", "spec": None},
    {"layers": "prediction_embedding", "spec": {"bits": 8}},
    {"layers": "prediction_lstm_input", "spec": {"bits": 4, "symmetric": False, "block_size": 8}},
    {"layers": "joint_.*", "spec": {"bits": 2, "symmetric": False, "block_size": 8}},
    {"layers": ".*", "spec": {"bits": 4, "block_size": 16}},
]
TRANSDUCER = {"transducer": {"embedding": 16, "lstm_units": 24, "joint": 20}}
# A spectrogram decoder, and rules with every width and kind of activations among its layers.
PARROTRON = {
    "parrotron": {
        "target": {"frame_length": 800, "fft_length": 1024, "mel_bins": 8},
        "frames_per_step": 2,
        "memory_blocks": [1, 2],
        "memory": 16,
        "prenet": 12,
        "lstm_units": 20,
        "components": 3,
        "postnet": 16,
        "postnet_layers": 2,
        "postnet_kernel": 3,
    }
}
VOCODER = {
    "vocoder": {
        "spectrogram": {"frame_length": 800, "fft_length": 1024, "mel_bins": 8},
        "blocks": 1,
        "dim": 12,
        "expansion": 2,
        "kernel": 3,
    }
}
PARROTRON_RULES = [
    {"layers": "ctc_head|stop_head", "spec": None},
    {"layers": "prenet_.*", "spec": {"bits": 8}},
    {"layers": "attention_lstm_.*", "spec": {"bits": 4, "block_size": 8}},
    {"layers": "decoder_lstm_.*", "spec": {"bits": 2, "symmetric": False, "block_size": 8}},
    {"layers": ".*", "spec": {"bits": 4, "block_size": 16}},
]


VOCODER_RULES = [
    {"layers": "vocoder_pitch", "spec": None},
    {"layers": "vocoder_gains", "spec": {"bits": 8}},
    {"layers": ".*", "spec": {"bits": 4, "block_size": 8}},
]


# In chunks of three frames, with a look back that is shorter than the utterances.
STREAMING = {"causal": True, "left_context": 10, "attention_chunk": 3}
LOOK_AHEAD = {"left_context": 6, "right_context": 1}
ONE_BLOCK = {"blocks": 1, "intermediate_ctc": None}


def tiny_config(rules: list[dict] | None = None, context: dict | None = None) -> Config:
    return Config.model_validate(
        {
            "data": {"train": ["none"], "dev": ["none"]},
            "model": {
                "blocks": 2,
                "dim": 32,
                "heads": 2,
                "conv_kernel": 5,
                "subsampling_channels": 3,
                "intermediate_ctc": 1,
                **(context or {}),
            },
            "training": {"epochs": 1, "steps_per_epoch": 1, "learning_rate": 1e-3},
            "quantization": rules or [],
        }
    )


def tiny_tokenizer() -> Tokenizer:
    return Tokenizer.train(["ABCDEFGHIJKLMNOPQRSTUVWXYZ '"], TokenizerConfig())


def tiny_model(config: Config, seed: int = 0, tokenizer: Tokenizer | None = None) -> keras.Model:
    """The model of `config`; no weight, gain or bias keeps a value like 0 or 1 that a converter could drop."""
    keras.utils.set_random_seed(seed)
    random = np.random.default_rng(seed)
    model = apply_rules(float_model(config, tokenizer or tiny_tokenizer()), config.quantization)
    for weight in model.weights:
        if weight.dtype.is_floating:
            value = weight.numpy()
            weight.assign(value + np.float32(0.1) * random.standard_normal(value.shape).astype(np.float32))
    if config.model.transducer is not None:
        _make_talkative(model)
    return model


def write_run(run: RunDirectory, config: Config, tokenizer: Tokenizer | None = None) -> RunDirectory:
    """Writes a run directory as a training of `config` leaves it, with the weights of `tiny_model`."""
    run.claim(config)
    tokenizer = tokenizer or tiny_tokenizer()
    tokenizer.save(run.tokenizer_file)
    tiny_model(config, tokenizer=tokenizer).save_weights(run.weights_file)
    return run


def with_teacher(tree: dict) -> Config:
    """The configuration `tree`, with a float run as the teacher that its distillation names, of the same corpus."""
    config = Config.model_validate(tree)
    assert config.training.distillation is not None
    teacher = config.model_copy(update={"quantization": ()})
    tokenizer = Tokenizer.train(transcripts(find_shards(config.data.train)), config.data.tokenizer)
    write_run(RunDirectory(Path(config.training.distillation.teacher)), teacher, tokenizer)
    return config


def _make_talkative(transducer: keras.Model) -> None:
    """Makes the decoder depend on its inputs so much that many labels occur, and blanks between them."""
    for layer in map(float_layer, transducer.layers):
        if layer.name.startswith(("prediction_", "joint_")) and layer.weights:
            layer.kernel.assign(3 * layer.kernel)
        if layer.name == "joint_head":
            layer.bias.assign_add(6 * tf.one_hot(0, layer.bias.shape[0]))


def tiny_waveforms(seed: int = 0) -> list[NDArray[np.float32]]:
    """Syllables of noise and tones, a third of a second to two seconds long."""
    random = np.random.default_rng(seed)
    waveforms = []
    for samples in (5333, 16000, 32000):
        time = np.arange(samples) / 16000
        tones = sum(np.sin(2 * np.pi * random.uniform(100, 4000) * time) for _ in range(5))
        loudness = np.abs(np.sin(2 * np.pi * random.uniform(2, 5) * time))
        waveforms.append((0.05 * loudness * (tones + random.standard_normal(samples))).astype(np.float32))
    return waveforms
