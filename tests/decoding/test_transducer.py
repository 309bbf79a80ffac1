"""Transducer search over a small network of random tables, against sums over all alignments."""

import numpy as np
import pytest

from tfconformer.decoding.transducer import StreamingTransducerDecoder, beam_search, greedy_search
from tfconformer.errors import InputError

SYMBOLS = 3  # the blank and two labels
FRAMES = 4


class TableNetwork:
    """Every history of labels has a random vector of its own, and the logits are encoding + vector."""

    durations = ()

    def start(self, count):
        return np.ones([count, 1], np.int64)

    def predict(self, labels, state):
        state = state * SYMBOLS + labels[:, np.newaxis]  # the history as a number
        return np.stack([vector(int(number)) for (number,) in state]), state

    def join(self, encodings, predictions):
        return encodings + predictions


def vector(history: int) -> np.ndarray:
    return np.random.default_rng(history).normal(size=SYMBOLS).astype(np.float32)


def encodings(frames: int = FRAMES, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(frames, SYMBOLS)).astype(np.float32)


def all_transcripts(frames: np.ndarray, max_symbols: int) -> dict[tuple[int, ...], float]:
    """Log-probability of every transcript, alignment by alignment."""
    totals: dict[tuple[int, ...], float] = {}

    def walk(frame: int, emitted: int, labels: tuple[int, ...], history: int, log: float) -> None:
        if frame == len(frames):
            totals[labels] = np.logaddexp(totals.get(labels, -np.inf), log)
            return
        logits = (frames[frame] + vector(history)).astype(np.float64)
        logs = log + logits - np.log(np.exp(logits).sum())
        walk(frame + 1, 0, labels, history, logs[0])
        if emitted < max_symbols:
            for label in range(1, SYMBOLS):
                walk(frame, emitted + 1, (*labels, label), history * SYMBOLS + label, logs[label])

    walk(0, 0, (), SYMBOLS, 0.0)
    return totals


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("max_symbols", [1, 2])
def test_a_beam_of_everything_sums_all_alignments(seed, max_symbols):
    frames = encodings(seed=seed)
    expected = all_transcripts(frames, max_symbols)
    found = beam_search(TableNetwork(), frames, width=10_000, max_symbols=max_symbols)
    assert {one.labels for one in found} == expected.keys()
    for one in found:
        # The logits are float32.
        np.testing.assert_allclose(one.log_probability, expected[one.labels], rtol=1e-6)
    logs = [one.log_probability for one in found]
    assert logs == sorted(logs, reverse=True)


def test_a_narrow_beam_finds_less_but_no_more():
    frames = encodings(9)
    exact = {one.labels: one.log_probability for one in beam_search(TableNetwork(), frames, width=300, max_symbols=2)}
    found = beam_search(TableNetwork(), frames, width=4, max_symbols=2)
    assert len(found) == 4
    assert all(one.log_probability <= exact[one.labels] + 1e-6 for one in found if one.labels in exact)
    assert found[0].labels == max(exact, key=exact.__getitem__)


@pytest.mark.parametrize("cuts", [[1], [3, 3], [2, 5, 11]])
def test_chunks_continue_where_the_last_one_ended(cuts):
    frames = encodings(12)
    beam, greedy = None, None
    for chunk in np.split(frames, cuts):
        beam = beam_search(TableNetwork(), chunk, beam, width=3)
        greedy = greedy_search(TableNetwork(), chunk[np.newaxis], np.array([len(chunk)]), greedy)
    whole = beam_search(TableNetwork(), frames, width=3)
    assert [(one.labels, one.log_probability) for one in beam] == [(one.labels, one.log_probability) for one in whole]
    assert greedy.labels == greedy_search(TableNetwork(), frames[np.newaxis], np.array([12])).labels


def greedy_path(frames: np.ndarray) -> list[tuple[int, int, float]]:
    """Every label with its frame and its probability, at most two to a frame, step by step."""
    history, path = SYMBOLS, []
    for index, frame in enumerate(frames):
        for _ in range(2):
            logits = (frame + vector(history)).astype(np.float64)
            best = int(np.argmax(logits))
            if not best:
                break
            path.append((best, index, np.exp(logits[best]) / np.exp(logits).sum()))
            history = history * SYMBOLS + best
    return path


def test_greedy_takes_the_most_likely_step():
    frames = encodings(20, seed=3)
    labels = [label for label, *_ in greedy_path(frames)]
    assert len(labels) > 5
    assert greedy_search(TableNetwork(), frames[np.newaxis], np.array([20]), max_symbols=2).labels == [labels]


@pytest.mark.parametrize("cuts", [[], [1], [2, 5, 5, 11]])
def test_a_stream_knows_when_each_label_came(cuts):
    frames = np.concatenate([encodings(15, seed=3), np.tile([9, 0, 0], (5, 1))]).astype(np.float32)
    stream = StreamingTransducerDecoder(TableNetwork(), max_symbols=2)
    assert (stream.ids, stream.starts, stream.frames, stream.trailing_blanks) == ([], [], 0, 0)
    for chunk in np.split(frames, cuts):
        before = list(stream.ids)
        stream.push(chunk)
        assert stream.ids[: len(before)] == before
    path = greedy_path(frames)
    assert list(zip(stream.ids, stream.starts, strict=True)) == [one[:2] for one in path]
    assert stream.ends == [start + 1 for start in stream.starts]
    np.testing.assert_allclose(stream.confidences, [one[2] for one in path], rtol=1e-12)
    assert (stream.frames, stream.trailing_blanks) == (20, 19 - path[-1][1])
    assert stream.trailing_blanks >= 5
    silent = StreamingTransducerDecoder(TableNetwork())
    silent.push(np.tile(np.array([9, 0, 0], np.float32), (4, 1)))
    assert (silent.ids, silent.trailing_blanks) == ([], 4)


