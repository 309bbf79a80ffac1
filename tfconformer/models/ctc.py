"""The Conformer with a CTC head, as one flat functional Keras model (2005.08100)."""

from __future__ import annotations

import tf_keras as keras

from tfconformer.models.config import ModelConfig
from tfconformer.models.encoder import ctc_head, encoder, encoder_inputs


def conformer_ctc(config: ModelConfig, mel_bins: int, vocabulary: int) -> keras.Model:
    """Builds the model.

    Args:
      config: sizes and context.
      mel_bins: width of the features.
      vocabulary: number of tokenizer pieces; the logits have one column more, the blank, at 0.

    Returns:
      A model of (features [B, T, mel_bins], lengths [B] int32) -> {"logits": [B, ceil(T/4), vocabulary + 1]} and, with
      `intermediate_ctc`, "intermediate": the same shape from the auxiliary head (2102.03216). Padded frames are
      forced blanks.
    """
    features, lengths = encoder_inputs(mel_bins)
    encoding = encoder(config, features, lengths, vocabulary)
    logits = ctc_head(encoding.blocks[-1], encoding.mask, vocabulary, name="ctc")
    return keras.Model([features, lengths], {**encoding.heads, "logits": logits}, name="conformer_ctc")
