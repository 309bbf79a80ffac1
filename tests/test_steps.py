import numpy as np
import pytest

from tfconformer.steps import iter_steps, split_steps


def test_a_signal_is_whole_steps_and_a_rest():
    signal = np.arange(7, dtype=np.float32)
    steps, rest = split_steps(signal, 3)
    assert steps.tolist() == [[0, 1, 2], [3, 4, 5]] and rest.tolist() == [6]
    steps, rest = split_steps(signal[:2], 3)
    assert steps.shape == (0, 3) and rest.tolist() == [0, 1]


@pytest.mark.parametrize("length", [1, 2, 5, 11])
def test_chunks_of_any_length_give_the_steps_of_the_whole(length):
    signal = np.arange(11, dtype=np.float32)
    chunks = [signal[start : start + length] for start in range(0, len(signal), length)]
    assert [step.tolist() for step in iter_steps([*chunks, signal[:0]], 4)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
