"""Resets of the master weights towards their quantized values."""

from __future__ import annotations

from typing import Any

import tf_keras as keras

from tfconformer.compat import integer
from tfconformer.config import ResetConfig
from tfconformer.errors import InputError
from tfconformer.quantization.layers.quantize_wrapper import QuantizedDense, trained_bits


class GridResets(keras.callbacks.Callback):
    """The callback that moves master weights towards the grid every so many steps (WinQ, 2605.17471).

    Weights are what they are quantized to outside of training, also before their schedule begins. Frozen layers stay as
    they are.

    Args:
      config: steps between two resets, and their size.
    """

    def __init__(self, config: ResetConfig):
        super().__init__()
        self._config = config

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Finds the quantized layers.

        Raises:
          InputError: there are none, or they are trained for several grids.
        """
        self._layers = [layer for layer in self.model.layers if isinstance(layer, QuantizedDense) and layer.trainable]
        if not self._layers:
            raise InputError("training.resets needs layers that are quantized and trained: set it to null")
        if trained_bits(self.model):
            raise InputError("training.resets needs one grid, and co-trained layers have several: set it to null")

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if integer(self.model.optimizer.iterations) % self._config.every:
            return
        share = self._config.share
        for layer in self._layers:
            kernel = layer.layer.kernel
            kernel.assign((1 - share) * kernel + share * layer.quantized().dequantize())
