"""From what a file computes to labels: the search that fits the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from tfconformer.decoding.ctc import StreamingCTCDecoder
from tfconformer.decoding.transducer import StreamingTransducerDecoder
from tfconformer.errors import InputError

if TYPE_CHECKING:
    from converters.runtime.transducer_model import TransducerModel


class Search(Protocol):
    """The search of one utterance, whose frames arrive in pieces; see `decoding.ctc.StreamingCTCDecoder`."""

    ids: list[int]
    frames: int

    @property
    def starts(self) -> list[int]: ...

    @property
    def trailing_blanks(self) -> int: ...

    def push(self, outputs: NDArray[np.float32], /) -> None: ...


def new_search(decoder: TransducerModel | None, beam_width: int | None = None) -> Search:
    """The search of an utterance.

    Args:
      decoder: of the model, None if it is one of CTC.
      beam_width: hypotheses of a beam search, None searches greedily.

    Raises:
      InputError: a CTC model is to be searched with a beam.
    """
    if decoder is not None:
        return StreamingTransducerDecoder(decoder, beam_width, decoder.description.max_symbols)
    if beam_width is not None:
        raise InputError("a beam is for files of transducers; of CTC, `tfconformer evaluate RUN` searches with one")
    return StreamingCTCDecoder()
