"""SparseGPT: pruning to N:M so that the outputs of a layer change little (2301.00774), by the steps of GPTQ.

Pruning weight k of a column costs w_k^2 / [H_F^-1]_kk, with the Hessian H of `gptq.py` and F the weights not yet
visited. Of every M weights the N of highest cost are kept, and the weights after a pruned one make up for it.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from tfconformer.quantization.post_training.gptq import DAMPING, inverse_factor
from tfconformer.quantization.quantizers.pruning import nm_mask


def sparse_gpt(
    weights: ArrayLike, hessian: ArrayLike, n_of_m: tuple[int, int], damping: float = DAMPING
) -> NDArray[np.float32]:
    """Prunes `weights` [K, N]; returns the weights with zeros, whose `nm_mask` is the chosen one.

    Args:
      weights: the kernel [K, N].
      hessian: X' X [K, K] of the layer's inputs.
      n_of_m: n of m consecutive weights along K are kept.
      damping: share of the mean of the Hessian's diagonal that is added to the diagonal.
    """
    n, m = n_of_m
    factor = inverse_factor(np.asarray(hessian, np.float64), damping)
    diagonal = np.diag(factor)[:, np.newaxis]
    left = np.array(weights, np.float64)
    for first in range(0, len(left), m):
        group = slice(first, first + m)
        kept = nm_mask(tf.constant(left[group] / diagonal[group]), n, m).numpy()
        for k in range(first, min(first + m, len(left))):
            error = left[k] * (1 - kept[k - first]) / factor[k, k]
            left[k] *= kept[k - first]
            left[k + 1 :] -= np.outer(factor[k, k + 1 :], error)
    return left.astype(np.float32)