@pytest.mark.parametrize("seed", range(3))
def test_a_stream_with_a_beam_is_the_beam_search(seed):
    frames = encodings(12, seed)
    stream = StreamingTransducerDecoder(TableNetwork(), width=3, max_symbols=2)
    for count, frame in enumerate(frames, start=1):
        stream.push(frame[np.newaxis])
        best = beam_search(TableNetwork(), frames[:count], width=3, max_symbols=2)[0]
        assert tuple(stream.ids) == best.labels
        starts = stream.starts
        assert starts == sorted(starts) and len(starts) == len(stream.ids)
        assert all(starts.count(start) <= 2 and start < count for start in starts)
    history = SYMBOLS
    for label, start, confidence in zip(stream.ids, stream.starts, stream.confidences, strict=True):
        logits = (frames[start] + vector(history)).astype(np.float64)
        np.testing.assert_allclose(confidence, np.exp(logits[label]) / np.exp(logits).sum(), rtol=1e-9)
        history = history * SYMBOLS + label


def test_utterances_of_a_batch_go_their_own_ways():
    lengths = np.array([7, 0, 12])
    batch = np.stack([encodings(12, seed) for seed in range(3)])
    together = greedy_search(TableNetwork(), batch, lengths).labels
    for row, length in enumerate(lengths):
        alone = greedy_search(TableNetwork(), batch[row : row + 1, :length], lengths[row : row + 1])
        assert together[row] == alone.labels[0]


def test_a_frame_has_a_limit_of_labels():
    never_blank = encodings(6) - np.array([100, 0, 0], np.float32)
    for limit in (1, 3):
        (labels,) = greedy_search(TableNetwork(), never_blank[np.newaxis], np.array([6]), max_symbols=limit).labels
        assert len(labels) == 6 * limit


class DurationNetwork(TableNetwork):
    """A network whose joint vectors have two logits more, of the durations 0, 1 and 3 besides the labels."""

    durations = (0, 1, 3)

    def predict(self, labels, state):
        _, state = super().predict(labels, state)
        return np.stack([longer_vector(int(number)) for (number,) in state]), state


def longer_vector(history: int) -> np.ndarray:
    return np.random.default_rng(history).normal(size=SYMBOLS + 3).astype(np.float32)


def longer_encodings(frames: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(frames, SYMBOLS + 3)).astype(np.float32)


def path_with_durations(frames: np.ndarray, max_symbols: int) -> list[tuple[int, int, int]]:
    """Every label with its frame and its duration, step by step (2304.06795, algorithm 1)."""
    history, path, frame, emitted = SYMBOLS, [], 0, 0
    while frame < len(frames):
        logits = frames[frame] + longer_vector(history)
        best, advance = int(np.argmax(logits[:SYMBOLS])), DurationNetwork.durations[int(np.argmax(logits[SYMBOLS:]))]
        if best:
            path.append((best, frame, max(advance, 1)))
            history, emitted = history * SYMBOLS + best, emitted + 1
        if advance == 0 and (not best or emitted == max_symbols):
            advance = 1
        frame, emitted = frame + advance, emitted if advance == 0 else 0
    return path


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("cuts", [[], [1], [2, 5, 5, 11]])
def test_durations_pass_over_frames_in_chunks_as_in_the_whole(seed, cuts):
    frames = longer_encodings(40, seed)
    path = path_with_durations(frames, max_symbols=2)
    assert len({span for *_, span in path}) > 1 and len(path) > 5
    stream, hypotheses = StreamingTransducerDecoder(DurationNetwork(), max_symbols=2), None
    for chunk in np.split(frames, cuts):
        stream.push(chunk)
        hypotheses = greedy_search(DurationNetwork(), chunk[np.newaxis], np.array([len(chunk)]), hypotheses, 2)
    assert hypotheses.labels == [[label for label, *_ in path]]
    assert list(zip(stream.ids, stream.starts, stream.ends, strict=True)) == [
        (label, start, start + span) for label, start, span in path
    ]
    assert stream.trailing_blanks == max(40 - stream.ends[-1], 0)


def test_durations_have_no_beam():
    with pytest.raises(InputError, match="searched greedily"):
        StreamingTransducerDecoder(DurationNetwork(), width=3)
    with pytest.raises(InputError, match="searched greedily"):
        beam_search(DurationNetwork(), longer_encodings(3, 0))


def test_bad_input_is_refused():
    broken = encodings()
    broken[2, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        greedy_search(TableNetwork(), broken[np.newaxis], np.array([FRAMES]))
    with pytest.raises(ValueError, match="NaN"):
        beam_search(TableNetwork(), broken)
    with pytest.raises(ValueError, match=r"lengths must lie in \[0, 4\]"):
        greedy_search(TableNetwork(), encodings()[np.newaxis], np.array([5]))
