"""NeMo archives (`.nemo`) of Conformers and FastConformers with a CTC head: TAR files of a YAML, weights and tokenizer.

The tensors have other names than those of transformers, and the same values. Of a hybrid of transducer and CTC, the
encoder and the CTC head are read.
"""

from __future__ import annotations

import contextlib
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

from pydantic import Field, ValidationError

from tfconformer.errors import InputError
from tfconformer.features.config import FeatureConfig
from tfconformer.importing import layers, parakeet
from tfconformer.importing.architecture import Architecture, Checkpoint, LayerWeights
from tfconformer.importing.pytorch_file import read_pytorch
from tfconformer.importing.tensors import Tensors
from tfconformer.models.config import ModelConfig
from tfconformer.section import Section, explain
from tfconformer.yaml_files import load_yaml

_CONFIG, _WEIGHTS = "model_config.yaml", "model_weights.ckpt"
_CLASSES = ("EncDecCTCModelBPE", "EncDecHybridRNNTCTCBPEModel")
# Names in transformers, and in an archive.
_NAMES = (
    (r"^encoder\.subsampling\.layers\.", "encoder.pre_encode.conv."),
    (r"^encoder\.subsampling\.linear\.", "encoder.pre_encode.out."),
    (r"\.self_attn\.([qkv])_proj\.", r".self_attn.linear_\1."),
    (r"\.self_attn\.o_proj\.", ".self_attn.linear_out."),
    (r"\.self_attn\.relative_k_proj\.", ".self_attn.linear_pos."),
    (r"\.self_attn\.bias_([uv])$", r".self_attn.pos_bias_\1"),
    (r"\.conv\.norm\.", ".conv.batch_norm."),
)


class Preprocessor(Section):
    """The settings of `AudioToMelSpectrogramPreprocessor`."""

    sample_rate: int = 16000
    window_size: float = 0.02
    window_stride: float = 0.01
    window: Literal["hann"] = "hann"
    normalize: Literal["per_feature", "NA"] | None = "per_feature"
    n_fft: int | None = None
    preemph: float | None = 0.97
    features: int = 64
    lowfreq: float = 0.0
    highfreq: float | None = None
    log: Literal[True] = True
    log_zero_guard_type: Literal["add"] = "add"
    log_zero_guard_value: float = 2.0**-24
    frame_splicing: Literal[1] = 1
    exact_pad: Literal[False] = False
    mag_power: float = Field(2.0, ge=2, le=2)
    mel_norm: Literal["slaney"] = "slaney"


class Encoder(Section):
    """The settings of `ConformerEncoder`."""

    n_layers: int
    d_model: int
    feat_out: Literal[-1] = -1
    causal_downsampling: Literal[False] = False
    subsampling: Literal["striding", "dw_striding"] = "striding"
    subsampling_factor: Literal[4, 8] = 4
    subsampling_conv_channels: int = -1
    reduction: Literal[None] = None
    ff_expansion_factor: int = 4
    self_attention_model: Literal["rel_pos"] = "rel_pos"
    n_heads: int = 4
    att_context_size: Literal[None] | tuple[Literal[-1], Literal[-1]] = None
    att_context_style: Literal["regular"] = "regular"
    xscaling: bool = True
    untie_biases: Literal[True] = True
    use_bias: bool = True
    conv_kernel_size: int = 31
    conv_norm_type: Literal["batch_norm"] = "batch_norm"
    conv_context_size: Literal[None] = None
    dropout: float = 0.1


class Decoder(Section):
    """The settings of the CTC head."""

    num_classes: int = Field(gt=0)


# Keys that change nothing here: of training, of the memory of computing, and of what other keys determine.
_IGNORED = frozenset(
    """_target_ att_context_probs dither dropout_att dropout_emb dropout_pre_encoder feat_in nb_augmentation_prob
    nb_max_freq n_window_size n_window_stride pad_to pad_value pos_emb_max_len reduction_factor reduction_position rng
    stochastic_depth_drop_prob stochastic_depth_mode stochastic_depth_start_layer subsampling_conv_chunking_factor
    sync_max_audio_length use_pytorch_sdpa use_pytorch_sdpa_backends vocabulary""".split()
)
_Part = TypeVar("_Part", bound=Section)


