"""The decoder of an exported transducer in a runtime: what `decoding.transducer` searches with.

The state of a hypothesis is a value that the search keeps; the file takes one hypothesis at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.flatbuffer.description import check_signature, check_tensors, parse_description, show
from converters.flatbuffer.reader import TfliteFile
from converters.flatbuffer.stream_description import LOGITS
from converters.flatbuffer.transducer_description import (
    ENCODING,
    JOIN,
    KEY,
    LABEL,
    PREDICT,
    PREDICTION,
    STATE,
    TransducerDescription,
)
from converters.runtime.interpreters import LoadedFile, one_line
from tfconformer.errors import InputError

Floats = NDArray[np.float32]


class TransducerModel:
    """A `decoding.transducer.Network` in one runtime. Not for use from several threads at once.

    Attributes:
      description: how it is used.
    """

    def __init__(self, file: LoadedFile, description: TransducerDescription) -> None:
        """Wraps the signatures of a file that fits its description.

        Raises:
          InputError: a tensor of the file is not what the description says.
        """
        self.description = description
        self._file = file
        joint, state = ((1, description.joint), "float32"), (description.state, "float32")
        logits = ((1, description.vocabulary + 1), "float32")
        for name, inputs, outputs in (
            (PREDICT, {LABEL: ((1,), "int32"), STATE: state}, {PREDICTION: joint, STATE: state}),
            (JOIN, {ENCODING: joint, PREDICTION: joint}, {LOGITS: logits}),
        ):
            runner = file.interpreter.get_signature_runner(name)
            check_tensors(file.path, runner.get_input_details(), inputs)
            check_tensors(file.path, runner.get_output_details(), outputs)

    def start(self, count: int) -> Floats:
        """As `Network.start`."""
        return np.zeros([count, *self.description.state[1:]], np.float32)

    def predict(self, labels: NDArray[np.int32], state: Floats) -> tuple[Floats, Floats]:
        """As `Network.predict`.

        Raises:
          InputError: a label is not of the vocabulary, the state is another model's, or the runtime cannot compute it.
        """
        labels = np.asarray(labels, np.int32)
        wrong = labels[(labels < 0) | (labels > self.description.vocabulary)]
        if wrong.size:
            raise InputError(f"{self._file.path}: a label lies in [0, {self.description.vocabulary}], got {wrong[0]}")
        self._check(STATE, state, (len(labels), *self.description.state[1:]))
        prediction, after = self._run(PREDICT, {LABEL: labels, STATE: state}, (PREDICTION, STATE))
        return prediction, after

    def join(self, encodings: Floats, predictions: Floats) -> Floats:
        """As `Network.join`.

        Raises:
          InputError: encodings or predictions are another model's, or the runtime cannot compute it.
        """
        for name, values in ((ENCODING, encodings), (PREDICTION, predictions)):
            self._check(name, values, (len(encodings), self.description.joint))
        (logits,) = self._run(JOIN, {ENCODING: encodings, PREDICTION: predictions}, (LOGITS,))
        return logits

    def _check(self, name: str, values: Floats, shape: tuple[int, ...]) -> None:
        expected, found = (shape, "float32"), (values.shape, values.dtype.name)
        if found != expected:
            raise InputError(
                f"{self._file.path}: the {name} is not of this model: it should be {show(expected)}, got {show(found)}"
            )

    def _run(self, signature: str, inputs: dict[str, NDArray[Any]], outputs: tuple[str, ...]) -> tuple[Floats, ...]:
        """One hypothesis after the other, joined again."""
        (count,) = {len(values) for values in inputs.values()}
        # Not kept: as long as there is one, the interpreter refuses to run another signature's graph on its tensors.
        runner = self._file.interpreter.get_signature_runner(signature)
        try:
            rows = [runner(**{name: values[row : row + 1] for name, values in inputs.items()}) for row in range(count)]
        except (RuntimeError, ValueError) as error:
            file = self._file
            raise InputError(f"{file.path}: {file.runtime} cannot compute {signature} ({one_line(error)})") from error
        return tuple(np.concatenate([row[name] for row in rows]) for name in outputs)


def open_decoder(loaded: LoadedFile, file: TfliteFile) -> TransducerModel | None:
    """The decoder of a loaded file, whose structure is `file`; None if it is not that of a transducer.

    Raises:
      InputError: the file does not fit the description of the decoder in its metadata.
    """
    description = parse_description(loaded.path, file, KEY, TransducerDescription)
    if description is None:
        return None
    check_signature(loaded.path, file, PREDICT, {LABEL, STATE}, {PREDICTION, STATE})
    check_signature(loaded.path, file, JOIN, {ENCODING, PREDICTION}, {LOGITS})
    return TransducerModel(loaded, description)
