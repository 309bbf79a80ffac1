"""Hotwords: phrases that a beam search prefers, such as the names in an address book.

Every token by which a hypothesis continues a hotword adds a boost to its score. The boost is taken back where the
hypothesis goes on differently, or where the word goes on ("CATALOG" is not "CAT"). The phrases are a prefix tree with
the links of Aho and Corasick (1975) from a node to the longest other beginning of a phrase that ends there.

    tree = HotwordTree(["SHOSTAKOVICH"], tokenizer, boost=1.5)
    match = tree.advance(tree.start, label)
    score = log_probability + tree.gain(match)            # while searching
    score = log_probability + tree.final_gain(match)      # at the end
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tfconformer.errors import InputError

if TYPE_CHECKING:  # the processes that run files do without it
    from tfconformer.data.tokenizer import Tokenizer

_SPACE = "▁"  # SentencePiece's mark of the beginning of a word
_ROOT = 0


class Match(NamedTuple):
    """The end of a hypothesis, as far as hotwords go.

    Attributes:
      node: of the longest beginning of a hotword that it ends with.
      completed: the boosts of all hotwords in it that are followed by another word, in nats.
    """

    node: int
    completed: float


NO_MATCH = Match(_ROOT, 0.0)


class HotwordTree:
    """The prefix tree of hotwords.

    Args:
      phrases: words, or several words with spaces between them.
      tokenizer: the tokenizer of the labels.
      boost: what a token of a hotword adds to the score of a hypothesis, in nats.

    Attributes:
      start: the match of the empty hypothesis.

    Raises:
      InputError: a phrase is empty or has characters that no token covers.
    """

    def __init__(self, phrases: Iterable[str], tokenizer: Tokenizer, boost: float) -> None:
        self._begins_word = np.array([False, *(token.startswith(_SPACE) for token in tokenizer.tokens)])
        self._children: list[dict[int, int]] = [{}]
        self._gains = [0.0]  # of the tokens on the way to each node
        self._endings = [0.0]  # of the hotwords that end at each node
        first = _ROOT
        for phrase in phrases:
            if not phrase.strip():
                raise InputError("a hotword is empty")
            labels = tokenizer.encode(phrase)
            node = _ROOT
            if not self._begins_word[labels[0]]:
                # Characters: a space, which is none of the phrase, stands before it unless it begins the utterance.
                node = first = self._inserted(_ROOT, 1 + tokenizer.tokens.index(_SPACE), gain=0.0)
            for label in labels:
                node = self._inserted(node, label, boost)
            self._endings[node] = self._gains[node]
        self._links = [_ROOT] * len(self._children)
        self._link_nodes()
        self.start = Match(first, 0.0)

    def advance(self, match: Match, label: int) -> Match:
        """Returns the match after one label more, in [1, vocabulary]."""
        completed = match.completed
        if self._begins_word[label]:
            completed += self._endings[match.node]
        return Match(self._next(match.node, label), completed)

    def gain(self, match: Match) -> float:
        """Returns the boosts of a hypothesis that goes on, those of a hotword that is not complete among them."""
        return match.completed + self._gains[match.node]

    def gains(self, match: Match) -> NDArray[np.float64]:
        """Returns `gain` after each label, [vocabulary + 1]; after the blank, that of the match itself."""
        gains = np.full(len(self._begins_word), match.completed)
        gains[self._begins_word] += self._endings[match.node]
        following: dict[int, int] = {}
        for node in self._chain(match.node):
            following = self._children[node] | following
        for label, node in following.items():
            gains[label] += self._gains[node]
        gains[0] = self.gain(match)
        return gains

    def final_gain(self, match: Match) -> float:
        """Returns the boosts of a hypothesis that ends: those of whole hotwords."""
        return match.completed + self._endings[match.node]

    def match(self, labels: Sequence[int]) -> Match:
        """Returns the match after labels from the start."""
        match = self.start
        for label in labels:
            match = self.advance(match, label)
        return match

    def _inserted(self, node: int, label: int, gain: float) -> int:
        """Returns the child of a node, which is made if it is missing."""
        if label not in self._children[node]:
            self._children[node][label] = len(self._children)
            self._children.append({})
            self._gains.append(self._gains[node] + gain)
            self._endings.append(0.0)
        return self._children[node][label]

    def _link_nodes(self) -> None:
        """Links each node to that of the longest other beginning that ends there, whose endings become its own too."""
        queue = deque([_ROOT])
        while queue:
            node = queue.popleft()
            for label, child in self._children[node].items():
                if node != _ROOT:
                    self._links[child] = self._next(self._links[node], label)
                self._endings[child] += self._endings[self._links[child]]
                queue.append(child)

    def _next(self, node: int, label: int) -> int:
        found = (self._children[one].get(label) for one in self._chain(node))
        return next((child for child in found if child is not None), _ROOT)

    def _chain(self, node: int) -> Iterator[int]:
        """Yields a node and those it links to, down to the root."""
        while node != _ROOT:
            yield node
            node = self._links[node]
        yield _ROOT
