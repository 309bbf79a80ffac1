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
