"""The files of a Hugging Face checkpoint: `config.json`, the settings of the features, and safetensors.

Settings are read as sections, whose unknown keys are errors: a key that a newer version of `transformers` added may
change what the model computes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from tfconformer.errors import InputError
from tfconformer.features.config import FeatureConfig
from tfconformer.importing.architecture import Architecture, LayerWeights
from tfconformer.importing.layers import Block, ctc_head
from tfconformer.importing.safetensors_file import read_safetensors
from tfconformer.importing.tensors import StoredTensor, Tensors
from tfconformer.models.config import ModelConfig
from tfconformer.section import Section, explain
from tfconformer.strict_json import read_object

NEWEST = "5.24"  # version of transformers whose classes are known
# Keys of all models, which change nothing that a model computes from features.
_GENERAL = frozenset(
    """_attn_implementation_autoset _name_or_path architectures auto_map bos_token_id chunk_size_feed_forward
    ctc_loss_reduction ctc_zero_infinity decoder_start_token_id dtype eos_token_id feature_extractor_type id2label
    initializer_range
    is_encoder_decoder label2id output_attentions output_hidden_states padding_side padding_value problem_type
    processor_class return_attention_mask return_dict sep_token_id tie_word_embeddings tokenizer_class torch_dtype
    transformers_version use_cache use_return_dict""".split()
)


class Settings(Section):
    """A part of the settings of a checkpoint.

    Attributes:
      without_effect: keys of the class, besides those of all models, that change nothing that a model computes.
    """

    without_effect: ClassVar[re.Pattern[str]] = re.compile("$.")  # none

    @model_validator(mode="before")
    @classmethod
    def _without_general_keys(cls, tree: Any) -> Any:
        if not isinstance(tree, dict):
            return tree
        general = {key for key in tree if key in _GENERAL or cls.without_effect.fullmatch(key)}
        return {key: value for key, value in tree.items() if key not in general}


class EncoderSettings(Settings):
    """The settings that the Conformer encoders of transformers share; subclasses have the defaults of their classes."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int | None = None
    intermediate_size: int
    hidden_act: Literal["silu", "swish"] = "silu"
    attention_bias: bool = True
    convolution_bias: bool = True
    conv_kernel_size: int
    subsampling_conv_channels: int
    subsampling_conv_stride: Literal[2] = 2
    num_mel_bins: int
    max_position_embeddings: int = 0
    dropout: float = 0.1
    dropout_positions: float = 0.0
    layerdrop: float = 0.1
    activation_dropout: float = 0.1
    attention_dropout: float = 0.1

    @model_validator(mode="after")
    def _is_a_block_of_this_package(self) -> EncoderSettings:
        if self.intermediate_size % self.hidden_size:
            raise ValueError(f"intermediate_size {self.intermediate_size} is no multiple of hidden_size")
        if self.num_key_value_heads not in (None, self.num_attention_heads):
            raise ValueError(f"num_key_value_heads {self.num_key_value_heads} differs from num_attention_heads")
        return self

    def block(self) -> Block:
        """Returns the shape of a block."""
        return Block(
            dim=self.hidden_size,
            heads=self.num_attention_heads,
            feed_forward=self.intermediate_size,
            kernel=self.conv_kernel_size,
            bias=self.attention_bias,
            convolution_bias=self.convolution_bias,
        )

    def sizes(self) -> dict[str, Any]:
        """Returns the keys of `ModelConfig` that these settings alone determine."""
        return {
            "blocks": self.num_hidden_layers,
            "dim": self.hidden_size,
            "heads": self.num_attention_heads,
            "ff_expansion": self.intermediate_size // self.hidden_size,
            "conv_kernel": self.conv_kernel_size,
            "conv_norm": False,
            "subsampling_channels": self.subsampling_conv_channels,
            "dropout": self.dropout,
        }


class CTCSettings(Settings):
    """The settings that models with a CTC head share; the blank is the padding."""

    vocab_size: int = Field(gt=1)
    pad_token_id: int = Field(ge=0)


