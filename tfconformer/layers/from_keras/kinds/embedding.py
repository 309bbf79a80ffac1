"""`keras.layers.Embedding`: a table whose rows are quantized one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tf_keras as keras

from tfconformer.layers.embedding import Embedding
from tfconformer.layers.from_keras.expansion import Expansion, activation, expands
from tfconformer.layers.from_keras.matrix import WeightMatrix


@expands(keras.layers.Embedding)
class EmbeddingExpansion(Expansion):
    """An `Embedding` layer of this package."""

    @classmethod
    def weights(cls, layer: Any) -> Mapping[str, WeightMatrix]:
        return {"embeddings": WeightMatrix("embeddings", axes=(1, 0))}

    @classmethod
    def refusal(cls, layer: Any) -> str | None:
        return "with mask_zero: set it to False" if layer.mask_zero else None

    def expand(self) -> None:
        layer = self.layer
        self.table = self.matrix(
            "embeddings", lambda **options: Embedding(layer.input_dim, layer.output_dim, **options)
        )
        self.activation = activation(layer, self.name, keras.activations.linear)

    def call(self, inputs: Any) -> Any:
        return self.activation(self.table(inputs))
