"""What the `.tflite` of a transducer says about its decoder, as JSON in its metadata under the key "transducer".

    {"vocabulary": 28, "joint": 256, "state": [1, 2, 256], "max_symbols": 5}

With it an app needs no side file. Besides the encoder, whose frames are `encoded` [1, frames, joint], the file has two
signatures, all float32 but the label:

- `predict`: `label` [1] int32 and `state` -> `prediction` [1, joint] and the new `state`. The blank, 0, with a state of
  zeros begins an utterance; later labels lie in [1, vocabulary].
- `join`: `encoding` [1, joint], one of the encoder's frames, and `prediction` -> `logits` [1, vocabulary + 1], of the
  next label, or of the blank, which goes on to the next frame.

A frame has at most `max_symbols` labels.
"""

from __future__ import annotations

from pydantic import PositiveInt

from converters.flatbuffer.description import Record
from tfconformer.decoding.transducer import MAX_SYMBOLS

ENCODE, PREDICT, JOIN = "encode", "predict", "join"
LABEL, STATE, ENCODING, PREDICTION = "label", "state", "encoding", "prediction"
KEY = "transducer"


class TransducerDescription(Record):
    """A transducer's decoder.

    Attributes:
      vocabulary: number of labels.
      joint: width of encodings and predictions.
      state: shape of the prediction network's state.
      max_symbols: labels that a frame may have.
    """

    vocabulary: PositiveInt
    joint: PositiveInt
    state: tuple[PositiveInt, ...]
    max_symbols: PositiveInt = MAX_SYMBOLS
