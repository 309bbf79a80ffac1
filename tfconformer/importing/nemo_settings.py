"""The sections of `model_config.yaml` in a NeMo archive that decide what a model computes.

An unknown key is an error unless its section names it among those that change nothing: keys of training, of the memory
of computing, and of what other keys determine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError, model_validator

from tfconformer.errors import InputError
from tfconformer.section import Section, explain

CONFIG = "model_config.yaml"


class Part(Section):
    """A section of the settings.

    Attributes:
      ignored: keys that change nothing; None: all unknown ones.
    """

    ignored: ClassVar[frozenset[str] | None] = frozenset({"_target_"})

    @model_validator(mode="before")
    @classmethod
    def _without_ignored_keys(cls, tree: Any) -> Any:
        if not isinstance(tree, dict):
            return tree
        ignored = tree.keys() - cls.model_fields.keys() if cls.ignored is None else cls.ignored
        return {key: value for key, value in tree.items() if key not in ignored}


class Preprocessor(Part):
    """The settings of `AudioToMelSpectrogramPreprocessor`."""

    ignored = frozenset(
        """_target_ dither n_window_size n_window_stride nb_augmentation_prob nb_max_freq pad_to pad_value
        rng""".split()
    )

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


class Encoder(Part):
    """The settings of `ConformerEncoder`."""

    ignored = frozenset(
        """_target_ att_context_probs dropout_att dropout_emb dropout_pre_encoder feat_in pos_emb_max_len
        reduction_factor reduction_position stochastic_depth_drop_prob stochastic_depth_mode
        stochastic_depth_start_layer subsampling_conv_chunking_factor sync_max_audio_length use_pytorch_sdpa
        use_pytorch_sdpa_backends""".split()
    )

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

    @property
    def channels(self) -> int:
        """The number of channels of the subsampling."""
        return self.d_model if self.subsampling_conv_channels == -1 else self.subsampling_conv_channels


class CTCDecoder(Part):
    """The settings of the CTC head."""

    ignored = None

    num_classes: int = Field(gt=0)


class PredictionNetwork(Part):
    """The settings of the LSTMs of `RNNTDecoder`."""

    ignored = frozenset("dropout forget_gate_bias hidden_hidden_bias_scale t_max weights_init_scale".split())

    pred_hidden: PositiveInt
    pred_rnn_layers: PositiveInt
    rnn_hidden_size: Literal[-1] = -1


class TransducerDecoder(Part):
    """The settings of `RNNTDecoder`, the prediction network."""

    ignored = frozenset({"_target_", "random_state_sampling"})

    prednet: PredictionNetwork
    vocab_size: PositiveInt
    normalization_mode: Literal[None] = None
    blank_as_pad: Literal[True] = True


class JointNetwork(Part):
    """The settings of the layers of `RNNTJoint`."""

    ignored = frozenset({"encoder_hidden", "pred_hidden"})

    joint_hidden: PositiveInt
    activation: Literal["relu", "tanh"]
    dropout: float = 0.0


class Joint(Part):
    """The settings of `RNNTJoint`."""

    ignored = frozenset(
        """_target_ experimental_fuse_loss_wer fuse_loss_wer fused_batch_size log_softmax num_classes preserve_memory
        vocabulary""".split()
    )

    jointnet: JointNetwork
    num_extra_outputs: NonNegativeInt = 0
    masking_prob: float = Field(-1.0, le=0)


class GreedySearch(Part):
    """The settings of the greedy search through a transducer."""

    ignored = None

    max_symbols: PositiveInt = 10


class Decoding(Part):
    """The settings of the search through a transducer."""

    ignored = None

    greedy: GreedySearch = GreedySearch()
    durations: tuple[NonNegativeInt, ...] | None = None


_Part = TypeVar("_Part", bound=Part)


def read_part(path: Path, tree: dict[str, Any], kind: type[_Part], name: str) -> _Part:
    """Reads a section.

    Args:
      path: the archive, for messages.
      tree: the settings.
      kind: the class of the section.
      name: its key.

    Raises:
      InputError: there is no such section, a key of it is unknown or missing, or has a value that this package cannot
        compute.
    """
    part = tree.get(name)
    if not isinstance(part, dict):
        raise InputError(f"{path}: {CONFIG} has no section {name!r}")
    try:
        return kind.model_validate(part)
    except ValidationError as error:
        raise InputError(f"{path}: {CONFIG}, {name}: {explain(error)}") from None
