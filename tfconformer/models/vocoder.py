r"""A vocoder: speech from the log-mel spectrogram, by filtered harmonics and noise.

    vocoder_input_windows, vocoder_input -> vocoder_block_00_depthwise, _norm, _expand, _project, ... -> vocoder_norm
        -> vocoder_gains ----------------------------------\
        -> vocoder_pitch, vocoder_pulses -> pulse_windows -> vocoder_filter -> vocoder_overlap
                           vocoder_noise -> noise_windows -/

The blocks are those of ConvNeXt (2201.03545), the synthesis by an inverse Fourier transform is that of Vocos
(2306.00814). The phase comes from pulses at the predicted pitch (harmonic plus noise, Stylianou 2001), so that losses
of spectra suffice. Everything is causal: a frame is answered when the next one has been read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import tensorflow as tf
import tf_keras as keras

from tfconformer.layers.dense import Dense, float_layer
from tfconformer.layers.normalization import LayerNormalization
from tfconformer.layers.residual import ScaledResidual
from tfconformer.layers.spectrogram import CausalWindows
from tfconformer.layers.vocoder import (
    CausalDepthwiseConvolution,
    FilteredFrames,
    NoiseSource,
    OverlapAdd,
    PulseTrain,
    VoicePitch,
)
from tfconformer.models.config import VocoderConfig

WAVEFORM, PITCH = "waveform", "pitch"
_PREFIX = "vocoder_"  # of the names of all layers, which other models' layers lie beside in a file

Layers = Mapping[str, keras.layers.Layer]


def vocoder(sizes: VocoderConfig) -> keras.Model:
    """Builds the training model.

    Returns:
      A model of (spectrogram [B, T, bins], scaled log-mel; pitch [B, T] in Hz, 0 without voice) -> a dictionary of
      "waveform" [B, T * hop], made at the given pitch, whose hop t holds the first samples of the spectrogram's frame
      t - 1, and "pitch" [B, T, 2], the predicted one: scaled log-frequency and logit of voicing.
    """
    config = sizes.spectrogram
    layers = {layer.name: layer for layer in _layers(sizes)}
    spectrogram = keras.Input([None, config.mel_bins], name="spectrogram")
    given = keras.Input([None], name="given_pitch")
    gains, predicted = _analyze(layers, spectrogram, _States())
    noise = NoiseSource(config.frame_step, name="vocoder_noise")(spectrogram)
    hops = _synthesize(layers, gains, given, noise, _States())
    waveform = keras.layers.Reshape([-1], name="vocoder_samples")(hops)
    return keras.Model([spectrogram, given], {WAVEFORM: waveform, PITCH: predicted}, name="vocoder")


def _layers(sizes: VocoderConfig) -> Iterator[keras.layers.Layer]:
    """Makes the layers, those that make the noise left out."""
    config = sizes.spectrogram
    overlapping = config.frame_length // config.frame_step
    yield CausalWindows(sizes.kernel, name="vocoder_input_windows")
    yield Dense(sizes.dim, name="vocoder_input")
    yield LayerNormalization(name="vocoder_input_norm")
    for index in range(sizes.blocks):
        block = f"vocoder_block_{index:02d}"
        yield CausalDepthwiseConvolution(sizes.kernel, name=f"{block}_depthwise")
        yield LayerNormalization(name=f"{block}_norm")
        yield Dense(sizes.expansion * sizes.dim, name=f"{block}_expand")
        yield keras.layers.Activation("gelu", name=f"{block}_gelu")
        yield Dense(sizes.dim, name=f"{block}_project")
        yield ScaledResidual(name=f"{block}_residual")
    yield LayerNormalization(name="vocoder_norm")
    yield Dense(config.fft_length + 2, name="vocoder_gains")
    yield Dense(2, name="vocoder_pitch")
    yield PulseTrain(config.frame_step, config.sample_rate, name="vocoder_pulses")
    yield CausalWindows(overlapping, name="vocoder_pulse_windows")
    yield CausalWindows(overlapping, name="vocoder_noise_windows")
    yield FilteredFrames(config.fft_length, config.frame_step, name="vocoder_filter")
    yield OverlapAdd(config.frame_step, name="vocoder_overlap")


@dataclass
class _States:
    """The states of the layers: before a step, and after it. Without those before, layers begin with zeros.

    Attributes:
      before: by name of the layer.
      after: by name of the layer, filled in the order of the calls.
    """

    before: Mapping[str, tf.Tensor] = field(default_factory=dict)
    after: dict[str, tf.Tensor] = field(default_factory=dict)

    def windowed(self, layers: Layers, name: str, x: tf.Tensor) -> tf.Tensor:
        """Calls a layer that reads past frames of its input."""
        if name not in self.before:
            return layers[name](x)
        past = self.before[name]
        self.after[name] = tf.concat([past, x], axis=1)[:, -past.shape[1] :]
        return layers[name]([x, past])

    def continued(self, layers: Layers, name: str, x: tf.Tensor) -> tf.Tensor:
        """Calls a layer that returns its next state itself."""
        output, after = layers[name]([x, self.before[name]] if name in self.before else x)
        self.after[name] = after
        return output


def _analyze(layers: Layers, spectrogram: tf.Tensor, states: _States) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns log-gains [B, T, fft_length + 2] and predicted pitch [B, T, 2] of a spectrogram [B, T, bins]."""
    x = states.windowed(layers, "vocoder_input_windows", spectrogram)
    x = layers["vocoder_input_norm"](layers["vocoder_input"](x))
    for block in _blocks(layers):
        branch = layers[f"{block}_norm"](states.windowed(layers, f"{block}_depthwise", x))
        branch = layers[f"{block}_project"](layers[f"{block}_gelu"](layers[f"{block}_expand"](branch)))
        x = layers[f"{block}_residual"]([x, branch])
    x = layers["vocoder_norm"](x)
    return layers["vocoder_gains"](x), layers["vocoder_pitch"](x)


