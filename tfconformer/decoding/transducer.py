"""Decoding with a transducer: the most likely labels, given the encodings of the frames.

    hypotheses = greedy_search(network, encodings, lengths)                # whole utterances, or
    hypotheses = greedy_search(network, chunk, lengths, hypotheses)        # the next chunk of each: state in, state out

`StreamingTransducerDecoder` decodes one utterance frame by frame and stores the frame of each label.

In every frame a transducer emits any number of labels, and then a blank to go on to the next frame. A transducer with
durations (token-and-duration transducer, 2304.06795) chooses with every label and blank the frames by which it goes on.
NumPy only: a `Network`, such as a Keras model or a `.tflite` file, runs the prediction and the joint network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tfconformer.decoding.hotwords import NO_MATCH, HotwordTree, Match
from tfconformer.decoding.probabilities import log_probabilities
from tfconformer.errors import InputError

BLANK = 0
MAX_SYMBOLS = 5

Floats = NDArray[np.float32]


class Network(Protocol):
    """The prediction network and the joint network of a transducer, run on N hypotheses at a time.

    The prediction state is a float32 array [N, ...]; each row belongs to a hypothesis.

    Attributes:
      durations: the numbers of frames that the last logits choose from; empty for a transducer without durations.
    """

    @property
    def durations(self) -> Sequence[int]: ...

    def start(self, count: int) -> Floats:
        """Returns the prediction state before the first label, for `count` hypotheses."""

    def predict(self, labels: NDArray[np.int32], state: Floats) -> tuple[Floats, Floats]:
        """Reads labels [N], the blank before the first one; returns (predictions [N, joint], new state)."""

    def join(self, encodings: Floats, predictions: Floats) -> Floats:
        """Joins encodings [N, joint] and predictions [N, joint] -> logits [N, vocabulary + 1 + durations]."""


class StepGraphs(Protocol):
    """A transducer's step graphs `predict` and `join`, in Keras or in a runtime; each takes one hypothesis."""

    def call(self, signature: str, inputs: Mapping[str, NDArray[Any]], /) -> dict[str, NDArray[Any]]:
        """Calls a graph once."""

    def zero_states(self, signature: str, /) -> dict[str, NDArray[Any]]:
        """Returns the states of a graph at the start, by name."""


class StepNetwork:
    """A `Network` that calls step graphs, one hypothesis after the other.

    Attributes:
      durations: see `Network`.
    """

    def __init__(self, graphs: StepGraphs, vocabulary: int | None = None, durations: Sequence[int] = ()) -> None:
        """Wraps graphs; labels are checked against `vocabulary`, their largest, if it is given."""
        self.durations = tuple(durations)
        self._graphs = graphs
        self._vocabulary = vocabulary

    def start(self, count: int) -> Floats:
        """See `Network.start`."""
        return np.repeat(self._graphs.zero_states("predict")["state"], count, axis=0)

    def predict(self, labels: NDArray[np.int32], state: Floats) -> tuple[Floats, Floats]:
        """See `Network.predict`.

        Raises:
          InputError: a label is not of the vocabulary, or the state is another model's.
        """
        labels = np.asarray(labels, np.int32)
        if len(state) != len(labels):
            raise InputError(
                f"the state is not of these hypotheses: it should have {len(labels)} rows, got {len(state)}"
            )
        if self._vocabulary is not None:
            wrong = labels[(labels < 0) | (labels > self._vocabulary)]
            if wrong.size:
                raise InputError(f"a label lies in [0, {self._vocabulary}], got {wrong[0]}")
        rows = [
            self._graphs.call("predict", {"label": labels[row : row + 1], "state": state[row : row + 1]})
            for row in range(len(labels))
        ]
        return tuple(np.concatenate([row[name] for row in rows]) for name in ("prediction", "state"))

    def join(self, encodings: Floats, predictions: Floats) -> Floats:
        """See `Network.join`.

        Raises:
          InputError: encodings or predictions are another model's.
        """
        rows = [
            self._graphs.call("join", {"encoding": encodings[row : row + 1], "prediction": predictions[row : row + 1]})
            for row in range(len(encodings))
        ]
        return np.concatenate([row["logits"] for row in rows])


@dataclass(frozen=True)
class Alignment:
    """A path through the lattice of a transducer.

    Attributes:
      labels: in [1, vocabulary].
      starts: frame of every label.
    """

    labels: tuple[int, ...]
    starts: tuple[int, ...]


