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
    """Kullback-Leibler divergence, in nats per utterance, of the model's outputs from the float model's.

    Args:
      model: the float model of `conformer_ctc`.
      candidates: for every layer, the weights to try in it while all other layers stay in float.
      inputs: utterances as the model is called with, (features [1, T, mel], lengths [1]).

    Returns:
      For every layer, the divergence of each of its candidates, summed over frames, averaged over utterances.
    """
    copy = with_fixed_weights(model, {})
    utterances = list(inputs)
    expected = [_log_probabilities(copy, one) for one in utterances]
    found: dict[str, list[float]] = {}
    for name, tried in tqdm(candidates.items(), desc="sensitivity", unit="layer", leave=False, disable=None):
        layer = copy.get_layer(name)
        float_product = layer.product
        found[name] = []
        for weights in tried:
            layer.product = FixedProduct(weights)
            total = 0.0
            for one, truth in zip(utterances, expected, strict=True):
                difference = tf.exp(truth) * (truth - _log_probabilities(copy, one))
                total += float(tf.reduce_sum(difference))
            found[name].append(total / len(utterances))
        layer.product = float_product
    return found


def _log_probabilities(model: keras.Model, inputs: Any) -> tf.Tensor:
    return tf.nn.log_softmax(model(inputs, training=False)["logits"])
