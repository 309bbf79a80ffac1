"""NeMo archives (`.nemo`) of Conformers and FastConformers with a CTC head, a transducer or both.

An archive is a TAR file of a YAML, weights and tokenizer. The tensors have other names than those of transformers, and
the same values. Of a hybrid of transducer and CTC, one is read.
"""

from __future__ import annotations

import contextlib
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from tfconformer.errors import InputError
from tfconformer.features.config import FeatureConfig
from tfconformer.importing import layers, parakeet
from tfconformer.importing.architecture import Architecture, Checkpoint, LayerWeights
from tfconformer.importing.nemo_settings import (
    CONFIG,
    CTCDecoder,
    Decoding,
    Encoder,
    Joint,
    Preprocessor,
    TransducerDecoder,
    read_part,
)
from tfconformer.importing.pytorch_file import read_pytorch
from tfconformer.importing.tensors import Tensors
from tfconformer.importing.transducer import transducer_layers
from tfconformer.models.config import ModelConfig, TransducerConfig
from tfconformer.yaml_files import load_yaml

_WEIGHTS = "model_weights.ckpt"
# Decoders of the classes.
_CLASSES: dict[str, tuple[str, ...]] = {
    "EncDecCTCModelBPE": ("ctc",),
    "EncDecRNNTBPEModel": ("transducer",),
    "EncDecHybridRNNTCTCBPEModel": ("ctc", "transducer"),
}
_Names = tuple[tuple[str, str], ...]
# Names in transformers, and in an archive.
_ENCODER: _Names = (
    (r"^encoder\.subsampling\.layers\.", "encoder.pre_encode.conv."),
    (r"^encoder\.subsampling\.linear\.", "encoder.pre_encode.out."),
    (r"\.self_attn\.([qkv])_proj\.", r".self_attn.linear_\1."),
    (r"\.self_attn\.o_proj\.", ".self_attn.linear_out."),
    (r"\.self_attn\.relative_k_proj\.", ".self_attn.linear_pos."),
    (r"\.self_attn\.bias_([uv])$", r".self_attn.pos_bias_\1"),
    (r"\.conv\.norm\.", ".conv.batch_norm."),
)
_TRANSDUCER: _Names = (
    (r"^decoder\.embedding\.", "decoder.prediction.embed."),
    (r"^decoder\.lstm\.", "decoder.prediction.dec_rnn.lstm."),
    (r"^decoder\.decoder_projector\.", "joint.pred."),
    (r"^encoder_projector\.", "joint.enc."),
)


def read_archive(path: Path, files: contextlib.ExitStack, decoder: str | None = None) -> Checkpoint:
    """Reads an archive.

    Args:
      path: the file.
      files: receives the open file, from which tensors are read.
      decoder: the decoder of a hybrid that is read, "ctc" or "transducer"; None reads the CTC head.

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
        tree = load_yaml(content(CONFIG).read().decode("utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: {CONFIG} is not YAML: {error}") from None
    if not isinstance(tree, dict):
        raise InputError(f"{path}: {CONFIG} is no mapping")
    name = str(tree.get("target", "")).rpartition(".")[2]
    if name not in _CLASSES:
        raise InputError(
            f"{path} holds a {name or 'model of no class'}; classes that can be imported: {', '.join(_CLASSES)}"
        )
    decoders = _CLASSES[name]
    is_hybrid = len(decoders) > 1
    read = _with_transducer if (decoder if is_hybrid else decoders[0]) == "transducer" else _with_ctc
    architecture, names = read(path, tree, is_hybrid)
    tensors = Tensors(path, read_pytorch(content(_WEIGHTS), path), lambda one: _stored_name(one, names))
    # The window, mel filters and sinusoids, which the settings determine.
    tensors.ignore(r"^(preprocessor|encoder\.pos_enc)\.")
    if is_hybrid:
        tensors.ignore(r"^ctc_decoder\." if read is _with_transducer else r"^(decoder|joint)\.")
    section = tree.get("tokenizer")
    tokenizer = section.get("model_path") if isinstance(section, dict) else None
    if not isinstance(tokenizer, str):
        raise InputError(f"{path}: {CONFIG} names no SentencePiece model under tokenizer.model_path")
    return Checkpoint(architecture, tensors, content(Path(tokenizer.removeprefix("nemo:")).name).read())


def _with_ctc(path: Path, tree: dict[str, Any], is_hybrid: bool) -> tuple[Architecture, _Names]:
    """Returns the architecture of a model with its CTC head, and the names of the head's tensors."""
    features, model, encoder_layers = _encoder(path, tree)
    decoder = read_part(path, (tree.get("aux_ctc") or {}) if is_hybrid else tree, CTCDecoder, "decoder")
    symbols, blank = decoder.num_classes + 1, decoder.num_classes

    def weights(tensors: Tensors) -> Iterator[LayerWeights]:
        yield from encoder_layers(tensors)
        yield layers.ctc_head(tensors, model.dim, symbols, blank)

    prefix = "ctc_decoder" if is_hybrid else "decoder"
    names = ((r"^ctc_head\.", f"{prefix}.decoder_layers.0."),)
    return Architecture("recognition_ctc", features, model, symbols, blank, weights), names


