"""Recognition with a Keras model: for dev sets during training, and for comparisons of decoders.

Devices run exported `.tflite` files instead (`converters.runtime`).
"""

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

# (features [B, T, mel_bins] float32, lengths [B] int32) -> token ids of every utterance, each in [1, vocabulary].
Recognizer = Callable[[Any, Any], list[list[int]]]


@dataclass(frozen=True)
class BeamSearch:
    """The options of a beam search.

    Attributes:
      width: number of hypotheses kept, at least 1.
      language_model: ARPA or KenLM file of an n-gram model over the tokenizer's tokens (CTC only); None searches
        without one.
      weight: factor on the log-probability of the language model.
    """

    width: int
    language_model: Path | None = None
    weight: float = 0.5


def greedy_recognizer(model: keras.Model) -> Recognizer:
    """Returns a greedy recognizer, which uses the weights that the model has at the time of each call.

    Args:
      model: a Conformer with CTC heads or with a transducer.
    """
    if SCORES not in model.output:
        # The model forces blanks on padded frames, so that lengths are not needed.
        return lambda features, lengths: list(map(greedy_decode, model.predict_on_batch([features, lengths])["logits"]))
    transducer = Transducer(model)
    return lambda features, lengths: (
        greedy_search(transducer, transducer.encode(features, lengths), _frames(lengths)).labels
    )


def beam_recognizer(model: keras.Model, tokenizer: Tokenizer, search: BeamSearch) -> Recognizer:
    """Returns a recognizer that searches with a beam.

    Args:
      model: a Conformer with CTC heads or with a transducer.
      tokenizer: the tokenizer of the model.
      search: width of the beam and, for CTC, the language model.

    Raises:
      InputError: flashlight-text is not installed (CTC), the language model cannot be read, or a language model is
        given for a transducer.
    """
    if SCORES not in model.output:
        decoder = BeamDecoder(tokenizer.tokens, search.width, search.language_model, search.weight)
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
