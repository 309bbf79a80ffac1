"""Log-probabilities of logits, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def log_probabilities(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Computes the logarithm of the softmax over the last axis; log-probabilities stay as they are."""
    shifted = np.asarray(logits, np.float64)
    shifted = shifted - shifted.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
