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

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import tensorflow as tf
import tf_keras as keras

from tfconformer.layers.attention_recurrence import AttentionRecurrence, LocationAttention, MixtureAttention
from tfconformer.layers.dense import Dense, float_layer
from tfconformer.layers.dropout import Dropout
from tfconformer.layers.normalization import LayerNormalization
from tfconformer.layers.recurrence import Recurrence, ZeroState
from tfconformer.layers.residual import ScaledResidual
from tfconformer.layers.spectrogram import CausalWindows, CertainFrames, PreviousFrame
from tfconformer.models.config import ModelConfig, ParrotronConfig
from tfconformer.models.encoder import Encoding, ctc_head, encoder, encoder_inputs

LOGITS, SPECTROGRAM, REFINED, STOP, ATTENTION = "logits", "spectrogram", "refined", "stop", "attention"

_PRENET_LAYERS = 2

Layers = Mapping[str, keras.layers.Layer]
Tensors = tuple[tf.Tensor, ...]


def parrotron(config: ModelConfig, mel_bins: int, vocabulary: int) -> keras.Model:
    """Builds the training model.

    Args:
      config: sizes and context, those of the decoder among them.
      mel_bins: width of the source's features.
      vocabulary: number of the tokenizer's tokens.

    Returns:
      A model of (features [B, T, mel_bins], lengths [B] int32, target [B, S, frames_per_step * bins]) -> a dictionary
      of "spectrogram" and "refined", [B, S, frames_per_step * bins] each, before and after the PostNet; "stop"
      [B, S, 1], logits of the end; "attention" [B, S, T']; "logits" [B, T', vocabulary + 1] of the CTC head, with
      T' encoder frames.
    """
    assert config.parrotron is not None
    sizes = config.parrotron
    bins = sizes.target.mel_bins
    features, lengths = encoder_inputs(mel_bins)
    target = keras.Input([None, sizes.frames_per_step * bins], name="target")
    encoding = encoder(config, features, lengths, vocabulary)
    memory = attention_memory(sizes, encoding)
    layers = {layer.name: layer for layer in _decoder_layers(sizes, config.decoder_clock)}
    positions = sizes.components if sizes.attention == "mixture" else 1
    frame_states = layers["attention_lstm_recurrent"].frame_states
    widths = sizes.lstm_units, sizes.lstm_units, sizes.memory, positions, *[None] * len(frame_states)
    start = ZeroState(widths, name="attention_start")(memory)
    previous = PreviousFrame(bins, name="previous_frame")(target)
    step_seconds = sizes.frames_per_step * sizes.target.frame_step / sizes.target.sample_rate
    lags = [lag / step_seconds * config.decoder_clock for lag in sizes.training_lags]
    certain = CertainFrames(lags, name="certain_frames")(memory)
    hidden, context, attention, _ = attend(layers, previous, memory, encoding.mask, (*start, certain))
    start = ZeroState((sizes.lstm_units,) * 2, name="decoder_start")(memory)
    spectrogram, stop, _ = decode(layers, hidden, context, start)
    refined, _ = refine(layers, spectrogram)
    outputs = {
        **encoding.heads,
        LOGITS: ctc_head(encoding.blocks[-1], encoding.mask, vocabulary, name="ctc"),
        SPECTROGRAM: spectrogram,
        REFINED: keras.layers.Reshape([-1, sizes.frames_per_step * bins], name="refined_steps")(refined),
        STOP: stop,
        ATTENTION: attention,
    }
    return keras.Model([features, lengths, target], outputs, name="parrotron")


def attention_memory(sizes: ParrotronConfig, encoding: Encoding) -> tf.Tensor:
    """Makes the frames that attention reads from outputs of the encoder, [B, T, memory]."""
    blocks = [encoding.blocks[number - 1] for number in sizes.memory_blocks] or encoding.blocks[-1:]
    joined = blocks[0] if len(blocks) == 1 else keras.layers.Concatenate(name="memory_blocks")(blocks)
    return LayerNormalization(name="memory_norm")(Dense(sizes.memory, name="memory_projection")(joined))