@dataclass(frozen=True)
class GreedyHypotheses:
    """The state of a greedy search in B utterances.

    Attributes:
      labels: labels so far, each in [1, vocabulary], one list per utterance.
      log_probabilities: natural logarithm of the probability of each label where it was emitted, likewise.
      spans: number of frames of each label, likewise: its duration, 1 without durations, at least 1.
      skips: [B] int64, number of the next frames that the last duration passes over.
      predictions: [B, joint] float32, output of the prediction network after these labels.
      state: [B, ...] float32, state of the prediction network after these labels.
    """

    labels: list[list[int]]
    log_probabilities: list[list[float]]
    spans: list[list[int]]
    skips: NDArray[np.int64]
    predictions: Floats
    state: Floats


@dataclass(frozen=True)
class Hypothesis:
    """One hypothesis of a beam search.

    Attributes:
      labels: labels so far, each in [1, vocabulary].
      log_probability: natural logarithm of the probability of all its alignments that the beam contained.
      prediction: [joint] float32, output of the prediction network after these labels.
      state: [...] float32, state of the prediction network after these labels.
      label_log_probabilities: natural logarithm of the probability of each label where it was emitted first.
      match: that of the labels with hotwords, if there are any.
    """

    labels: tuple[int, ...]
    log_probability: float
    prediction: Floats
    state: Floats
    label_log_probabilities: tuple[float, ...] = ()
    match: Match = NO_MATCH


class StreamingTransducerDecoder:
    """Decoder of one utterance whose encodings arrive in chunks, with the attributes of `ctc.CTCPath`.

    A greedy search only appends labels; a beam search may replace the last ones.

    Attributes:
      ids: labels so far, each in [1, vocabulary].
      frames: number of frames decoded so far.
    """

    def __init__(
        self,
        network: Network,
        width: int | None = None,
        max_symbols: int = MAX_SYMBOLS,
        hotwords: HotwordTree | None = None,
    ) -> None:
        """Begins an utterance.

        Args:
          network: the prediction and the joint network.
          width: number of hypotheses in the beam, at least 1; None searches greedily.
          max_symbols: largest number of labels in a frame.
          hotwords: the tree of phrases that a beam prefers; None prefers none.

        Raises:
          InputError: see `check_beam_search`.
        """
        if width is not None:
            check_beam_search(network)
        self.ids: list[int] = []
        self.frames = 0
        self._network = network
        self._width = width
        self._max_symbols = max_symbols
        self._hotwords = hotwords
        self._greedy: GreedyHypotheses | None = None
        self._beam: list[Hypothesis] | None = None
        # Labels of every hypothesis -> the frame in which each of them was emitted.
        self._starts: dict[tuple[int, ...], tuple[int, ...]] = {(): ()}

    @property
    def starts(self) -> list[int]:
        """The frame in which each label of `ids` was emitted."""
        return list(self._starts[tuple(self.ids)])

    @property
    def ends(self) -> list[int]:
        """The frame after the last one of each label of `ids`: with durations, its duration after its start."""
        spans = [1] * len(self.ids) if self._greedy is None else self._greedy.spans[0]
        return [start + span for start, span in zip(self.starts, spans, strict=True)]

    @property
    def confidences(self) -> list[float]:
        """The probability of each label of `ids` where it was emitted, given the labels before it; in [0, 1]."""
        logs: Sequence[float] = ()
        if self._beam is not None:
            logs = self._best(self._beam).label_log_probabilities
        elif self._greedy is not None:
            (logs,) = self._greedy.log_probabilities
        return [float(value) for value in np.exp(logs)]

    @property
    def trailing_blanks(self) -> int:
        """Number of frames after the last one with a label; `frames` if there is no label."""
        ends = self.ends
        return max(self.frames - ends[-1], 0) if ends else self.frames

    def push(self, encodings: Floats) -> None:
        """Decodes the next encodings, [any number of frames, joint] float32.

        Raises:
          ValueError: the logits of a frame hold a NaN; the frames before it have been decoded.
        """
        for encoding in encodings:
            best, hypotheses = self._advance(encoding)
            self._starts = {labels: self._starts_of(labels) for labels in hypotheses}
            self.ids = list(best)
            self.frames += 1

    def _advance(self, encoding: Floats) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
        """Decodes one frame; returns the labels of the best hypothesis and of all of them."""
        if self._width is not None:
            settings = self._width, self._max_symbols, self._hotwords
            self._beam = beam_search(self._network, [encoding], self._beam, *settings)
            return self._best(self._beam).labels, [one.labels for one in self._beam]
        frame, length = encoding[np.newaxis, np.newaxis], np.ones(1, np.int32)
        self._greedy = greedy_search(self._network, frame, length, self._greedy, self._max_symbols)
        labels = tuple(self._greedy.labels[0])
        return labels, [labels]

    def _best(self, beam: Sequence[Hypothesis]) -> Hypothesis:
        return best_hypothesis(beam, self._hotwords)

    def _starts_of(self, labels: tuple[int, ...]) -> tuple[int, ...]:
        """Returns the frame of each label: the stored ones for the known prefix, the current frame for the rest."""
        known = next(count for count in range(len(labels), -1, -1) if labels[:count] in self._starts)
        return self._starts[labels[:known]] + (self.frames,) * (len(labels) - known)


