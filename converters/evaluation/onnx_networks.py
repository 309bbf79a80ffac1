"""Networks of others in onnxruntime, on one thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfconformer.errors import UnavailableError


def network_opener() -> Callable[[bytes], Any]:
    """Returns a function that opens an ONNX file's bytes as an inference session.

    Raises:
      UnavailableError: onnxruntime is missing, which a caller learns before it fetches a network.
    """
    try:
        import onnxruntime
    except ImportError:
        raise UnavailableError(
            "generated speech is judged by networks that need onnxruntime: pip install 'tfconformer[moonshine]'"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return lambda content: onnxruntime.InferenceSession(content, options)
