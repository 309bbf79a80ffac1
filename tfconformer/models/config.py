"""The section `model` of a configuration."""

from __future__ import annotations

import itertools
import math
import operator
from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from tfconformer.features.config import FeatureConfig
from tfconformer.section import Section

# Feature frames for one frame after the two strided convolutions.
SUBSAMPLING = 4
# Size and stride of the convolutions of the subsampling "time", in frames.
TIME_WINDOW, TIME_STRIDE = 5, 2
Weights = tuple[PositiveFloat, PositiveFloat]
_NO_ENCODER = dict.fromkeys(("blocks", "dim", "heads", "subsampling_channels"), 1)


class TransducerConfig(Section):
    """The prediction and joint networks of a transducer (2005.08100: one LSTM)."""

    embedding: int = Field(gt=0, description="width of the embedded labels")
    lstm_units: int = Field(gt=0, description="width of the LSTMs that read the labels")
    lstm_layers: int = Field(1, gt=0, description="number of LSTMs, each of which reads the one before it")
    joint: int = Field(gt=0, description="width of the joint network")
    joint_activation: Literal["tanh", "relu"] = Field("tanh", description="activation of the joint network")
    max_symbols: int = Field(5, gt=0, description="largest number of labels that a search finds in a frame")
    durations: tuple[NonNegativeInt, ...] = Field(
        (),
        description="numbers of frames, 1 among them, by which the joint network goes on with every label and blank "
        "(token-and-duration transducer, 2304.06795); none: a blank takes one frame, and a label none",
    )

    @model_validator(mode="after")
    def _durations_pass_every_frame(self) -> TransducerConfig:
        if self.durations and (1 not in self.durations or len(set(self.durations)) < len(self.durations)):
            raise ValueError(f"durations must be different numbers with 1 among them, got {list(self.durations)}")
        return self


class WaveformConfig(Section):
    """Trained convolutions along the waveform, without padding (wav2vec 2.0, 2006.11477, sec. 2).

    Each is followed by GELU, and the last by layer normalization.
    """

    channels: tuple[PositiveInt, ...] = Field(
        (512,) * 7, min_length=1, description="channels of the convolutions, from the first on"
    )
    kernels: tuple[PositiveInt, ...] = Field(
        (10, 3, 3, 3, 3, 2, 2), description="their kernels, of samples, then of frames of the convolution before"
    )
    strides: tuple[PositiveInt, ...] = Field((5, 2, 2, 2, 2, 2, 2), description="their strides")
    norm: Literal["instance", "layer"] = Field(
        "instance",
        description="normalization after them: of each channel of the first over the utterance (1607.08022), which a "
        "stream does not have; or layer normalization after all",
    )

    @model_validator(mode="after")
    def _as_many_of_each(self) -> WaveformConfig:
        sizes = [len(self.channels), len(self.kernels), len(self.strides)]
        if len(set(sizes)) > 1:
            raise ValueError("channels, kernels and strides must be as many, got {}, {} and {}".format(*sizes))
        return self

    @property
    def stride(self) -> int:
        """The distance of frames, in samples."""
        return math.prod(self.strides)

    @property
    def reach(self) -> int:
        """The number of samples that a frame is computed from."""
        distances = itertools.accumulate(self.strides[:-1], operator.mul, initial=1)
        return 1 + sum((kernel - 1) * distance for kernel, distance in zip(self.kernels, distances, strict=True))


class StackerConfig(Section):
    """A layer between two blocks that puts neighbouring frames side by side, at every `stride`-th (2210.13761)."""

    after: int = Field(ge=0, description="number of blocks before it")
    right: int = Field(
        0,
        ge=0,
        description="future frames beside each frame that stays; they delay a stream by right - stride + 1 frames; 0 "
        "is causal: the frame and the stride - 1 before it",
    )
    stride: int = Field(2, gt=1, description="frames of the input for one of the output")


