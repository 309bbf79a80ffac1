"""From a trained model to a packed `.tflite` file, and running that file in every TFLite runtime.

    converters.export(tfconformer.quantize(model, rules), "int4.tflite")
    converters.transcribe("int4.tflite", "speech.wav").text

The names below are imported when they are used, so that running files does without TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from converters.custom_ops import library_path as load_delegate_path
    from converters.evaluation.evaluate import evaluate
    from converters.exporter.export import export
    from converters.runtime.tensor_model import load
    from converters.runtime.transcribe import Transcriber, transcribe
    from converters.streaming.online_converter import OnlineConverter as Converter
    from converters.streaming.online_recognizer import OnlineRecognizer as Recognizer

__all__ = ["Converter", "Recognizer", "Transcriber", "evaluate", "export", "load", "load_delegate_path", "transcribe"]

_PLACES = {
    "Converter": ("converters.streaming.online_converter", "OnlineConverter"),
    "Recognizer": ("converters.streaming.online_recognizer", "OnlineRecognizer"),
    "Transcriber": ("converters.runtime.transcribe", "Transcriber"),
    "evaluate": ("converters.evaluation.evaluate", "evaluate"),
    "export": ("converters.exporter.export", "export"),
    "load": ("converters.runtime.tensor_model", "load"),
    "load_delegate_path": ("converters.custom_ops", "library_path"),
    "transcribe": ("converters.runtime.transcribe", "transcribe"),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES[name]
    return getattr(importlib.import_module(module), attribute)
