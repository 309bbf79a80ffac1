"""White noise that every implementation makes alike."""

from __future__ import annotations

import numpy as np
import pytest

from tfconformer.decoding.noise import Noise

# The first numbers of SplitMix64 with the seed 1234567 (Rosetta Code, Pseudo-random numbers/Splitmix64).
PUBLISHED = (
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
)


def test_values_are_scaled_sums_of_the_bytes_of_splitmix64() -> None:
    sums = np.array([sum(number.to_bytes(8, "little")) for number in PUBLISHED])
    expected = (sums - 8 * 127.5) / np.sqrt(8 * (256**2 - 1) / 12)
    np.testing.assert_allclose(Noise(1234567).take(5), expected, rtol=1e-6)  # of a float32


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_pieces_are_those_of_the_whole(seed: int) -> None:
    noise = Noise(seed)
    pieces = [noise.take(count) for count in (0, 1, 7, 640)]
    np.testing.assert_array_equal(np.concatenate(pieces), Noise(seed).take(648))


def test_it_is_white_and_of_deviation_1() -> None:
    """Within four deviations of the estimates from a hundred thousand values."""
    values = Noise(3).take(100_000).astype(np.float64)
    error = 4 / np.sqrt(len(values))
    assert abs(values.mean()) < error
    assert abs(values.std() - 1) < error
    for lag in (1, 2, 640):
        assert abs(np.mean(values[lag:] * values[:-lag])) < error