class ParrotronConfig(Section):
    """The spectrogram decoder of speech-to-speech conversion (Parrotron, 1904.04169; streaming, 2210.13761)."""

    target: FeatureConfig = Field(
        FeatureConfig(frame_length=800, fft_length=1024),
        description="log-mel spectrogram that the decoder makes; its windows end where a frame ends",
    )
    frames_per_step: int = Field(4, gt=0, description="frames of the spectrogram that a decoder step makes")
    source_duration: bool = Field(
        False,
        description="train with spectrograms that are stretched to the duration of their sources, so that the "
        "conversion takes as long as what is said",
    )
    memory_blocks: tuple[PositiveInt, ...] = Field(
        (), description="numbers of the encoder blocks whose outputs, side by side, attention reads; none: the last"
    )
    memory: int = Field(128, gt=0, description="width of the frames that attention reads")
    prenet: int = Field(128, gt=0, description="width of the two layers that read the previous frame")
    prenet_dropout: float = Field(
        0.5, ge=0, lt=1, description="share of their activations that dropout sets to zero in training"
    )
    lstm_units: int = Field(256, gt=0, description="width of the attention LSTM and of the decoder LSTM")
    attention: Literal["mixture", "location"] = Field(
        "mixture",
        description="kind of attention: a mixture of Gaussians that moves forward (1910.10288), or location-sensitive "
        "attention (1506.07503), which aligns later",
    )
    components: int = Field(5, gt=0, description="Gaussian components of the mixture")
    encoder_frames_per_step: float | None = Field(
        None,
        gt=0,
        description="encoder frames that untrained attention moves in a decoder step; null: frames_per_step divided by "
        "the feature frames of an encoder frame",
    )
    training_lags: tuple[PositiveFloat, ...] = Field(
        (),
        description="seconds by which the decoder begins behind the speaker, of which one is drawn per training batch, "
        "so that the weights serve all of them; one longer than the utterances converts after their end; none: always",
    )
    postnet: int = Field(128, gt=0, description="width of the convolutions that refine the spectrogram")
    postnet_layers: int = Field(5, gt=0, description="number of these convolutions")
    postnet_kernel: int = Field(5, gt=0, description="their kernel, in frames; they read past frames alone")

    @model_validator(mode="after")
    def _invertible(self) -> ParrotronConfig:
        self.target.check_invertible()
        return self


class VocoderConfig(Section):
    """The vocoder, which filters harmonics and noise (harmonic-plus-noise model, Stylianou 2001) by a network."""

    spectrogram: FeatureConfig = Field(
        FeatureConfig(frame_length=800, fft_length=1024),
        description="log-mel spectrogram that it generates speech from, that of the decoder before it",
    )
    blocks: int = Field(4, gt=0, description="number of its blocks: a depthwise convolution and two dense layers")
    dim: int = Field(160, gt=0, description="width of the blocks")
    expansion: int = Field(3, gt=0, description="width between the two dense layers of a block, as a multiple of dim")
    kernel: int = Field(5, gt=0, description="kernel of the convolutions, in frames; they read past frames alone")

    @model_validator(mode="after")
    def _windows_add_up(self) -> VocoderConfig:
        self.spectrogram.check_invertible()
        length, step = self.spectrogram.frame_length, self.spectrogram.frame_step
        if length % step or length < 3 * step:
            raise ValueError(f"frame_length {length} must be three or more times frame_step {step}, a whole number")
        return self