class FeatureExtractorSettings(Settings):
    """The settings that the feature extractors share."""

    feature_size: int
    sampling_rate: int = 16000
    hop_length: int = 160
    n_fft: int = 512
    win_length: int = 400

    def sizes(self) -> dict[str, Any]:
        """Returns the keys of `FeatureConfig` that these settings alone determine."""
        return {
            "sample_rate": self.sampling_rate,
            "frame_length": self.win_length,
            "frame_step": self.hop_length,
            "fft_length": self.n_fft,
            "mel_bins": self.feature_size,
        }


_Settings = TypeVar("_Settings", bound=Settings)


class HuggingFaceFolder:
    """A folder that `save_pretrained` wrote, or a copy of a repository of the Hugging Face hub.

    Attributes:
      path: the folder.
      class_name: name of the class of the model.
    """

    def __init__(self, path: Path) -> None:
        """Reads `config.json`.

        Raises:
          InputError: it is missing, damaged, or names no class.
        """
        self.path = path
        self._config = read_object(path / "config.json")
        names = self._config.get("architectures")
        if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str):
            raise InputError(f"{path}/config.json does not name the class of the model under 'architectures'")
        self.class_name: str = names[0]

    def settings(self, kind: type[_Settings]) -> _Settings:
        """Reads the settings of the model.

        Raises:
          InputError: a key is unknown or missing, or has a value that this package cannot compute.
        """
        return self._validated(kind, "config.json", self._config)

    def feature_settings(self, kind: type[_Settings]) -> _Settings:
        """Reads the settings of the features.

        Raises:
          InputError: see `settings`, or there are none.
        """
        for name in ("processor_config.json", "preprocessor_config.json"):
            tree: Any = read_object(self.path / name) if (self.path / name).is_file() else None
            if tree and name == "processor_config.json":
                tree = tree.get("feature_extractor")  # older ones hold none
            if tree is not None:
                return self._validated(kind, name, tree)
        raise InputError(f"{self.path} lacks the settings of the features, preprocessor_config.json")

    def tensors(self, stored_name: Callable[[str], str] = str) -> Tensors:
        """Lists the tensors of the model.

        Args:
          stored_name: see `Tensors`.

        Raises:
          InputError: there are none, or a file is missing or damaged.
        """
        index = self.path / "model.safetensors.index.json"
        if index.is_file():
            files = read_object(index).get("weight_map")
            if not isinstance(files, dict) or not all(isinstance(name, str) for name in files.values()):
                raise InputError(f"{index} has no 'weight_map' from tensors to files")
            names = sorted(set(files.values()))
        else:
            names = ["model.safetensors"]
            if not (self.path / names[0]).is_file():
                raise InputError(
                    f"{self.path} has no model.safetensors; save the model with transformers, "
                    "model.save_pretrained(FOLDER), which writes one"
                )
        stored: dict[str, StoredTensor] = {}
        for name in names:
            if Path(name).name != name:
                raise InputError(f"{index} names a file outside of its folder: {name!r}")
            stored |= read_safetensors(self.path / name)
        return Tensors(self.path, stored, stored_name)

    def _validated(self, kind: type[_Settings], name: str, tree: Any) -> _Settings:
        try:
            return kind.model_validate(tree)
        except ValidationError as error:
            raise InputError(f"{self.path / name}: {explain(error)}{self._version_hint()}") from None

    def _version_hint(self) -> str:
        version = str(self._config.get("transformers_version", ""))
        parts = [int(part) for part in version.split(".")[:2] if part.isdecimal()]
        if parts > [int(part) for part in NEWEST.split(".")]:
            return f"; it was written by transformers {version}, and models of up to {NEWEST} can be imported"
        return ""


def ctc_architecture(
    settings: CTCSettings,
    features: FeatureConfig,
    model: ModelConfig,
    encoder_layers: Callable[[Tensors], Iterator[LayerWeights]],
) -> Architecture:
    """Returns the architecture of a model whose head is `ctc_head`, a convolution of size 1."""
    symbols, blank = settings.vocab_size, settings.pad_token_id

    def layers(tensors: Tensors) -> Iterator[LayerWeights]:
        yield from encoder_layers(tensors)
        yield ctc_head(tensors, model.dim, symbols, blank)

    return Architecture("recognition_ctc", features, model, symbols, blank, layers)
