"""From the outputs of a model to labels: the search that its metadata name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from converters.runtime.speech_model import SpeechModel
from tfconformer.decoding.ctc import StreamingCTCDecoder
from tfconformer.decoding.transducer import StepNetwork, StreamingTransducerDecoder
from tfconformer.errors import InputError


class Search(Protocol):
    """The search of one utterance, whose frames arrive in chunks; see `decoding.ctc.StreamingCTCDecoder`."""

    ids: list[int]
    frames: int

    @property
    def starts(self) -> list[int]: ...

    @property
    def trailing_blanks(self) -> int: ...

    def push(self, outputs: NDArray[np.float32], /) -> None: ...


def new_search(model: SpeechModel, beam_width: int | None = None) -> Search:
    """Begins the search of an utterance.

    Args:
      model: whose outputs will be pushed; its further graphs are called.
      beam_width: hypotheses of a beam search, None searches greedily.

    Raises:
      InputError: the task of the model has no search, or no beam search.
    """
    task = model.metadata.task
    if task.search not in SEARCHES:
        raise InputError(f"{model.path}: its task {task.name} has no search of {', '.join(SEARCHES)}")
    return SEARCHES[task.search](model, beam_width)


def _ctc(model: SpeechModel, beam_width: int | None) -> Search:
    if beam_width is not None:
        raise InputError("a beam is for files of transducers; of CTC, `tfconformer evaluate RUN` searches with one")
    return StreamingCTCDecoder()


def _transducer(model: SpeechModel, beam_width: int | None) -> Search:
    settings = model.metadata.task.__pydantic_extra__
    network = StepNetwork(model, int(settings["vocabulary"]))
    return StreamingTransducerDecoder(network, beam_width, int(settings["max_symbols"]))


SEARCHES: dict[str, Callable[[SpeechModel, int | None], Search]] = {"ctc": _ctc, "transducer": _transducer}
