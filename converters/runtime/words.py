"""The words of a search, with their places in time and their confidence."""

from __future__ import annotations

from dataclasses import dataclass

from converters.flatbuffer.metadata import ModelMetadata
from converters.runtime.search import Search


@dataclass(frozen=True)
class Word:
    """A recognized word.

    A word begins a frame before that of its first token, which is emitted when some of its sound is over, and ends with
    the last frame of its last token; with CTC a token may have several, with a transducer's durations as many as its
    duration. A frame is that of the encoder, 40 ms unless the model says otherwise. The delay of the model's labels,
    which the file holds, is taken off. Words do not overlap.

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
    frame, delay = metadata.frame_seconds, (metadata.task.label_delay_ms or 0) / 1e3
    words, end = [], 0.0
    for text, labels in metadata.words(search.ids):
        start = max((search.starts[labels[0]] - 1) * frame - delay, end)
        end = max(search.ends[labels[-1]] * frame - delay, start + frame)
        confidence = min(search.confidences[label] for label in labels)
        words.append(Word(text, round(start, 6), round(end, 6), confidence))
    return tuple(words)