def _decoder_layers(sizes: ParrotronConfig, clock: float) -> Iterator[keras.layers.Layer]:
    """Makes the layers with weights of the decoder, and those of its pre-net and PostNet in between."""
    bins = sizes.target.mel_bins
    for index in range(_PRENET_LAYERS):
        yield Dense(sizes.prenet, name=f"prenet_{index}")
        yield keras.layers.Activation("relu", name=f"prenet_{index}_relu")
        yield Dropout(sizes.prenet_dropout, name=f"prenet_{index}_dropout")
    yield Dense(4 * sizes.lstm_units, name="attention_lstm_input")
    yield _attention_layer(sizes, clock)
    yield keras.layers.Concatenate(name="decoder_input")
    yield Dense(4 * sizes.lstm_units, name="decoder_lstm_input")
    yield Recurrence(sizes.lstm_units, name="decoder_lstm_recurrent")
    yield keras.layers.Concatenate(name="decoder_output")
    yield Dense(sizes.frames_per_step * bins, name="spectrogram_projection")
    yield Dense(1, name="stop_head")
    yield keras.layers.Reshape([-1, bins], name="postnet_frames")
    for index in range(sizes.postnet_layers):
        last = index == sizes.postnet_layers - 1
        yield CausalWindows(sizes.postnet_kernel, name=f"postnet_{index}_windows")
        yield Dense(bins if last else sizes.postnet, name=f"postnet_{index}")
        yield keras.layers.Activation("linear" if last else "tanh", name=f"postnet_{index}_activation")
    yield ScaledResidual(name="postnet_residual")


def _attention_layer(sizes: ParrotronConfig, clock: float) -> AttentionRecurrence:
    name = "attention_lstm_recurrent"
    if sizes.attention == "location":
        return LocationAttention(sizes.lstm_units, sizes.memory, clock, name=name)
    return MixtureAttention(
        sizes.lstm_units, sizes.components, sizes.encoder_frames_per_step or clock, clock, name=name
    )


def attend(
    layers: Layers, previous: tf.Tensor, memory: tf.Tensor, mask: tf.Tensor, state: Tensors
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, Tensors]:
    """Applies pre-net and attention LSTM to previous frames [B, S, bins].

    Returns:
      Outputs [B, S, units], contexts [B, S, memory], attention weights [B, S, T], and the state after them.
    """
    x = previous
    for index in range(_PRENET_LAYERS):
        x = layers[f"prenet_{index}_dropout"](layers[f"prenet_{index}_relu"](layers[f"prenet_{index}"](x)))
    gates = layers["attention_lstm_input"](x)
    hidden, contexts, weights, *state = layers["attention_lstm_recurrent"]([gates, memory, mask, *state])
    return hidden, contexts, weights, tuple(state)


def decode(
    layers: Layers, hidden: tf.Tensor, context: tf.Tensor, state: Tensors
) -> tuple[tf.Tensor, tf.Tensor, Tensors]:
    """Applies decoder LSTM and projections to the attention LSTM's outputs and contexts, [B, S, ...] each.

    Returns:
      The spectrogram [B, S, frames_per_step * bins], logits of the end [B, S, 1], and the state after them.
    """
    gates = layers["decoder_lstm_input"](layers["decoder_input"]([hidden, context]))
    x, *state = layers["decoder_lstm_recurrent"]([gates, *state])
    x = layers["decoder_output"]([x, context])
    return layers["spectrogram_projection"](x), layers["stop_head"](x), tuple(state)


