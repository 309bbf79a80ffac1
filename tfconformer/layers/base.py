"""The base class of the project's layers: a Keras layer that describes itself to reports and to export."""

from __future__ import annotations

from typing import Any, ClassVar

import tf_keras as keras


class Layer(keras.layers.Layer):
    """A Keras layer that describes itself. Reports and export read these attributes and depend on no class.

    It computes in float32, whatever the global policy of Keras is: quantized values are not those of float16. It is
    traced without AutoGraph, so that it decides on tensors with `tf.cond` or `tf.where`.

    Attributes:
      kind: group of the layer in reports: "dense", "convolution", "depthwise", "normalization", "attention",
        "embedding", "other".
      operation: name of the operation that computes the layer in a file whose exporter has it ("fully_connected",
        "depthwise_convolution", ...); None if the layer always becomes basic operations.
      constants: names of the weights, attributes of the layer, that the operation holds; other weights are its inputs.
      exported_as: class with the same configuration and weights that computes the same in an exported graph; None: the
        layer's own.
      frame_rate: output frames per input frame.
    """

    kind: ClassVar[str] = "other"
    operation: ClassVar[str | None] = None
    constants: ClassVar[tuple[str, ...]] = ()
    exported_as: ClassVar[type[Layer] | None] = None
    frame_rate: float = 1.0

    def __init__(self, **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})

    def _should_use_autograph(self) -> bool:
        """Returns false: conversion makes tracing slow, and no layer of the package needs it."""
        return False

    def macs_per_frame(self, input_shape: Any) -> int:
        """Returns the multiplications with weights, elementwise scales left out, that one output frame costs.

        Args:
          input_shape: shape of the input, or of the inputs, with the batch and time first.
        """
        return 0
