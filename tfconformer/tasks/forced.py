"""Comparison of step graphs call by call, where errors of rounding add up from step to step.

A recurrent decoder feeds on its own output, and the phase of a voice sums up its pitch: after seconds of speech two
right implementations differ audibly by nothing and in numbers by much. With the same inputs, every call of one can be
compared with that of the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tfconformer.tasks.graphs import Floats, GraphCalls, Tensors


@dataclass(frozen=True)
class StepPath:
    """The calls of step graphs in one utterance.

    Attributes:
      inputs: of every call, with its states.
      scales: root mean square of every output, by signature and name.
    """

    inputs: tuple[Tensors, ...]
    scales: Mapping[tuple[str, str], float]


class ForcedSteps:
    """Graphs whose steps are called with the inputs of a path, and which record inputs and outputs.

    Args:
      graphs: the graphs, in Keras or in a runtime.
      path: the path of another implementation; None leaves the inputs as they are.
    """

    def __init__(self, graphs: GraphCalls, path: StepPath | None = None) -> None:
        self._graphs = graphs
        self._path = path
        self._inputs: list[Tensors] = []
        self._outputs: list[tuple[str, Tensors]] = []

    def run(self, waveform: Floats) -> Floats:
        """Computes the graph from audio, see `GraphCalls.run`."""
        return self._graphs.run(waveform)

    def call(self, signature: str, inputs: Mapping[str, Floats]) -> Tensors:
        """Calls a step graph once, see `GraphCalls.call`."""
        forced = dict(inputs) if self._path is None else self._path.inputs[len(self._inputs)]
        outputs = self._graphs.call(signature, forced)
        self._inputs.append(forced)
        self._outputs.append((signature, outputs))
        return outputs

    def zero_states(self, signature: str) -> Tensors:
        """Returns the states at the start, see `GraphCalls.zero_states`."""
        return self._graphs.zero_states(signature)

    def path(self) -> StepPath:
        """Returns the path of the calls so far, which has the scales of a given one."""
        return StepPath(tuple(self._inputs), self._scales())

    def values(self) -> Floats:
        """Returns all outputs of all calls, states too, [N, 1], each in units of its scale."""
        scales = self._scales()
        flat = [
            outputs[name].ravel() / scales[signature, name]
            for signature, outputs in self._outputs
            for name in sorted(outputs)
        ]
        return np.concatenate([np.zeros(0), *flat])[:, np.newaxis].astype(np.float32)

    def _scales(self) -> Mapping[tuple[str, str], float]:
        if self._path is not None:
            return self._path.scales
        squares: dict[tuple[str, str], list[float]] = {}
        for signature, outputs in self._outputs:
            for name, value in outputs.items():
                squares.setdefault((signature, name), []).append(float(np.mean(np.square(value, dtype=np.float64))))
        return {key: float(np.sqrt(np.mean(found))) or 1.0 for key, found in squares.items()}
