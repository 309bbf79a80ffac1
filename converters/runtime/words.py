"""The words of a search, with their places in time and their confidence."""

from __future__ import annotations

from dataclasses import dataclass

from converters.flatbuffer.metadata import ModelMetadata
from converters.runtime.search import Search


@dataclass(frozen=True)
class Word:
    """A recognized word.

    A frame is that of the encoder, 40 ms unless the model says otherwise: times are multiples of it. With CTC a word
    lasts from the first frame of its first token to the last frame of its last token. A transducer emits a token in one
    frame, in which it is certain enough, which is often after the sound began.

    Attributes:
      text: the word.
      start, end: seconds since the beginning of the utterance, start < end.
      confidence: probability of its least likely token, in [0, 1]: with CTC in the frame where that is most likely,
        with a transducer where it is emitted, given the tokens before it.
    """

    text: str
    start: float
    end: float
    confidence: float


def recognized_words(search: Search, metadata: ModelMetadata) -> tuple[Word, ...]:
    """Returns the words of the best hypothesis of a search, given the metadata of its model.

    Raises:
      InputError: the metadata have no tokenizer, no front end, or those of another model.
    """
    seconds = metadata.frame_seconds
    starts, ends, confidences = search.starts, search.ends, search.confidences
    return tuple(
        Word(
            text=text,
            start=round(starts[labels[0]] * seconds, 6),
            end=round(ends[labels[-1]] * seconds, 6),
            confidence=min(confidences[label] for label in labels),
        )
        for text, labels in metadata.words(search.ids)
    )
