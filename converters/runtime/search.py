"""The search from the outputs of a model to labels, according to the model's metadata."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from tfconformer.decoding.beam import BeamSearch
from tfconformer.decoding.ctc import StreamingCTCDecoder
from tfconformer.decoding.ctc_beam import BeamDecoder, StreamingCTCBeamDecoder
from tfconformer.decoding.transducer import StepNetwork, StreamingTransducerDecoder
from tfconformer.errors import InputError

if TYPE_CHECKING:
    from converters.runtime.speech_model import SpeechModel


class Search(Protocol):
    """The search in one utterance, whose frames arrive in chunks.

    A label of CTC occupies a run of frames, one of a transducer the frame in which it is emitted, and with durations as
    many frames as its duration.
    """

    @property
    def ids(self) -> list[int]:
        """The labels of the best hypothesis so far, in [1, vocabulary]."""

    @property
    def frames(self) -> int:
        """Number of frames pushed so far."""

    @property
    def starts(self) -> list[int]:
        """The first frame of each label of `ids`."""

    @property
    def ends(self) -> list[int]:
        """The frame after the last one of each label."""

    @property
    def confidences(self) -> list[float]:
        """The probability of each label in its frame, of CTC in its most certain one; in [0, 1]."""

    @property
    def trailing_blanks(self) -> int:
        """Number of frames after the last one with a label; `frames` if there is no label."""

    def push(self, outputs: NDArray[np.float32], /) -> None:
        """Continues the search by the model's next outputs [frames, width]."""


def new_search(model: SpeechModel, beam: BeamSearch | None = None) -> Search:
    """Begins the search in an utterance.

    Args:
      model: the model whose outputs will be pushed; the search calls its step graphs.
      beam: settings of a beam search; None searches greedily.

    Raises:
      InputError: the task of the model has no search, or none with a beam, a beam search of CTC lacks flashlight-text,
        a hotword cannot be written, or the settings have a language model, which only the search in Keras takes.
    """
    if beam is not None and beam.language_model is not None:
        raise InputError(
            f"{model.path}: a language model is for the directory of a run, a file is searched without one"
        )

    task = model.metadata.task
    if task.search not in SEARCHES:
        raise InputError(f"{model.path}: its task {task.name} has no search of {', '.join(SEARCHES)}")
    return SEARCHES[task.search](model, beam)


def _ctc(model: SpeechModel, beam: BeamSearch | None) -> Search:
    if beam is None:
        return StreamingCTCDecoder()
    tokenizer = model.metadata.tokenizer
    hotwords = beam.hotword_tree(tokenizer)
    return StreamingCTCBeamDecoder(BeamDecoder(tokenizer.tokens, beam.width, hotwords=hotwords))


def _transducer(model: SpeechModel, beam: BeamSearch | None) -> Search:
    task = model.metadata.task
    network = StepNetwork(model, task.setting("vocabulary"), task.durations or ())
    if beam is None:
        return StreamingTransducerDecoder(network, None, task.setting("max_symbols"))
    hotwords = beam.hotword_tree(model.metadata.tokenizer)
    return StreamingTransducerDecoder(network, beam.width, task.setting("max_symbols"), hotwords)


SEARCHES: dict[str, Callable[[SpeechModel, BeamSearch | None], Search]] = {
    "ctc": _ctc,
    "transducer": _transducer,
    "tdt": _transducer,
}
