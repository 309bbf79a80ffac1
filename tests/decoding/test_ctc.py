import itertools

import numpy as np
import pytest

from tfconformer.decoding.ctc import BLANK, StreamingCTCDecoder, greedy_decode


def one_hot(path: list[int], columns: int = 4) -> np.ndarray:
    return np.eye(columns, dtype=np.float32)[path]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ([], []),
        ([0, 0, 0], []),
        ([1, 1, 1], [1]),
        ([1, 0, 1], [1, 1]),
        ([0, 1, 1, 2, 2, 0, 0, 2, 3, 0], [1, 2, 2, 3]),
        ([3, 2, 3], [3, 2, 3]),
    ],
)
def test_known_paths(path, expected):
    assert greedy_decode(one_hot(path)) == expected


def test_every_short_path_against_groupby():
    """All 4^5 paths of five frames, against the textbook definition: merge runs, then drop blanks."""
    for path in itertools.product(range(4), repeat=5):
        expected = [symbol for symbol, _ in itertools.groupby(path) if symbol != BLANK]
        assert greedy_decode(one_hot(list(path))) == expected


def test_equal_columns_decode_to_the_lowest():
    assert greedy_decode(np.zeros((3, 4))) == []
    assert greedy_decode(np.array([[-1.0, 2.0, 2.0]])) == [1]


def test_infinite_logits_are_legal():
    assert greedy_decode(np.array([[-np.inf, 0.0, -np.inf]])) == [1]


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), (3, 0)])
def test_wrong_shape_is_refused(shape):
    with pytest.raises(ValueError, match="frames, vocabulary"):
        greedy_decode(np.zeros(shape))


def test_nan_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        greedy_decode(np.array([[0.0, np.nan]]))


@pytest.mark.parametrize("seed", range(5))
def test_a_stream_decodes_as_the_whole_utterance(seed):
    random = np.random.default_rng(seed)
    logits = random.normal(size=(40, 3))  # three symbols: many repeats and blanks
    stream, start = StreamingCTCDecoder(), 0
    while start < len(logits):
        size = int(random.integers(0, 6))
        stream.push(logits[start : start + size])
        start += size
    assert stream.ids == greedy_decode(logits)
    path = logits.argmax(-1).tolist()
    changes = [t for t, symbol in enumerate(path) if symbol and (t == 0 or symbol != path[t - 1])]
    assert stream.starts == changes
    assert stream.frames == 40
    assert stream.trailing_blanks == path[::-1].index(next(symbol for symbol in path[::-1] if symbol))


def test_a_stream_counts_silence_from_its_beginning():
    stream = StreamingCTCDecoder()
    stream.push(np.zeros([7, 3]))  # equal columns decode as the blank
    assert (stream.ids, stream.trailing_blanks) == ([], 7)
    with pytest.raises(ValueError, match="NaN"):
        stream.push(np.full([1, 3], np.nan))
    assert stream.frames == 7


# Five frames of the blank and two labels, as probabilities: label 1 for two frames, a blank, 1 again, then 2.
PROBABILITIES = np.array(
    [[0.2, 0.7, 0.1], [0.05, 0.9, 0.05], [0.6, 0.3, 0.1], [0.25, 0.5, 0.25], [0.1, 0.1, 0.8]], np.float64
)


@pytest.mark.parametrize("cuts", [[], [1], [2, 3, 3]])
def test_a_hand_made_matrix_gives_frames_and_probabilities(cuts):
    stream = StreamingCTCDecoder()
    for chunk in np.split(np.log(PROBABILITIES) + 3.0, cuts):  # logits are log-probabilities but for a constant
        stream.push(chunk)
    assert (stream.ids, stream.starts, stream.ends) == ([1, 1, 2], [0, 3, 4], [2, 4, 5])
    np.testing.assert_allclose(stream.confidences, [0.9, 0.5, 0.8], rtol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_runs_of_a_stream_are_those_of_groupby(seed):
    logits = np.random.default_rng(seed).normal(size=(40, 3))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected, frame = [], 0
    for symbol, run in itertools.groupby(logits.argmax(-1).tolist()):
        end = frame + len(list(run))
        if symbol != BLANK:
            expected.append((symbol, frame, end, probabilities[frame:end, symbol].max()))
        frame = end
    stream = StreamingCTCDecoder()
    for chunk in np.split(logits, [7, 8, 8, 30]):
        stream.push(chunk)
    found = list(zip(stream.ids, stream.starts, stream.ends, strict=True))
    assert found == [one[:3] for one in expected]
    np.testing.assert_allclose(stream.confidences, [one[3] for one in expected], rtol=1e-12)
