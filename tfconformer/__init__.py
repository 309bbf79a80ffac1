"""Low-bit training of Keras models: quantization of any functional model, and Conformers for speech.

    q = tfconformer.quantize(model, {".*_head": None, ".*": tfconformer.recipes.int4_block64()})

The names below are imported when they are used, since TensorFlow takes seconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfconformer.quantization import recipes
    from tfconformer.quantization.keras_models import load_model, quantize
    from tfconformer.quantization.layers.quantize_config import WeightQuantizeConfig, WeightQuantizeScheme
    from tfconformer.quantization.layers.quantize_wrapper import QuantizationSteps, quantization_step
    from tfconformer.quantization.spec import ClipSearch, LearnedClip, PruningSchedule, QuantSpec, Schedule
    from tfconformer.reports.keras_summary import summary

__all__ = [
    "ClipSearch",
    "LearnedClip",
    "PruningSchedule",
    "QuantSpec",
    "QuantizationSteps",
    "Schedule",
    "WeightQuantizeConfig",
    "WeightQuantizeScheme",
    "load_model",
    "quantization_step",
    "quantize",
    "recipes",
    "summary",
]

_PLACES = {
    "ClipSearch": "quantization.spec",
    "LearnedClip": "quantization.spec",
    "PruningSchedule": "quantization.spec",
    "QuantSpec": "quantization.spec",
    "QuantizationSteps": "quantization.layers.quantize_wrapper",
    "Schedule": "quantization.spec",
    "WeightQuantizeConfig": "quantization.layers.quantize_config",
    "WeightQuantizeScheme": "quantization.layers.quantize_config",
    "load_model": "quantization.keras_models",
    "quantization_step": "quantization.layers.quantize_wrapper",
    "quantize": "quantization.keras_models",
    "summary": "reports.keras_summary",
}


def __getattr__(name: str) -> Any:
    if name == "recipes":
        return importlib.import_module("tfconformer.quantization.recipes")
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