class ModelConfig(Section):
    """The Conformer encoder (2005.08100) and what follows it: a CTC head, or a transducer.

    A frame is what a block computes with: `subsampling_factor` feature frames, 40 ms with the default front end, times
    the strides of the stackers before it.
    """

    blocks: int = Field(gt=0, description="number of Conformer blocks")
    dim: int = Field(gt=0, description="width of the encoder, a multiple of heads")
    heads: int = Field(gt=0, description="number of attention heads")
    ff_expansion: int = Field(4, gt=0, description="width of the feed-forward modules, as a multiple of dim")
    conv_kernel: int = Field(31, gt=0, description="kernel of the depthwise convolutions, in frames")
    waveform: WaveformConfig | None = Field(
        None, description="convolutions that make frames of features of the kind waveform; null has none"
    )
    subsampling_channels: int | None = Field(
        gt=0,
        description="channels of the strided convolutions that turn feature frames into frames; null has none: the "
        "first block computes with feature frames, or those of waveform",
    )
    subsampling: Literal["convolution", "depthwise", "time"] = Field(
        "convolution",
        description="kind of these convolutions: two of 3x3 over frames and bins; one and depthwise ones after it "
        "(FastConformer, 2305.05084); or two of 5 along time after a dense layer, without padding",
    )
    subsampling_factor: Literal[4, 8] = Field(
        4, description="feature frames for one frame; 8 is possible with depthwise convolutions"
    )
    feature_normalization: Literal["corpus", "utterance"] = Field(
        "corpus",
        description="statistics that normalize the features; those of an utterance do not exist in a stream; the least "
        "variance of a waveform's is 1e-7, and 1e-5 is added to the deviations of log-mel energies",
    )
    positions: Literal["relative", "rotary", "rotary_inputs", "none"] = Field(
        "relative",
        description="positions of attention: relative (1901.02860); rotary (2104.09864), or rotary in front of the "
        "projections to queries and keys, which a stream does not have; or none",
    )
    activation: Literal["swish", "gelu"] = Field(
        "swish", description="activation of the feed-forward modules and after the depthwise convolutions"
    )
    conv_norm: bool = Field(
        True,
        description="if true, layer normalization follows the depthwise convolutions; otherwise nothing, as where "
        "batch normalization is folded into them",
    )
    ff_residual: Weights = Field(
        (1.0, 0.5), description="weights of the two terms of feed-forward residuals, the input and the module's output"
    )
    conv_residual: Weights = Field((1.0, 1.0), description="weights of the two terms of convolution residuals")
    norm_epsilon: float = Field(1e-5, gt=0, description="least variance of layer normalization")
    final_norm: bool = Field(False, description="if true, another layer normalization follows the last block")
    stackers: tuple[StackerConfig, ...] = Field(
        (), description="layers between blocks that make frames fewer, from the first on"
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="share of activations that dropout sets to zero in training")
    causal: bool = Field(False, description="if true, convolutions read no future frame")
    left_context: int | None = Field(
        None, ge=0, description="number of past frames that attention reads; null reads all"
    )
    right_context: NonNegativeInt | tuple[NonNegativeInt, ...] | None = Field(
        None,
        description="number of future frames that attention reads, of all blocks or one for each; null reads all; "
        "excludes attention_chunk",
    )
    attention_chunk: int | None = Field(
        None,
        gt=0,
        description="attention reads the future frames up to the end of its chunk of this many frames; null has no "
        "chunks",
    )
    training_chunks: tuple[PositiveInt, ...] = Field(
        (),
        description="attention chunks, in frames, of which one is drawn per training batch in place of "
        "attention_chunk, so that the weights serve all of them; one longer than the utterances is unlimited "
        "look-ahead",
    )
    intermediate_ctc: int | None = Field(
        None,
        gt=0,
        description="number of blocks after which an auxiliary CTC head reads, below blocks; null has no head",
    )
    transducer: TransducerConfig | None = Field(
        None, description="prediction and joint network of a transducer; null has none"
    )
    parrotron: ParrotronConfig | None = Field(
        None, description="spectrogram decoder of speech-to-speech conversion; null has none"
    )
    vocoder: VocoderConfig | None = Field(
        None,
        description="vocoder, of the task vocoder, for which the section holds nothing else; null has none",
    )

    @model_validator(mode="before")
    @classmethod
    def _vocoder_alone(cls, tree: Any) -> Any:
        """Fills in the encoder's keys where there is nothing but a vocoder, which has no encoder."""
        return _NO_ENCODER | tree if isinstance(tree, dict) and tree.keys() == {"vocoder"} else tree

    @model_validator(mode="after")
    def _consistent(self) -> ModelConfig:
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} is not a multiple of heads {self.heads}")
        if self.attention_chunk is not None and self.right_context is not None:
            raise ValueError("attention_chunk replaces right_context: give one of them")
        if self.training_chunks and self.right_context is not None:
            raise ValueError("training_chunks replace right_context: give one of them")
        if isinstance(self.right_context, tuple) and len(self.right_context) != self.blocks:
            raise ValueError(f"right_context has {len(self.right_context)} numbers for {self.blocks} blocks")
        if self.subsampling_factor != SUBSAMPLING and self.subsampling != "depthwise":
            raise ValueError(f"subsampling_factor {self.subsampling_factor} needs subsampling: depthwise")
        if self.positions in ("rotary", "rotary_inputs") and self.dim // self.heads % 2:
            raise ValueError(f"rotary positions need an even width of heads, got {self.dim // self.heads}")
        if self.waveform is not None and self.subsampling_channels is not None:
            raise ValueError("the convolutions of waveform make frames: set subsampling_channels to null")
        self._check_stackers()
        if self.intermediate_ctc is not None and self.intermediate_ctc >= self.blocks:
            raise ValueError(
                f"intermediate_ctc {self.intermediate_ctc} must lie before the last of {self.blocks} blocks"
            )
        blocks = self.parrotron.memory_blocks if self.parrotron else ()
        if any(block > self.blocks for block in blocks):
            raise ValueError(f"parrotron.memory_blocks {list(blocks)} must be at most {self.blocks}")
        last = max((stacker.after for stacker in self.stackers), default=0)
        if any(block <= last for block in blocks):
            raise ValueError(
                f"parrotron.memory_blocks {list(blocks)} must come after the last stacker, that is, be above {last}"
            )
        return self

    def _check_stackers(self) -> None:
        places = [stacker.after for stacker in self.stackers]
        if places != sorted(set(places)) or any(place >= self.blocks for place in places):
            raise ValueError(
                f"stackers must be in order, each after another number of blocks below {self.blocks}: {places}"
            )
        for stacker in self.stackers:
            if 0 < stacker.right < stacker.stride - 1:
                raise ValueError(
                    f"a stacker of stride {stacker.stride} that reads {stacker.right} future frames leaves frames out: "
                    f"give right 0, or {stacker.stride - 1} or more"
                )
        if self.stackers and (self.attention_chunk is not None or self.training_chunks):
            raise ValueError("attention chunks are of frames of one length: give right_context beside stackers")

    @property
    def encoder_stride(self) -> int:
        """The number of feature frames for one encoder frame."""
        if self.waveform is not None:
            subsampling = self.waveform.stride
        else:
            subsampling = 1 if self.subsampling_channels is None else self.subsampling_factor
        return subsampling * math.prod(stacker.stride for stacker in self.stackers)

    @property
    def shortest_input(self) -> int:
        """The number of feature frames that one encoder frame needs; the frames of padding are not counted."""
        if self.waveform is not None:
            return self.waveform.reach
        if self.subsampling_channels is not None and self.subsampling == "time":
            return TIME_WINDOW + (TIME_WINDOW - 1) * TIME_STRIDE
        return 1

    @property
    def decoder_clock(self) -> float:
        """The number of encoder frames that a speaker takes for a step of the spectrogram decoder."""
        assert self.parrotron is not None
        return self.parrotron.frames_per_step / self.encoder_stride

    def right_context_of(self, block: int) -> int | None:
        """Returns the number of future frames that the attention of a block, counted from 0, reads; None: all."""
        return self.right_context[block] if isinstance(self.right_context, tuple) else self.right_context


def shortest_utterance(features: FeatureConfig, model: ModelConfig) -> int:
    """Returns the number of samples from which on an utterance has an encoder frame."""
    return features.frame_length + (model.shortest_input - 1) * features.frame_step
