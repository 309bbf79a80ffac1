"""The common base of offline and streaming models in a runtime."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.flatbuffer.metadata import ModelMetadata
from converters.runtime.interpreters import KernelUse, LoadedFile
from tfconformer.errors import InputError


class SpeechModel(ABC):
    """A model whose first graph takes audio. Not for use from several threads at once.

    Attributes:
      path: the path of the file.
      runtime: name and version of the runtime, for example "ai-edge-litert 2.3.0".
      output: name of the first graph's output.
    """

    def __init__(self, file: LoadedFile) -> None:
        self.path = file.path
        self.runtime = file.runtime
        self.output = file.graph.output.name
        self._file = file

    @abstractmethod
    def run(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Computes the output [frames, width] of the first graph on a whole waveform [samples] in [-1, 1].

        Raises:
          InputError: the waveform is not one-dimensional, or the runtime cannot compute the model on it, for example
            because it is too short.
        """

    @property
    def metadata(self) -> ModelMetadata:
        """The metadata of the file.

        Raises:
          InputError: the metadata are missing or wrong.
        """
        return self._file.metadata

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings of the task, among the metadata of the file.

        Raises:
          InputError: see `metadata`.
        """
        return self.metadata.task.model_dump(exclude_none=True)

    def call(self, signature: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Calls a step graph once; returns its outputs and states by name.

        Args:
          signature: the signature of one of the graphs after the first.
          inputs: its inputs and states by name.

        Raises:
          InputError: an input has another shape or type than the graph's, or the runtime cannot compute the graph.
        """
        return self._file.call(signature, inputs)

    def zero_states(self, signature: str) -> dict[str, NDArray[Any]]:
        """Returns the states of a step graph at the start, all zero, by name."""
        return self._file.zero_states(signature)

    def kernels(self) -> KernelUse:
        """Returns the implementations that compute the model, complete after the first run."""
        return self._file.kernels()

    def _checked(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        samples = np.ascontiguousarray(waveform, np.float32)
        if samples.ndim != 1:
            raise InputError(f"{self.path}: a waveform has the shape [samples], got {list(samples.shape)}")
        return samples