def greedy_search(
    network: Network,
    encodings: Floats,
    lengths: NDArray[np.int32],
    before: GreedyHypotheses | None = None,
    max_symbols: int = MAX_SYMBOLS,
) -> GreedyHypotheses:
    """Takes the most likely step at every node, in all utterances of a batch at once.

    Without durations a blank leads to the next frame. With them every step goes on by the most likely duration, a blank
    by at least one frame, and so does the last label that a frame may have.

    Args:
      network: the prediction and the joint network.
      encodings: [B, T, joint] float32, the next frames of each utterance.
      lengths: [B] int32, number of valid frames of each utterance, 0 to T.
      before: the hypotheses after the previous frames, which are not modified; None begins the utterances.
      max_symbols: largest number of labels in a frame.

    Returns:
      The hypotheses after these frames.

    Raises:
      ValueError: a length exceeds T, or the logits hold a NaN.
    """
    if ((lengths < 0) | (lengths > encodings.shape[1])).any():
        raise ValueError(f"lengths must lie in [0, {encodings.shape[1]}], got {lengths.tolist()}")
    if before is None:
        first, state = _begin(network, len(encodings))
        nothing: list[list[Any]] = [[] for _ in encodings]
        before = GreedyHypotheses(nothing, nothing, nothing, np.zeros(len(encodings), np.int64), first, state)
    labels, logs = [list(one) for one in before.labels], [list(one) for one in before.log_probabilities]
    spans = [list(one) for one in before.spans]
    predictions, state = before.predictions.copy(), before.state.copy()
    frame, emitted = before.skips.copy(), np.zeros(len(encodings), np.int64)
    while (active := np.flatnonzero(frame < lengths)).size:
        joined = _checked(network.join(encodings[active, frame[active]], predictions[active]))
        logits, best, advances = _most_likely(network, joined)
        is_label = best != BLANK
        emitting, symbols = active[is_label], best[is_label]
        if emitting.size:
            predictions[emitting], state[emitting] = network.predict(symbols, state[emitting])
            emitted[emitting] += 1
            of_symbols = log_probabilities(logits[is_label])[np.arange(len(symbols)), symbols]
            for index, symbol, log, advance in zip(emitting, symbols, of_symbols, advances[is_label], strict=True):
                labels[index].append(int(symbol))
                logs[index].append(float(log))
                spans[index].append(max(int(advance), 1))
        advances = np.maximum(advances, emitted[active] >= max_symbols)
        frame[active] += advances
        emitted[active[advances > 0]] = 0
    return GreedyHypotheses(labels, logs, spans, frame - lengths, predictions, state)


def _most_likely(network: Network, joined: Floats) -> tuple[Floats, NDArray[np.int32], NDArray[np.int64]]:
    """Splits joined logits [N, symbols + durations]; returns those of symbols, the best symbols, and their advances."""
    logits, of_durations = np.split(joined, [joined.shape[1] - len(network.durations)], axis=1)
    best = np.argmax(logits, axis=-1).astype(np.int32)
    advances = np.zeros(len(best), np.int64)
    if network.durations:
        advances = np.array(network.durations, np.int64)[np.argmax(of_durations, axis=-1)]
    return logits, best, np.maximum(advances, best == BLANK)


def check_beam_search(network: Network) -> None:
    """Checks that a network can be searched with a beam.

    Raises:
      InputError: it has durations.
    """
    if network.durations:
        raise InputError("a transducer with durations is searched greedily: leave out the width of the beam")