def read_archive(path: Path, files: contextlib.ExitStack) -> Checkpoint:
    """Reads an archive.

    Args:
      path: the file.
      files: receives the open file, from which tensors are read.

    Raises:
      InputError: the file is no NeMo archive, or holds a model of another class or with settings that this package does
        not compute.
    """
    try:
        archive = files.enter_context(tarfile.open(path))  # noqa: SIM115 - `files` closes it
        members = {Path(member.name).name: member for member in archive.getmembers() if member.isfile()}
    except (tarfile.TarError, EOFError) as error:
        raise InputError(f"{path} is neither a folder of a checkpoint nor a NeMo archive: {error}") from None

    def content(name: str) -> IO[bytes]:
        file = archive.extractfile(members[name]) if name in members else None
        if file is None:
            raise InputError(f"{path} is no NeMo archive: it lacks {name}")
        return file

    try:
        tree = load_yaml(content(_CONFIG).read().decode("utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: {_CONFIG} is not YAML: {error}") from None
    if not isinstance(tree, dict):
        raise InputError(f"{path}: {_CONFIG} is no mapping")
    name = str(tree.get("target", "")).rpartition(".")[2]
    if name not in _CLASSES:
        raise InputError(
            f"{path} holds a {name or 'model of no class'}; classes that can be imported: {', '.join(_CLASSES)}"
        )
    hybrid = name != _CLASSES[0]
    architecture = _architecture(path, tree, hybrid)
    head = "ctc_decoder.decoder_layers.0." if hybrid else "decoder.decoder_layers.0."
    tensors = Tensors(path, read_pytorch(content(_WEIGHTS), path), lambda one: _stored_name(one, head))
    # The window, mel filters and sinusoids, which the settings determine.
    tensors.ignore(r"^(preprocessor|encoder\.pos_enc)\.")
    if hybrid:
        tensors.ignore(r"^(decoder|joint)\.")
    section = tree.get("tokenizer")
    tokenizer = section.get("model_path") if isinstance(section, dict) else None
    if not isinstance(tokenizer, str):
        raise InputError(f"{path}: {_CONFIG} names no SentencePiece model under tokenizer.model_path")
    return Checkpoint(architecture, tensors, content(Path(tokenizer.removeprefix("nemo:")).name).read())


def _architecture(path: Path, tree: dict[str, Any], hybrid: bool) -> Architecture:
    preprocessor = _part(path, tree, Preprocessor, "preprocessor")
    encoder = _part(path, tree, Encoder, "encoder")
    decoder = _part(path, (tree.get("aux_ctc") or {}) if hybrid else tree, Decoder, "decoder")
    symbols = decoder.num_classes + 1
    same = _encoder_of_transformers(encoder, preprocessor)
    return Architecture(
        features=_features(preprocessor),
        model=_model(encoder, preprocessor),
        symbols=symbols,
        blank=decoder.num_classes,
        layers=lambda tensors: _layers(tensors, encoder, same),
        head=lambda tensors: layers.dense(tensors, "ctc_head", encoder.d_model, symbols),
    )


def _part(path: Path, tree: dict[str, Any], kind: type[_Part], name: str) -> _Part:
    part = tree.get(name)
    if not isinstance(part, dict):
        raise InputError(f"{path}: {_CONFIG} has no section {name!r}")
    ignored = _IGNORED if kind is not Decoder else part.keys() - {"num_classes"}
    try:
        return kind.model_validate({key: value for key, value in part.items() if key not in ignored})
    except ValidationError as error:
        raise InputError(f"{path}: {_CONFIG}, {name}: {explain(error)}") from None


def _features(settings: Preprocessor) -> FeatureConfig:
    length = round(settings.window_size * settings.sample_rate)
    return FeatureConfig(
        sample_rate=settings.sample_rate,
        frame_length=length,
        frame_step=round(settings.window_stride * settings.sample_rate),
        fft_length=settings.n_fft or 2 ** (length - 1).bit_length(),
        mel_bins=settings.features,
        lower_edge=settings.lowfreq,
        upper_edge=settings.highfreq or settings.sample_rate / 2,
        preemphasis=settings.preemph or 0.0,
        centered=True,
        window="symmetric",
        mel_scale="slaney",
        energy_floor=settings.log_zero_guard_value,
    )


def _model(settings: Encoder, features: Preprocessor) -> ModelConfig:
    return ModelConfig(
        blocks=settings.n_layers,
        dim=settings.d_model,
        heads=settings.n_heads,
        ff_expansion=settings.ff_expansion_factor,
        conv_kernel=settings.conv_kernel_size,
        subsampling="convolution" if settings.subsampling == "striding" else "depthwise",
        subsampling_channels=_channels(settings),
        subsampling_factor=settings.subsampling_factor,
        feature_normalization="utterance" if features.normalize == "per_feature" else "corpus",
        conv_norm=False,
        dropout=settings.dropout,
    )


def _channels(settings: Encoder) -> int:
    return settings.d_model if settings.subsampling_conv_channels == -1 else settings.subsampling_conv_channels


def _encoder_of_transformers(settings: Encoder, features: Preprocessor) -> parakeet.Encoder:
    """Returns the settings with the names of transformers, which has one of the two kinds of subsampling."""
    return parakeet.Encoder(
        model_type="parakeet_encoder",
        hidden_size=settings.d_model,
        num_hidden_layers=settings.n_layers,
        num_attention_heads=settings.n_heads,
        intermediate_size=settings.d_model * settings.ff_expansion_factor,
        attention_bias=settings.use_bias,
        convolution_bias=settings.use_bias,
        conv_kernel_size=settings.conv_kernel_size,
        subsampling_factor=settings.subsampling_factor,
        subsampling_conv_channels=_channels(settings),
        num_mel_bins=features.features,
        scale_input=settings.xscaling,
    )


def _layers(tensors: Tensors, settings: Encoder, same: parakeet.Encoder) -> Iterator[LayerWeights]:
    """Yields the weights of the encoder's layers."""
    if settings.subsampling == "dw_striding":
        yield from parakeet.encoder_layers(tensors, same)
        return
    channels = same.subsampling_conv_channels
    yield parakeet.first_convolution(tensors, channels)
    second = f"{parakeet.CONVOLUTIONS}.2"
    kernel = tensors.take(f"{second}.weight", channels, channels, 3, 3).transpose(2, 3, 1, 0)
    yield "subsampling_convolution", [kernel.reshape(-1, channels), tensors.take(f"{second}.bias", channels)]
    yield parakeet.projection(tensors, same, same.num_mel_bins // same.subsampling_factor)
    yield from parakeet.blocks(tensors, same)


def _stored_name(name: str, head: str) -> str:
    """Returns the name of a tensor in an archive, given its name in transformers."""
    for pattern, replacement in (*_NAMES, (r"^ctc_head\.", head)):
        name = re.sub(pattern, replacement, name)
    return name
