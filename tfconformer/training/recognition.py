"""What a Keras model in training hears, with the simplest search: for dev sets and comparisons, not for phones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tf_keras as keras

from tfconformer.decoding.ctc import greedy_decode
from tfconformer.decoding.transducer import greedy_search
from tfconformer.models.conformer_ctc import SUBSAMPLING
from tfconformer.models.conformer_transducer import SCORES, Transducer

# (features [B, T, mel_bins], lengths [B]) -> CTC ids of every utterance.
Recognizer = Callable[[Any, Any], list[list[int]]]


def greedy_recognizer(model: keras.Model) -> Recognizer:
    """Greedy search with a model of `conformer_ctc` or `conformer_transducer`, as its weights are at every call."""
    return _transducer_recognizer(model) if SCORES in model.output else _ctc_recognizer(model)


def _ctc_recognizer(model: keras.Model) -> Recognizer:
    # Padded frames decode as blanks.
    return lambda features, lengths: list(map(greedy_decode, model.predict_on_batch([features, lengths])["logits"]))


def _transducer_recognizer(model: keras.Model) -> Recognizer:
    transducer = Transducer(model)

    def recognize(features: Any, lengths: Any) -> list[list[int]]:
        frames = -(-np.asarray(lengths) // SUBSAMPLING)
        return greedy_search(transducer, transducer.encode(features, lengths), frames).labels

    return recognize
