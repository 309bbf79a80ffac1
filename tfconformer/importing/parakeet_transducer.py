"""`ParakeetForRNNT` and `ParakeetForTDT` of transformers: the FastConformer encoder (2305.05084) with a transducer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from tfconformer.importing import parakeet
from tfconformer.importing.architecture import Architecture, LayerWeights
from tfconformer.importing.hugging_face import HuggingFaceFolder, Settings
from tfconformer.importing.tensors import Tensors
from tfconformer.importing.transducer import transducer_layers
from tfconformer.models.config import TransducerConfig


class TransducerSettings(Settings):
    """The settings that both classes have."""

    vocab_size: int = Field(8193, gt=1)
    blank_token_id: int = Field(8192, ge=0)
    pad_token_id: int = 2
    decoder_hidden_size: int = Field(640, gt=0)
    num_decoder_layers: int = Field(2, gt=0)
    hidden_act: Literal["relu", "tanh"] = "relu"
    max_symbols_per_step: int = Field(10, gt=0)
    encoder_config: parakeet.Encoder


class ParakeetRNNT(TransducerSettings):
    """The settings of `ParakeetForRNNT`."""

    model_type: Literal["parakeet_rnnt"]


class ParakeetTDT(TransducerSettings):
    """The settings of `ParakeetForTDT`."""

    model_type: Literal["parakeet_tdt"]
    durations: tuple[int, ...] = (0, 1, 2, 3, 4)


def read_rnnt(folder: HuggingFaceFolder) -> Architecture:
    """Reads the settings of a model of `ParakeetForRNNT`.

    Raises:
      InputError: see `HuggingFaceFolder.settings`.
    """
    return _architecture(folder, folder.settings(ParakeetRNNT), ())


def read_tdt(folder: HuggingFaceFolder) -> Architecture:
    """Reads the settings of a model of `ParakeetForTDT`.

    Raises:
      InputError: see `HuggingFaceFolder.settings`.
    """
    settings = folder.settings(ParakeetTDT)
    return _architecture(folder, settings, settings.durations)


def _architecture(folder: HuggingFaceFolder, settings: TransducerSettings, durations: tuple[int, ...]) -> Architecture:
    encoder, symbols, blank = settings.encoder_config, settings.vocab_size, settings.blank_token_id
    # Prediction and joint network are equally wide.
    transducer = TransducerConfig(
        embedding=settings.decoder_hidden_size,
        lstm_units=settings.decoder_hidden_size,
        lstm_layers=settings.num_decoder_layers,
        joint=settings.decoder_hidden_size,
        joint_activation=settings.hidden_act,
        max_symbols=settings.max_symbols_per_step,
        durations=durations,
    )

    def layers(tensors: Tensors) -> Iterator[LayerWeights]:
        yield from parakeet.encoder_layers(tensors, encoder)
        yield from transducer_layers(tensors, transducer, encoder.hidden_size, symbols, blank)

    return Architecture(
        task="recognition_transducer",
        features=parakeet.feature_config(folder.feature_settings(parakeet.FeatureExtractor)),
        model=parakeet.encoder_config(encoder).model_copy(update={"transducer": transducer}),
        symbols=symbols,
        blank=blank,
        layers=layers,
    )
