"""`keras.layers.MultiHeadAttention`: four projections, each with a `Dense` layer, and attention between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import tensorflow as tf
import tf_keras as keras

from tfconformer.errors import InputError
from tfconformer.layers.base import Layer
from tfconformer.layers.from_keras.expansion import Expansion, expands
from tfconformer.layers.from_keras.kinds.einsum import Einsum, EinsumExpansion
from tfconformer.layers.from_keras.matrix import WeightMatrix
from tfconformer.layers.registry import register

_ROLES = ("query", "key", "value", "output")
_NEVER = -1e9  # added to the scores of masked keys, as Keras does


@register
class DotProductAttention(Layer):
    """Scaled dot-product attention (1706.03762, sec. 3.2.1).

    Call: (query [B, T, heads, width], key [B, S, heads, width], value [B, S, heads, W]) -> [B, T, heads, W]. A fourth
    input is a mask [B, T, S], true or 1 where a query reads a key.

    Args:
      causal: true if a query reads no key after it.
      dropout: share of the attention weights that training drops.
    """

    def __init__(self, causal: bool = False, dropout: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.causal = causal
        self.dropout = keras.layers.Dropout(dropout, dtype="float32")

    def call(self, inputs: tuple[tf.Tensor, ...], training: bool | None = None) -> tf.Tensor:
        query, key, value, *masks = inputs
        query, key, value = (tf.transpose(x, [0, 2, 1, 3]) for x in (query * query.shape[-1] ** -0.5, key, value))
        scores = tf.matmul(query, key, transpose_b=True)
        if self.causal:
            steps, keys = tf.range(tf.shape(scores)[2]), tf.range(tf.shape(scores)[3])
            masks.append(keys[tf.newaxis, tf.newaxis] <= steps[:, tf.newaxis])
        for mask in masks:
            scores += (1.0 - tf.cast(mask, tf.float32))[:, tf.newaxis] * _NEVER
        weights = self.dropout(tf.nn.softmax(scores), training=training)
        return tf.transpose(tf.matmul(weights, value), [0, 2, 1, 3])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "causal": self.causal, "dropout": self.dropout.rate}


@expands(keras.layers.MultiHeadAttention)
class AttentionExpansion(Expansion):
    """Four projections and the attention between them."""

    @classmethod
    def weights(cls, layer: Any) -> Mapping[str, WeightMatrix]:
        projections = {role: f"_{role}_dense" for role in _ROLES}
        return {
            f"{role}_kernel": replace(Einsum.of(getattr(layer, name)).matrix, attribute=f"{name}.kernel")
            for role, name in projections.items()
        }

    @classmethod
    def refusal(cls, layer: Any) -> str | None:
        if layer.get_config()["attention_axes"] not in ((1,), [1], None) or layer._query_shape.rank != 3:
            return "on inputs of more than three axes"
        return None

    def expand(self) -> None:
        self.projections: dict[str, EinsumExpansion] = {}
        self.attentions: dict[bool, DotProductAttention] = {}
        for role in _ROLES:
            projection = EinsumExpansion(getattr(self.layer, f"_{role}_dense"), f"{self.name}_{role}")
            projection.expand()
            self.projections[role] = projection
            self.matrices += projection.matrices

    def copy_weights(self) -> None:
        for projection in self.projections.values():
            projection.copy_weights()

    def call(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: Any = None,
        use_causal_mask: bool = False,
    ) -> Any:
        if return_attention_scores:
            raise InputError(f"the layer {self.name} (MultiHeadAttention) cannot be quantized and return its scores")
        given = {"query": query, "key": value if key is None else key, "value": value}
        projected = [self.projections[role].call(x) for role, x in given.items()]
        masks = [] if attention_mask is None else [attention_mask]
        attended = self._attention(use_causal_mask)([*projected, *masks], training=training)
        return self.projections["output"].call(attended)

    def _attention(self, causal: bool) -> DotProductAttention:
        if causal not in self.attentions:
            name = f"{self.name}_{'causal_' if causal else ''}attention"
            self.attentions[causal] = DotProductAttention(causal, self.layer.get_config()["dropout"], name=name)
        return self.attentions[causal]
