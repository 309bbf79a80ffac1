"""The same random weights in every run."""

from __future__ import annotations

import pytest
import tf_keras as keras


@pytest.fixture(autouse=True)
def _seed() -> None:
    keras.utils.set_random_seed(1)
