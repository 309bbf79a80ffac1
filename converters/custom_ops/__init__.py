"""The custom TFLite operations: names, C sources and compiled library.

`include/` holds the public C header, `format/` the memory formats and their checks, `kernels/` the inner loops for each
instruction set, `ops/` the loop nests of the operations, `api/` the public C functions, and `tflite/` the delegate that
a TFLite runtime loads. Each folder includes only those named before it.
"""

from __future__ import annotations

import ctypes
import itertools
from pathlib import Path

from tfconformer.errors import InputError

FULLY_CONNECTED = "TfconformerFullyConnected"
DEPTHWISE_CONVOLUTION = "TfconformerDepthwiseConvolution"
LAYER_NORMALIZATION = "TfconformerLayerNormalization"
ATTENTION = "TfconformerAttention"
ATTENTION_STEP = "TfconformerAttentionStep"
# Operation -> number of its computed inputs; they come first, the constants follow.
OPERATIONS = {
    FULLY_CONNECTED: 1,
    DEPTHWISE_CONVOLUTION: 1,
    LAYER_NORMALIZATION: 1,
    ATTENTION: 5,
    ATTENTION_STEP: 7,
}
# Without contraction, because a fused multiply-add would change the documented result of the packed layers. Assertions
# are for the tests, which compile the sources themselves.
COMPILER_FLAGS = (
    *("-std=c11", "-O3", "-DNDEBUG", "-ffp-contract=off", "-fPIC", "-fvisibility=hidden"),
    *("-Wall", "-Wextra", "-Werror"),
)
COLUMN_MULTIPLE = 16  # floats; the rows of a transposed matrix are padded to a multiple


def padded_columns(count: int) -> int:
    """Returns the smallest multiple of COLUMN_MULTIPLE that is at least `count`."""
    return -(-count // COLUMN_MULTIPLE) * COLUMN_MULTIPLE


def library_path() -> Path:
    """Returns the path of the shared library, which every TFLite runtime loads as an external delegate.

    Raises:
      InputError: the library does not exist, because the package was not built.
    """
    path = Path(__file__).with_name("libtfconformer_ops.so")
    if not path.is_file():
        raise InputError(f"the native library {path} does not exist: build it with `pip install .` or `make venv`")
    return path


def include_path() -> Path:
    """Returns the folder of `tfconformer_ops.h`, the header for C programs that link the library."""
    return Path(__file__).with_name("include")


def kernel_names() -> list[str]:
    """Returns the names of the kernels that this processor can run, the fastest, which is the default, first.

    Raises:
      InputError: the library is missing, or cannot be loaded as that of this package.
    """
    path = library_path()
    try:
        kernel_name = ctypes.CDLL(str(path)).tfc_kernel_name
    except (OSError, AttributeError) as error:
        raise InputError(f"the native library {path} cannot be loaded ({error})") from error
    kernel_name.restype = ctypes.c_char_p
    names = itertools.takewhile(lambda name: name is not None, (kernel_name(index) for index in itertools.count()))
    return [name.decode("ascii") for name in names]
