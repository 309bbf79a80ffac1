r"""Speech-to-speech conversion: a Conformer encoder, and a decoder of the canonical voice's spectrogram.

    memory_projection, memory_norm --------------\
    prenet_0, prenet_1 -> attention_lstm_input -> attention_lstm_recurrent -> decoder_lstm_input, _recurrent
        -> spectrogram_projection -> postnet_0, ... -> refined
        -> stop_head

After Parrotron (1904.04169) and its Conformer successor (2210.13761), with the attention of 1910.10288 (GMM, V2b). For
training it is one flat functional model that is given the target (teacher forcing), as recognition models are and for
the same reason. A CTC head on the encoder recognizes the source.
"""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from tfconformer.layers.dense import Dense
from tfconformer.layers.dropout import Dropout
from tfconformer.layers.normalization import LayerNormalization
from tfconformer.layers.recurrence import AttentionRecurrence, Recurrence, ZeroState
from tfconformer.layers.residual import ScaledResidual
from tfconformer.layers.spectrogram import CausalWindows, PreviousFrame, StepFrames
from tfconformer.models.config import ModelConfig, ParrotronConfig
from tfconformer.models.encoder import Encoding, ctc_head, encoder, encoder_inputs

LOGITS, SPECTROGRAM, REFINED, STOP, ATTENTION = "logits", "spectrogram", "refined", "stop", "attention"


def parrotron(config: ModelConfig, mel_bins: int, vocabulary: int) -> keras.Model:
    """Builds the training model.

    Args:
      config: sizes and context, those of the decoder among them.
      mel_bins: width of the source's features.
      vocabulary: number of the tokenizer's tokens.

    Returns:
      A model of (features [B, T, mel_bins], lengths [B] int32, target [B, S, frames_per_step * bins]) -> a dictionary
      of "spectrogram" and "refined", [B, S, frames_per_step * bins] each, before and after the PostNet; "stop"
      [B, S, 1], logits of the end; "attention" [B, S, ceil(T/4)]; "logits" [B, ceil(T/4), vocabulary + 1] of the CTC
      head.
    """
    assert config.parrotron is not None
    sizes = config.parrotron
    features, lengths = encoder_inputs(mel_bins)
    target = keras.Input([None, sizes.frames_per_step * sizes.target.mel_bins], name="target")
    encoding = encoder(config, features, lengths, vocabulary)
    memory = attention_memory(sizes, encoding)
    hidden, context, attention = attention_lstm(sizes, target, memory, encoding.mask)
    outputs = {
        **encoding.heads,
        LOGITS: ctc_head(encoding.blocks[-1], encoding.mask, vocabulary, name="ctc"),
        **spectrogram_decoder(sizes, hidden, context),
        ATTENTION: attention,
    }
    return keras.Model([features, lengths, target], outputs, name="parrotron")


def attention_memory(sizes: ParrotronConfig, encoding: Encoding) -> tf.Tensor:
    """Makes the frames that attention reads from outputs of the encoder, [B, T, memory]."""
    blocks = [encoding.blocks[number - 1] for number in sizes.memory_blocks] or encoding.blocks[-1:]
    joined = blocks[0] if len(blocks) == 1 else keras.layers.Concatenate(name="memory_blocks")(blocks)
    return LayerNormalization(name="memory_norm")(Dense(sizes.memory, name="memory_projection")(joined))


def attention_lstm(
    sizes: ParrotronConfig, target: tf.Tensor, memory: tf.Tensor, mask: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Applies pre-net and attention LSTM: (outputs [B, S, units], contexts [B, S, memory], weights [B, S, T])."""
    x = PreviousFrame(sizes.target.mel_bins, name="previous_frame")(target)
    for index in range(2):
        x = Dense(sizes.prenet, name=f"prenet_{index}")(x)
        x = keras.layers.Activation("relu", name=f"prenet_{index}_relu")(x)
        x = Dropout(sizes.prenet_dropout, name=f"prenet_{index}_dropout")(x)
    gates = Dense(4 * sizes.lstm_units, name="attention_lstm_input")(x)
    widths = sizes.lstm_units, sizes.lstm_units, sizes.memory, sizes.components
    states = ZeroState(widths, name="attention_start")(memory)
    recurrence = AttentionRecurrence(
        sizes.lstm_units,
        sizes.components,
        frames_per_step=sizes.encoder_frames_per_step,
        name="attention_lstm_recurrent",
    )
    hidden, contexts, weights, *_ = recurrence([gates, memory, mask, *states])
    return hidden, contexts, weights


def spectrogram_decoder(sizes: ParrotronConfig, hidden: tf.Tensor, context: tf.Tensor) -> dict[str, tf.Tensor]:
    """Applies decoder LSTM, projections and PostNet to the attention LSTM's outputs and contexts, [B, S, ...] each."""
    bins = sizes.target.mel_bins
    x = keras.layers.Concatenate(name="decoder_input")([hidden, context])
    states = ZeroState((sizes.lstm_units,) * 2, name="decoder_start")(x)
    x, *_ = Recurrence(sizes.lstm_units, name="decoder_lstm_recurrent")(
        [Dense(4 * sizes.lstm_units, name="decoder_lstm_input")(x), *states]
    )
    x = keras.layers.Concatenate(name="decoder_output")([x, context])
    spectrogram = Dense(sizes.frames_per_step * bins, name="spectrogram_projection")(x)
    outputs = {SPECTROGRAM: spectrogram, STOP: Dense(1, name="stop_head")(x)}
    if sizes.postnet_layers:
        outputs[REFINED] = postnet(sizes, spectrogram)
    return outputs


def postnet(sizes: ParrotronConfig, spectrogram: tf.Tensor) -> tf.Tensor:
    """Adds the outputs of causal convolutions over frames: [B, S, frames_per_step * bins] -> the same."""
    bins, steps = sizes.target.mel_bins, sizes.frames_per_step * sizes.target.mel_bins
    frames = StepFrames(bins, name="postnet_frames")(spectrogram)
    x = frames
    for index in range(sizes.postnet_layers):
        last = index == sizes.postnet_layers - 1
        x = CausalWindows(sizes.postnet_kernel, name=f"postnet_{index}_windows")(x)
        x = Dense(bins if last else sizes.postnet, name=f"postnet_{index}")(x)
        if not last:
            x = keras.layers.Activation("tanh", name=f"postnet_{index}_tanh")(x)
    return StepFrames(steps, name="refined_steps")(ScaledResidual(name="postnet_residual")([frames, x]))
