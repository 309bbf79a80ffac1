"""The custom TFLite operation `TfconformerFullyConnected`: C sources, and where the compiled library is.

`core/` has the arithmetic without TFLite types, `tflite/` the delegate through which a runtime loads it.
"""

from __future__ import annotations

from pathlib import Path

from tfconformer.errors import InputError

OPERATION_NAME = "TfconformerFullyConnected"


def library_path() -> Path:
    """Path of the shared library, which every TFLite runtime loads as an external delegate.

    Raises:
      InputError: the package was not built, so there is no library.
    """
    path = Path(__file__).with_name("libtfconformer_ops.so")
    if not path.is_file():
        raise InputError(f"the native library {path} does not exist: build it with `pip install .` or `make venv`")
    return path
