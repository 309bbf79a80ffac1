"""The search from the outputs of a model to labels, according to the model's metadata."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from tfconformer.decoding.ctc import StreamingCTCDecoder
from tfconformer.decoding.transducer import StepNetwork, StreamingTransducerDecoder
from tfconformer.errors import InputError

if TYPE_CHECKING:
    from converters.runtime.speech_model import SpeechModel


class Search(Protocol):
    """The search in one utterance, whose frames arrive in chunks.

    Attributes:
      ids: the labels of the best hypothesis so far, in [1, vocabulary].
      frames: number of frames pushed so far.
    """

    ids: list[int]
    frames: int

    @property
    def starts(self) -> list[int]:
        """The frame of each label of `ids`."""

    @property
    def trailing_blanks(self) -> int:
        """Number of frames after the last one with a label; `frames` if there is no label."""

    def push(self, outputs: NDArray[np.float32], /) -> None:
        """Continues the search by the model's next outputs [frames, width]."""


def new_search(model: SpeechModel, beam_width: int | None = None) -> Search:
    """Begins the search in an utterance.

    Args:
      model: the model whose outputs will be pushed; the search calls its step graphs.
      beam_width: number of hypotheses of a beam search; None searches greedily.

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
    task = model.metadata.task
    network = StepNetwork(model, task.setting("vocabulary"))
    return StreamingTransducerDecoder(network, beam_width, task.setting("max_symbols"))


SEARCHES: dict[str, Callable[[SpeechModel, int | None], Search]] = {"ctc": _ctc, "transducer": _transducer}
