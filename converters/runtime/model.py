"""Running an exported model in the TFLite runtimes: one small interface to all of them.

    model = open_model("model.tflite", "ai-edge-litert")
    logits = model.run(waveform)

A streaming file takes the waveform in steps, a file for whole utterances at once; the logits are the same. A transducer
has encodings in their place, and a decoder that makes logits of them.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.flatbuffer.reader import TfliteFile, read_tflite
from converters.flatbuffer.stream_description import ENCODED, LOGITS, STEP
from converters.flatbuffer.transducer_description import ENCODE
from converters.runtime.interpreters import METADATA, RUNTIMES, KernelUse, LoadedFile, load_file, one_line
from converters.runtime.stream_model import StreamModel, open_stream
from converters.runtime.transducer_model import TransducerModel, open_decoder
from tfconformer.errors import InputError

__all__ = ["METADATA", "RUNTIMES", "SIGNATURE", "KernelUse", "Model", "StreamModel", "open_model"]

SIGNATURE = "transcribe"
_SIGNATURES = {False: (SIGNATURE, LOGITS), True: (ENCODE, ENCODED)}  # whether there is a decoder -> signature, output


class Model:
    """An exported recognizer of whole utterances in one runtime. Not for use from several threads at once.

    Attributes:
      path: the file.
      runtime: name and version, as in "ai-edge-litert 2.3.0".
      decoder: of a transducer; None if it is a model of CTC.
    """

    def __init__(self, file: LoadedFile, decoder: TransducerModel | None = None) -> None:
        self.path = file.path
        self.runtime = file.runtime
        self.decoder = decoder
        self._file = file
        signature, self._output = _SIGNATURES[decoder is not None]
        self._transcribe = file.interpreter.get_signature_runner(signature)

    def run(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Computes logits [frames, vocabulary + 1] of a waveform [samples] in [-1, 1]; encodings [frames, joint] of it
        if there is a decoder for them.

        Raises:
          InputError: the waveform is not one-dimensional and real, or the runtime cannot compute the model on it, for
            example because it is too short.
        """
        samples = np.ascontiguousarray(waveform, np.float32)
        if samples.ndim != 1:
            raise InputError(f"{self.path}: a waveform has the shape [samples], got {list(samples.shape)}")
        try:
            outputs = self._transcribe(waveform=samples[np.newaxis])[self._output]
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"{self.path}: {self.runtime} cannot compute it on {samples.size} samples ({one_line(error)})"
            ) from error
        if outputs.ndim != 3 or outputs.shape[0] != 1:
            raise InputError(f"{self.path}: its {self._output} should be [1, frames, width], got {list(outputs.shape)}")
        return np.asarray(outputs[0], np.float32)

    def metadata(self) -> dict[str, Any]:
        """As `LoadedFile.metadata`."""
        return self._file.metadata()

    def kernels(self) -> KernelUse:
        """As `LoadedFile.kernels`."""
        return self._file.kernels()


def open_model(path: str | os.PathLike[str], runtime: str = "ai-edge-litert", threads: int = 1) -> Model | StreamModel:
    """Opens an exported recognizer in a runtime.

    Args:
      path: a streaming `.tflite` file; or one whose signature "transcribe" goes from "waveform" [1, samples] to
        "logits" [1, frames, vocabulary + 1]; or that of a transducer, with the signature "encode" in its place.
      runtime: one of `RUNTIMES`.
      threads: at most so many for an operation.

    Raises:
      InputError: the file is missing, damaged or no recognizer, the runtime is unknown, not installed or does not know
        an operation of the file, or the native library is missing though the file needs it.
    """
    name = os.fspath(path)
    file = read_tflite(name)
    if STEP in file.signatures:
        return open_stream(name, runtime, threads)
    is_transducer = ENCODE in file.signatures
    _check_recognizer(name, file, *_SIGNATURES[is_transducer])
    loaded = load_file(name, file, runtime, threads)
    decoder = open_decoder(loaded, file) if is_transducer else None
    if is_transducer and decoder is None:
        raise InputError(f"{name}: its {METADATA} metadata do not describe the decoder of a transducer")
    return Model(loaded, decoder)


def _check_recognizer(path: str, file: TfliteFile, key: str, output: str) -> None:
    signature = file.signatures.get(key)
    if signature is None:
        raise InputError(f"{path}: it has no signature {key!r}, expected one from waveform to {output}")
    if signature.inputs != {"waveform"} or signature.outputs != {output}:
        ends = f"{sorted(signature.inputs)} to {sorted(signature.outputs)}"
        raise InputError(f"{path}: its signature {key!r} goes from {ends}, expected from waveform to {output}")
