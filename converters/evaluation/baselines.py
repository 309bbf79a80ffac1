"""Baselines: the formats that LiteRT's own quantizer makes of a float model.

Post-training quantization of the layers that `tfconformer export` packs, per channel and symmetric; LiteRT quantizes
their activations to 8 bits at run time. The mel filter bank and the head stay float, as in an export: with an 8-bit
filter bank the word error rate of a baseline would say nothing about its weights. Needs the optional extra `baselines`.
"""

from __future__ import annotations

import contextlib
import importlib
import io
from pathlib import Path

from converters.flatbuffer.reader import read_tflite
from tfconformer import atomic
from tfconformer.errors import InputError, one_line

BITS = (8, 4, 2)
# Operations are named after the layers that compute them: a MatMul of a layer lies in its scope, the filter bank's in
# none.
_LAYERS = ".*/MatMul.*"


def write_baseline(float_model: str | Path, bits: int, output: str | Path) -> None:
    """Writes the LiteRT version of a float `.tflite` with weights of 8, 4 or 2 bits.

    Raises:
      InputError: ai-edge-quantizer is not installed, or the model cannot be read or has packed weights already, or
        ai-edge-quantizer cannot quantize it.
    """
    if bits not in BITS:
        raise InputError(f"LiteRT's quantizer makes weights of 8, 4 or 2 bits, got {bits}")
    file = read_tflite(float_model)
    if file.custom_operations:
        raise InputError(f"{float_model}: baselines are made from a float model, but it has packed weights")
    try:
        quantizer_module = importlib.import_module("ai_edge_quantizer.quantizer")
        qtyping = importlib.import_module("ai_edge_quantizer.qtyping")
    except ImportError as error:
        raise InputError("baselines need ai-edge-quantizer: pip install 'tfconformer[baselines]'") from error
    # It prints a summary and draws progress bars.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            quantizer = quantizer_module.Quantizer(str(float_model))
            quantizer.add_dynamic_config(
                regex=_LAYERS,
                operation_name=qtyping.TFLOperationName.FULLY_CONNECTED,
                num_bits=bits,
                granularity=qtyping.QuantGranularity.CHANNELWISE,
            )
            content = bytes(quantizer.quantize().quantized_model)
        except Exception as error:  # it expects valid files and raises whatever a damaged one leads to
            raise InputError(f"{float_model}: ai-edge-quantizer cannot quantize it ({one_line(error)})") from error
    atomic.write_bytes(output, content)
