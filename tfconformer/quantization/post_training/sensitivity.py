"""The sensitivity of a model to the quantization of one layer at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import tensorflow as tf
import tf_keras as keras
from tqdm import tqdm

from tfconformer.quantization.post_training.quantize import with_fixed_weights
from tfconformer.quantization.quantizers.weights import QuantizedWeights

Batch = tuple[tf.Tensor, tf.Tensor]


def sensitivities(
    model: keras.Model, candidates: Mapping[str, Sequence[QuantizedWeights]], batches: Iterable[Batch]
) -> dict[str, list[float]]:
    """Measures the Kullback-Leibler divergence of the outputs from the float model's, in nats over all frames.

    Args:
      model: the float model of `conformer_ctc`.
      candidates: for every layer, the weights to try in it while all other layers, and all activations, stay in float.
      batches: (features [B, T, mel], lengths [B]) for the model's calls; frames of padding count nothing.

    Returns:
      The divergence of each candidate, by layer.
    """
    copy = with_fixed_weights(model, {})

    @tf.function(reduce_retracing=True)
    def log_probabilities(features: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        return tf.nn.log_softmax(copy([features, lengths], training=False)["logits"])

    references = [(batch, log_probabilities(*batch)) for batch in batches]

    def divergence() -> float:
        terms = [tf.exp(truth) * (truth - log_probabilities(*batch)) for batch, truth in references]
        return float(sum(tf.reduce_sum(term) for term in terms))

    found: dict[str, list[float]] = {}
    for name, tried in tqdm(candidates.items(), desc="sensitivity", unit="layer", leave=False, disable=None):
        kernel = copy.get_layer(name).kernel
        float_kernel = kernel.numpy()
        found[name] = []
        for weights in tried:
            kernel.assign(weights.dequantize())
            found[name].append(divergence())
        kernel.assign(float_kernel)
    return found