def _blocks(layers: Layers) -> list[str]:
    """Returns the beginnings of the names of every block's layers."""
    suffix = "_depthwise"
    return sorted(name.removesuffix(suffix) for name in layers if name.endswith(suffix))


def _synthesize(layers: Layers, gains: tf.Tensor, pitch: tf.Tensor, noise: tf.Tensor, states: _States) -> tf.Tensor:
    """Returns the samples [B, T, hop] of log-gains, pitch [B, T] in Hz, and noise [B, T, hop]."""
    pulses = states.continued(layers, "vocoder_pulses", pitch)
    windows = [
        states.windowed(layers, "vocoder_pulse_windows", pulses),
        states.windowed(layers, "vocoder_noise_windows", noise),
    ]
    return states.continued(layers, "vocoder_overlap", layers["vocoder_filter"]([gains, *windows]))


@dataclass(frozen=True)
class VocoderParts:
    """The step of a vocoder, which shares the weights of the model that it is a part of.

    Attributes:
      step: (spectrogram [B, T, bins], noise [B, T, hop], states) -> (samples [B, T, hop], states after the step).
      states: shapes of the states without the batch, by name, in the order of the arguments.
      bins: width of a frame.
      hop: samples per frame.
    """

    step: keras.Model
    states: dict[str, tuple[int, ...]]
    bins: int
    hop: int


def vocoder_parts(model: keras.Model) -> VocoderParts:
    """Takes a model of `vocoder`, quantized or not, or one that has its layers among others, apart."""
    layers = {name: layer for layer in model.layers if (name := float_layer(layer).name).startswith(_PREFIX)}
    hop = layers["vocoder_pulses"].hop
    windows = layers["vocoder_pulse_windows"].size
    input_windows = layers["vocoder_input_windows"]
    bins, dim = int(input_windows.get_input_shape_at(0)[-1]), int(float_layer(layers["vocoder_input"]).units)
    shapes: dict[str, tuple[int, ...]] = {"vocoder_input_windows": (input_windows.size - 1, bins)}
    for block in _blocks(layers):
        shapes[f"{block}_depthwise"] = (layers[f"{block}_depthwise"].kernel_size - 1, dim)
    shapes |= {"vocoder_pulses": (1,)}
    shapes |= dict.fromkeys(("vocoder_pulse_windows", "vocoder_noise_windows", "vocoder_overlap"), (windows - 1, hop))
    spectrogram, noise = keras.Input([None, bins], name="spectrogram"), keras.Input([None, hop], name="noise")
    states = _States({name: keras.Input(shape, name=f"{name}_past") for name, shape in shapes.items()})
    gains, predicted = _analyze(layers, spectrogram, states)
    samples = _synthesize(layers, gains, VoicePitch(name="vocoder_voice")(predicted), noise, states)
    after = [states.after[name] for name in shapes]
    return VocoderParts(
        step=keras.Model([spectrogram, noise, *states.before.values()], [samples, *after], name="vocoder_step"),
        states={name.removeprefix(_PREFIX): shape for name, shape in shapes.items()},
        bins=bins,
        hop=hop,
    )
