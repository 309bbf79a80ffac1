"""How much a model suffers from the quantization of one layer at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras
from tqdm import tqdm

from tfconformer.quantization.fixed import FixedProduct
from tfconformer.quantization.post_training import with_fixed_weights
from tfconformer.quantization.quantizers import QuantizedWeights


def sensitivities(
    model: keras.Model, candidates: Mapping[str, Sequence[QuantizedWeights]], inputs: Iterable[Any]
) -> dict[str, list[float]]:
    """Kullback-Leibler divergence of the model's outputs from the float model's, in nats summed over all frames.

    Args:
      model: the float model of `conformer_ctc`.
      candidates: for every layer, the weights to try in it while all other layers stay in float.
      inputs: batches as the model is called with, (features [B, T, mel], lengths [B]); frames of padding count nothing.

    Returns:
      For every layer, the divergence of each of its candidates.
    """
    copy = with_fixed_weights(model, {})
    batches = list(inputs)
    expected = [_log_probabilities(copy, batch) for batch in batches]
    found: dict[str, list[float]] = {}
    for name, tried in tqdm(candidates.items(), desc="sensitivity", unit="layer", leave=False, disable=None):
        layer = copy.get_layer(name)
        float_product = layer.product
        found[name] = []
        for weights in tried:
            layer.product = FixedProduct(weights)
            divergences = [
                tf.reduce_sum(tf.exp(truth) * (truth - _log_probabilities(copy, batch)))
                for batch, truth in zip(batches, expected, strict=True)
            ]
            found[name].append(float(tf.add_n(divergences)))
        layer.product = float_product
    return found


def _log_probabilities(model: keras.Model, inputs: Any) -> tf.Tensor:
    return tf.nn.log_softmax(model(inputs, training=False)["logits"])