def _with_transducer(path: Path, tree: dict[str, Any], is_hybrid: bool) -> tuple[Architecture, _Names]:
    """Returns the architecture of a model with its transducer, and the names of the transducer's tensors."""
    features, model, encoder_layers = _encoder(path, tree)
    decoder = read_part(path, tree, TransducerDecoder, "decoder")
    joint = read_part(path, tree, Joint, "joint")
    search = read_part(path, tree, Decoding, "decoding")
    durations = search.durations or ()
    if joint.num_extra_outputs != len(durations):
        raise InputError(
            f"{path}: {CONFIG} has {len(durations)} durations under decoding, but {joint.num_extra_outputs} of its "
            "outputs choose one"
        )
    symbols, blank = decoder.vocab_size + 1, decoder.vocab_size
    transducer = TransducerConfig(
        embedding=decoder.prednet.pred_hidden,
        lstm_units=decoder.prednet.pred_hidden,
        lstm_layers=decoder.prednet.pred_rnn_layers,
        joint=joint.jointnet.joint_hidden,
        joint_activation=joint.jointnet.activation,
        max_symbols=search.greedy.max_symbols,
        durations=durations,
    )

    def weights(tensors: Tensors) -> Iterator[LayerWeights]:
        yield from encoder_layers(tensors)
        yield from transducer_layers(tensors, transducer, model.dim, symbols, blank)

    model = model.model_copy(update={"transducer": transducer})
    head = 2 if joint.jointnet.dropout else 1  # after the activation, and dropout where there is some
    names = (*_TRANSDUCER, (r"^joint\.head\.", f"joint.joint_net.{head}."))
    return Architecture("recognition_transducer", features, model, symbols, blank, weights), names


def _encoder(
    path: Path, tree: dict[str, Any]
) -> tuple[FeatureConfig, ModelConfig, Callable[[Tensors], Iterator[LayerWeights]]]:
    """Returns the front end, the encoder, and the function that yields the weights of the encoder's layers."""
    features = read_part(path, tree, Preprocessor, "preprocessor")
    encoder = read_part(path, tree, Encoder, "encoder")
    same = _encoder_of_transformers(encoder, features)
    return (
        _features(features),
        _model(encoder, features),
        lambda tensors: _encoder_layers(tensors, same, encoder.subsampling),
    )


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
        subsampling_channels=settings.channels,
        subsampling_factor=settings.subsampling_factor,
        feature_normalization="utterance" if features.normalize == "per_feature" else "corpus",
        conv_norm=False,
        dropout=settings.dropout,
    )


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
        subsampling_conv_channels=settings.channels,
        num_mel_bins=features.features,
        scale_input=settings.xscaling,
    )


def _encoder_layers(tensors: Tensors, same: parakeet.Encoder, subsampling: str) -> Iterator[LayerWeights]:
    """Yields the weights of the encoder's layers."""
    if subsampling == "dw_striding":
        yield from parakeet.encoder_layers(tensors, same)
        return
    channels = same.subsampling_conv_channels
    yield parakeet.first_convolution(tensors, channels)
    second = f"{parakeet.CONVOLUTIONS}.2"
    kernel = tensors.take(f"{second}.weight", channels, channels, 3, 3).transpose(2, 3, 1, 0)
    yield "subsampling_convolution", [kernel.reshape(-1, channels), tensors.take(f"{second}.bias", channels)]
    yield parakeet.projection(tensors, same, same.num_mel_bins // same.subsampling_factor)
    yield from parakeet.blocks(tensors, same)


def _stored_name(name: str, of_decoder: _Names) -> str:
    """Returns the name of a tensor in an archive, given its name in transformers."""
    for pattern, replacement in (*_ENCODER, *of_decoder):
        name = re.sub(pattern, replacement, name)
    return name
