"""The memory of a process between the stages of large models."""

from __future__ import annotations

import ctypes
import gc


def release_freed() -> None:
    """Returns freed memory to the operating system; Python and the C library would keep it.

    Models, which have reference cycles, are freed first.
    """
    gc.collect()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # only glibc has it
        trim(0)
