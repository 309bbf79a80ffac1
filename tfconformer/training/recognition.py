"""What a Keras model hears: for dev sets while it trains, and for comparing searches; phones run `.tflite` files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras as keras

from tfconformer.data.tokenizer import Tokenizer
from tfconformer.decoding.ctc import greedy_decode
from tfconformer.decoding.ctc_beam import BeamDecoder
from tfconformer.decoding.transducer import beam_search, greedy_search
from tfconformer.errors import InputError
from tfconformer.models.encoder import SUBSAMPLING
from tfconformer.models.transducer import SCORES, Transducer

# (features [B, T, mel_bins], lengths [B]) -> CTC ids of every utterance.
Recognizer = Callable[[Any, Any], list[list[int]]]


@dataclass(frozen=True)
class BeamSearch:
    """How to search with a beam.

    Attributes:
      width: hypotheses to keep.
      language_model: for CTC, an n-gram model over the tokenizer's pieces; None uses none.
      weight: of the language model.
    """

    width: int
    language_model: Path | None = None
    weight: float = 0.5


def greedy_recognizer(model: keras.Model) -> Recognizer:
    """Greedy search with a model of `conformer_ctc` or `conformer_transducer`, as its weights are at every call."""
    if SCORES not in model.output:
        # Padded frames decode as blanks.
        return lambda features, lengths: list(map(greedy_decode, model.predict_on_batch([features, lengths])["logits"]))
    transducer = Transducer(model)
    return lambda features, lengths: (
        greedy_search(transducer, transducer.encode(features, lengths), _frames(lengths)).labels
    )


def beam_recognizer(model: keras.Model, tokenizer: Tokenizer, search: BeamSearch) -> Recognizer:
    """Beam search with such a model.

    Raises:
      InputError: as `BeamDecoder`, or a transducer is to use a language model.
    """
    if SCORES not in model.output:
        decoder = BeamDecoder(tokenizer.pieces, search.width, search.language_model, search.weight)
        return lambda features, lengths: [
            decoder.decode(logits[:count])
            for logits, count in zip(
                model.predict_on_batch([features, lengths])["logits"], _frames(lengths), strict=True
            )
        ]
    if search.language_model is not None:
        raise InputError("the search through a transducer takes no language model: its prediction network is one")
    transducer = Transducer(model)
    return lambda features, lengths: [
        list(beam_search(transducer, encodings[:count], width=search.width)[0].labels)
        for encodings, count in zip(transducer.encode(features, lengths), _frames(lengths), strict=True)
    ]


def _frames(lengths: Any) -> np.ndarray:
    return -(-np.asarray(lengths) // SUBSAMPLING)
