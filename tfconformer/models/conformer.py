"""The model that a configuration describes."""

from __future__ import annotations

import tf_keras as keras

from tfconformer.config import ModelConfig
from tfconformer.models.conformer_ctc import conformer_ctc
from tfconformer.models.conformer_transducer import conformer_transducer


def conformer(config: ModelConfig, mel_bins: int, vocabulary: int) -> keras.Model:
    """A float model, freshly initialized: a transducer if `config` has a section for it, otherwise one of CTC.

    Args:
      config: sizes and context.
      mel_bins: width of the features.
      vocabulary: number of tokenizer pieces.
    """
    build = conformer_ctc if config.transducer is None else conformer_transducer
    return build(config, mel_bins, vocabulary)