def beam_search(
    network: Network,
    encodings: Iterable[Floats],
    before: Sequence[Hypothesis] | None = None,
    width: int = 8,
    max_symbols: int = MAX_SYMBOLS,
    hotwords: HotwordTree | None = None,
) -> list[Hypothesis]:
    """Keeps the `width` most likely transcripts of one utterance; alignments of the same transcript count together.

    Time-synchronous search (Saon et al. 2020, "Alignment-length synchronous decoding for RNN transducer",
    algorithm 1). With an unlimited width it computes the probability of every transcript that has at most `max_symbols`
    labels in a frame, which is that of the transducer loss.

    Args:
      network: the prediction and the joint network.
      encodings: the next frames, each [joint] float32.
      before: the hypotheses after the previous frames; None begins the utterance.
      width: number of hypotheses kept after a frame, and of extensions tried per label of a frame, at least 1.
      max_symbols: largest number of labels in a frame.
      hotwords: the tree of phrases whose gain is added to the logarithms where hypotheses are compared.

    Returns:
      The hypotheses after these frames, at least one, the best first; for the best at the end of an utterance with
      hotwords see `best_hypothesis`.

    Raises:
      InputError: see `check_beam_search`.
      ValueError: the logits hold a NaN.
    """
    check_beam_search(network)
    if before is None:
        (first,), (state,) = _begin(network, 1)
        before = [Hypothesis((), 0.0, first, state)]
        if hotwords is not None:
            before = [replace(before[0], match=hotwords.start)]
    beam = list(before)
    for encoding in encodings:
        done: dict[tuple[int, ...], Hypothesis] = {}
        for symbols in range(max_symbols + 1):
            scores = _log_probabilities(network, encoding, beam)
            for hypothesis, score in zip(beam, scores[:, BLANK], strict=True):
                earlier = done.get(hypothesis.labels)
                if earlier is not None:
                    score = np.logaddexp(score, earlier.log_probability)
                    hypothesis = replace(hypothesis, label_log_probabilities=earlier.label_log_probabilities)
                done[hypothesis.labels] = replace(hypothesis, log_probability=float(score))
            if symbols < max_symbols:
                beam = _extended(network, beam, scores, width, hotwords)
        beam = sorted(done.values(), key=lambda one: -one.log_probability - _gain(one, hotwords))[:width]
    return beam


def best_hypothesis(beam: Sequence[Hypothesis], hotwords: HotwordTree | None = None) -> Hypothesis:
    """Returns the best hypothesis if the utterance ends here: a hotword that is not complete has no gain."""
    if hotwords is None:
        return beam[0]
    return max(beam, key=lambda one: one.log_probability + hotwords.final_gain(one.match))


def _gain(hypothesis: Hypothesis, hotwords: HotwordTree | None) -> float:
    return 0.0 if hotwords is None else hotwords.gain(hypothesis.match)


def path_logits(network: Network, encodings: Floats, alignment: Alignment) -> Floats:
    """Computes the logits at every node of a path: [frames + labels, vocabulary + 1 + durations].

    Args:
      network: of the transducer.
      encodings: [frames, joint].
      alignment: the path; it steps to a label in the label's frame, and otherwise to the next frame, durations or not.
    """
    read, state = _begin(network, 1)
    predictions, nodes = [read], []
    for label in alignment.labels:
        read, state = network.predict(np.array([label], np.int32), state)
        predictions.append(read)
    labels_until = np.searchsorted(alignment.starts, np.arange(len(encodings)), side="right")
    for frame, count in enumerate(labels_until):
        first = labels_until[frame - 1] if frame else 0
        nodes += [network.join(encodings[frame : frame + 1], predictions[node]) for node in range(first, count + 1)]
    return np.concatenate(nodes)


def _begin(network: Network, count: int) -> tuple[Floats, Floats]:
    return network.predict(np.full(count, BLANK, np.int32), network.start(count))


def _log_probabilities(network: Network, encoding: Floats, beam: Sequence[Hypothesis]) -> NDArray[np.float64]:
    """Returns [N, vocabulary + 1] log-probabilities of each hypothesis followed by each symbol."""
    predictions = np.stack([one.prediction for one in beam])
    logits = _checked(network.join(np.broadcast_to(encoding, predictions.shape), predictions))
    return np.array([[one.log_probability] for one in beam]) + log_probabilities(logits)


def _extended(
    network: Network,
    beam: Sequence[Hypothesis],
    scores: NDArray[np.float64],
    width: int,
    hotwords: HotwordTree | None,
) -> list[Hypothesis]:
    """Returns the `width` best hypotheses with one label more."""
    compared = scores
    if hotwords is not None:
        compared = scores + np.stack([hotwords.gains(one.match) for one in beam])
    labels = compared[:, BLANK + 1 :]
    chosen = np.argsort(-labels, axis=None, kind="stable")[:width]
    rows, symbols = np.unravel_index(chosen, labels.shape)
    symbols = symbols.astype(np.int32) + BLANK + 1
    predictions, states = network.predict(symbols, np.stack([beam[row].state for row in rows]))
    extended = []
    for row, symbol, prediction, state in zip(rows, symbols, predictions, states, strict=True):
        one, score = beam[row], float(scores[row, symbol])
        logs = (*one.label_log_probabilities, score - one.log_probability)
        match = one.match if hotwords is None else hotwords.advance(one.match, int(symbol))
        extended.append(Hypothesis((*one.labels, int(symbol)), score, prediction, state, logs, match))
    return extended


def _checked(logits: Floats) -> Floats:
    if np.isnan(logits).any():
        raise ValueError("logits hold a NaN")
    return logits
