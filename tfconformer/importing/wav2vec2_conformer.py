"""`Wav2Vec2ConformerForCTC` of transformers: convolutions along the waveform (2006.11477), a Conformer, a CTC head."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from tfconformer.features.config import FeatureConfig
from tfconformer.importing import layers
from tfconformer.importing.architecture import Architecture, LayerWeights
from tfconformer.importing.hugging_face import CTCSettings, HuggingFaceFolder, Settings, ctc_architecture
from tfconformer.importing.layers import Block
from tfconformer.importing.tensors import Tensors
from tfconformer.models.config import ModelConfig, WaveformConfig

_EPSILON = 1e-5  # of all normalizations but those of the encoder's ends, which have a setting
# Patterns of names in other Conformers of transformers, and what replaces them here.
_NAMES = (
    (r"^(?!ctc_head)", "wav2vec2_conformer."),
    (r"^ctc_head", "lm_head"),
    (r"norm_feed_forward(\d)", r"ffn\1_layer_norm"),
    (r"feed_forward(\d)\.linear1", r"ffn\1.intermediate_dense"),
    (r"feed_forward(\d)\.linear2", r"ffn\1.output_dense"),
    (r"norm_self_att\b", "self_attn_layer_norm"),
    (r"norm_conv\b", "conv_module.layer_norm"),
    (r"norm_out\b", "final_layer_norm"),
    (r"\b([qkv])_proj\b", r"linear_\1"),
    (r"\bo_proj\b", "linear_out"),
    (r"relative_k_proj", "linear_pos"),
    (r"\b(bias_[uv])\b", r"pos_\1"),
    (r"\bconv\.norm\b", "conv_module.batch_norm"),
    (r"\bconv\.(pointwise|depthwise)", r"conv_module.\1"),
)
# Settings of the training, of other heads, and of what the class has and does not compute with: codebooks, and a
# convolution of positions.
_WITHOUT_EFFECT = (
    "apply_spec_augment",
    "mask_.*",
    ".*dropout.*",
    "layerdrop",
    ".*codevector.*",
    "contrastive_logits_temperature",
    "diversity_loss_weight",
    "num_negatives",
    "use_weighted_layer_sum",
    "classifier_proj_size",
    "tdnn_.*",
    "xvector_output_dim",
    "adapter_.*",
    "num_adapter_layers",
    "output_hidden_size",
    "num_conv_pos_.*",
    "num_feat_extract_layers",
    "max_source_positions",
    "do_stable_layer_norm",
    "gradient_checkpointing",
)
_POSITIONS: dict[str | None, Literal["relative", "rotary_inputs", "none"]] = {
    "relative": "relative",
    "rotary": "rotary_inputs",
    None: "none",
}
_ACTIVATIONS: dict[str, Literal["gelu", "swish"]] = {"gelu": "gelu", "silu": "swish", "swish": "swish"}
_NORMS: dict[str, Literal["instance", "layer"]] = {"group": "instance", "layer": "layer"}


class Wav2Vec2ConformerCTC(CTCSettings):
    """The settings of `Wav2Vec2ConformerForCTC`."""

    without_effect: ClassVar[re.Pattern[str]] = re.compile("|".join(_WITHOUT_EFFECT))

    model_type: Literal["wav2vec2-conformer"]
    pad_token_id: int = Field(0, ge=0)
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: Literal["gelu", "silu", "swish"] = "gelu"
    hidden_dropout: float = 0.1
    layer_norm_eps: float = _EPSILON
    feat_extract_norm: Literal["group", "layer"] = "group"
    feat_extract_activation: Literal["gelu"] = "gelu"
    conv_dim: tuple[int, ...] = (512,) * 7
    conv_stride: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    conv_kernel: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_bias: bool = False
    add_adapter: bool = False
    position_embeddings_type: Literal["relative", "rotary"] | None = "relative"
    rotary_embedding_base: Literal[10000] = 10000
    conv_depthwise_kernel_size: int = 31

    @model_validator(mode="after")
    def _is_a_model_of_this_package(self) -> Wav2Vec2ConformerCTC:
        if self.intermediate_size % self.hidden_size:
            raise ValueError(f"intermediate_size {self.intermediate_size} is no multiple of hidden_size")
        if self.layer_norm_eps != _EPSILON:
            raise ValueError(
                f"layer_norm_eps {self.layer_norm_eps:g} is not {_EPSILON:g}, that of the other normalizations"
            )
        if self.add_adapter:
            raise ValueError("add_adapter: this package has no adapter, strided convolutions after the encoder")
        return self


class FeatureExtractor(Settings):
    """The settings of `Wav2Vec2FeatureExtractor`."""

    feature_size: Literal[1] = 1
    sampling_rate: int = 16000
    do_normalize: bool = True


def stored_name(name: str) -> str:
    """Returns the name of a tensor in a checkpoint, given its name in other Conformers of transformers."""
    for pattern, replacement in _NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def read(folder: HuggingFaceFolder) -> Architecture:
    """Reads the settings of a model.

    Raises:
      InputError: see `HuggingFaceFolder.settings`.
    """
    settings = folder.settings(Wav2Vec2ConformerCTC)
    extractor = folder.feature_settings(FeatureExtractor)
    features = FeatureConfig(kind="waveform", sample_rate=extractor.sampling_rate)
    model = encoder_config(settings, extractor.do_normalize)
    return ctc_architecture(settings, features, model, lambda tensors: encoder_layers(tensors, settings))


def encoder_config(settings: Wav2Vec2ConformerCTC, normalized: bool) -> ModelConfig:
    """Returns the configuration of the encoder, of utterances that are normalized or taken as they are."""
    return ModelConfig(
        blocks=settings.num_hidden_layers,
        dim=settings.hidden_size,
        heads=settings.num_attention_heads,
        ff_expansion=settings.intermediate_size // settings.hidden_size,
        conv_kernel=settings.conv_depthwise_kernel_size,
        conv_norm=False,
        waveform=WaveformConfig(
            channels=settings.conv_dim,
            kernels=settings.conv_kernel,
            strides=settings.conv_stride,
            norm=_NORMS[settings.feat_extract_norm],
        ),
        subsampling_channels=None,
        feature_normalization="utterance" if normalized else "corpus",
        positions=_POSITIONS[settings.position_embeddings_type],
        activation=_ACTIVATIONS[settings.hidden_act],
        norm_epsilon=_EPSILON,
        final_norm=True,
        dropout=settings.hidden_dropout,
    )


def encoder_layers(tensors: Tensors, settings: Wav2Vec2ConformerCTC) -> Iterator[LayerWeights]:
    """Yields the weights of the encoder's layers."""
    tensors.ignore(r"\.(masked_spec_embed$|encoder\.pos_conv_embed\.|encoder\.embed_positions\.)")
    yield from convolutions(tensors, settings)
    channels, dim = settings.conv_dim[-1], settings.hidden_size
    yield "feature_norm", layers.normalization(tensors, "feature_projection.layer_norm", channels)
    yield "feature_projection", layers.dense(tensors, "feature_projection.projection", channels, dim)
    shape = Block(
        dim=dim,
        heads=settings.num_attention_heads,
        feed_forward=settings.intermediate_size,
        kernel=settings.conv_depthwise_kernel_size,
        convolution_bias=False,
    )
    for index in range(settings.num_hidden_layers):
        source, name = f"encoder.layers.{index}", f"block_{index:02d}"
        yield from layers.block(tensors, source, name, shape)
        if settings.position_embeddings_type == "relative":
            yield from layers.relative_positions(tensors, f"{source}.self_attn", f"{name}_attention", shape)
    yield "final_norm", layers.normalization(tensors, "encoder.layer_norm", dim)


def convolutions(tensors: Tensors, settings: Wav2Vec2ConformerCTC) -> Iterator[LayerWeights]:
    """Yields the weights of the convolutions along the waveform, and of the normalizations between them."""
    inputs = 1
    for index, (outputs, size) in enumerate(zip(settings.conv_dim, settings.conv_kernel, strict=True)):
        source = f"feature_extractor.conv_layers.{index}"
        kernel = layers.convolution(tensors, f"{source}.conv", inputs, outputs, size, settings.conv_bias)
        yield f"waveform_convolution_{index}", kernel
        if settings.feat_extract_norm == "layer" or index == 0:
            yield f"waveform_norm_{index}", layers.normalization(tensors, f"{source}.layer_norm", outputs)
        inputs = outputs