def refine(
    layers: Layers, spectrogram: tf.Tensor, before: Sequence[tf.Tensor] = ()
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Applies the PostNet, causal convolutions over frames.

    Args:
      layers: the decoder's layers.
      spectrogram: [B, S, frames_per_step * bins].
      before: for each convolution the inputs of the last frames before, [B, kernel - 1, channels]; none: zeros.

    Returns:
      The frames [B, S * frames_per_step, bins], and the inputs of the convolutions, [B, S * frames_per_step, channels]
      each.
    """
    frames = layers["postnet_frames"](spectrogram)
    x, inputs = frames, []
    for index in range(_postnet_layers(layers)):
        inputs.append(x)
        windows = layers[f"postnet_{index}_windows"]([x, before[index]] if before else x)
        x = layers[f"postnet_{index}_activation"](layers[f"postnet_{index}"](windows))
    return layers["postnet_residual"]([frames, x]), inputs


def _postnet_layers(layers: Layers) -> int:
    return sum(name.startswith("postnet_") and name.endswith("_windows") for name in layers)


@dataclass(frozen=True)
class ParrotronParts:
    """The models that conversion calls, which share the weights of the model that they are parts of.

    Attributes:
      encoder: (features [B, T, mel_bins], lengths [B]) -> [B, T', memory + vocabulary + 1]: the frames that
        attention reads, and the logits of the CTC head. It streams.
      step: (previous frame [B, bins], memory [B, T, memory], mask [B, T, 1], states) -> (frames
        [B, frames_per_step * bins], stop [B, 1], attention [B, T], last frame [B, bins], states after the step). The
        mask limits what attention reads.
      states: shapes of the states without the batch, by name, in the order of the arguments; None stands for the frames
        of the memory.
      memory: width of the frames that attention reads.
      bins: width of a frame of the spectrogram.
    """

    encoder: keras.Model
    step: keras.Model
    states: dict[str, tuple[int | None, ...]]
    memory: int
    bins: int


def parrotron_parts(model: keras.Model) -> ParrotronParts:
    """Takes a model of `parrotron`, quantized or not, apart."""
    layers = {float_layer(layer).name: layer for layer in model.layers}
    memory, bins = int(layers["memory_norm"].output.shape[-1]), layers["previous_frame"].bins
    attention, decoder = layers["attention_start"].widths, layers["decoder_start"].widths
    frame_states = float_layer(layers["attention_lstm_recurrent"]).frame_states
    names = ("hidden", "cell", "context", "position", *frame_states, "decoder_hidden", "decoder_cell")
    states: dict[str, tuple[int | None, ...]] = {
        name: (width,) for name, width in zip(names, (*attention, *decoder), strict=True)
    }
    for index in range(_postnet_layers(layers)):
        windows = layers[f"postnet_{index}_windows"]
        states[f"postnet_{index}_past"] = (windows.size - 1, int(windows.get_input_shape_at(0)[-1]))
    inputs = {name: keras.Input(shape, name=name) for name, shape in states.items()}
    previous, frames = keras.Input([bins], name="previous"), keras.Input([None, memory], name="memory")
    mask = keras.Input([None, 1], name="mask")
    start = *(inputs[name] for name in names[:-2]), CertainFrames()(mask)
    hidden, context, weights, (*attended, _) = attend(layers, previous[:, tf.newaxis], frames, mask, start)
    spectrogram, stop, decoded = decode(layers, hidden, context, tuple(inputs[name] for name in names[-2:]))
    before = list(inputs.values())[len(names) :]
    refined, read = refine(layers, spectrogram, before)
    kept = [tf.concat([old, new], axis=1)[:, -old.shape[1] :] for old, new in zip(before, read, strict=True)]
    outputs = [
        tf.reshape(refined, [-1, spectrogram.shape[-1]]),
        stop[:, 0],
        weights[:, 0],
        spectrogram[:, 0, -bins:],
        *attended,
        *decoded,
        *kept,
    ]
    encoded = keras.layers.Concatenate(name="encoded")([layers["memory_norm"].output, layers["ctc_logits"].output])
    return ParrotronParts(
        encoder=keras.Model(model.inputs[:2], encoded, name="encoder"),
        step=keras.Model([previous, frames, mask, *inputs.values()], outputs, name="decoder_step"),
        states=states,
        memory=memory,
        bins=bins,
    )
