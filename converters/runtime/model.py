"""Running an exported model in the TFLite runtimes: one interface to all of them.

    model = open_model("model.tflite", "ai-edge-litert")
    logits = model.run(waveform)

A streaming file takes the waveform in steps, an offline file at once; the outputs are the same. The other graphs of a
file, such as the prediction network of a transducer, are called by `SpeechModel.call`.
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from converters.flatbuffer.metadata import FREE, METADATA, GraphDescription, ModelMetadata, TensorDescription
from converters.flatbuffer.reader import TfliteFile, read_tflite
from converters.flatbuffer.signatures import check_signatures
from converters.runtime.interpreters import RUNTIMES, KernelUse, LoadedFile, load_file
from converters.runtime.speech_model import SpeechModel
from converters.runtime.stream_model import StreamModel, open_stream
from tfconformer.errors import InputError

__all__ = ["RUNTIMES", "KernelUse", "Model", "SpeechModel", "StreamModel", "open_model"]

# The only graph of files without metadata.
_PLAIN = GraphDescription(
    signature="transcribe",
    inputs=(TensorDescription(name="waveform", shape=(1, FREE), dtype="float32"),),
    outputs=(TensorDescription(name="logits", shape=(1, FREE, FREE), dtype="float32"),),
)


class Model(SpeechModel):
    """An offline model, which takes whole utterances."""

    def __init__(self, file: LoadedFile) -> None:
        super().__init__(file)
        (self._input,) = (tensor.name for tensor in file.graph.inputs)

    def run(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Computes the output of a whole waveform, see `SpeechModel.run`."""
        samples = self._checked(waveform)
        with self._file.one_sentence(f"compute it on {samples.size} samples"):
            outputs = self._file.audio_runner(**{self._input: samples[np.newaxis]})[self.output]
        if outputs.ndim != 3 or outputs.shape[0] != 1:
            raise InputError(f"{self.path}: its {self.output} should be [1, frames, width], got {list(outputs.shape)}")
        return np.asarray(outputs[0], np.float32)


def open_model(path: str | os.PathLike[str], runtime: str = "ai-edge-litert", threads: int = 1) -> SpeechModel:
    """Opens an exported model in a runtime.

    Args:
      path: a `.tflite` file of `tfconformer export`, or one without metadata whose signature "transcribe" goes from
        "waveform" [1, samples] to "logits" [1, frames, vocabulary + 1].
      runtime: one of `RUNTIMES`.
      threads: maximum number of threads of an operation.

    Raises:
      InputError: the file is missing, damaged or does not fit its metadata, the runtime is unknown, not installed or
        lacks an operation of the file, or the native library is missing though the file needs it.
    """
    name = os.fspath(path)
    file = read_tflite(name)
    graphs = ModelMetadata.parse(name, file).graphs if METADATA in file.metadata else (_PLAIN,)
    if graphs[0].stream is not None:
        return open_stream(name, runtime, threads)
    _check_offline(name, file, graphs)
    return Model(load_file(name, file, graphs, runtime, threads))


def _check_offline(path: str, file: TfliteFile, graphs: tuple[GraphDescription, ...]) -> None:
    first = graphs[0]
    key, output = first.signature, first.output.name
    signature = file.signatures.get(key)
    if signature is None:
        raise InputError(f"{path}: it has no signature {key!r}, expected one from waveform to {output}")
    if signature.inputs != {"waveform"} or signature.outputs != {output}:
        ends = f"{sorted(signature.inputs)} to {sorted(signature.outputs)}"
        raise InputError(f"{path}: its signature {key!r} goes from {ends}, expected from waveform to {output}")
    if len(first.inputs) != 1 or first.states:
        raise InputError(f"{path}: the graph {key!r} in its metadata should have one input and no state")
    check_signatures(path, file, graphs)
