"""A process that transcribes a file, and in which nothing of TensorFlow can be imported."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from typing import Any

BLOCKED = {"keras", "tensorflow", "tensorflow_io", "tensorflow_model_optimization", "tf_keras"}


class Blocked(MetaPathFinder):
    """A finder that refuses the packages of TensorFlow."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname.partition(".")[0] in BLOCKED:
            raise ImportError(f"{fullname} is blocked")


def main() -> None:
    """Prints the text of the audio file `sys.argv[2]` by the model `sys.argv[1]`."""
    sys.meta_path.insert(0, Blocked())
    import converters

    model, audio = sys.argv[1:]
    assert converters.Recognizer and converters.Converter and converters.load
    assert converters.load_delegate_path().is_file()
    print(converters.transcribe(model, audio).text)
