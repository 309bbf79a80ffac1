"""The decoder against FFmpeg's, which the expected numbers come from: ffmpeg -f g722 -i x.g722 -f s16le -."""

from __future__ import annotations

import hashlib

import numpy as np

from tfconformer.data.speech import g722

# Every code of both bands, in an order that drives the predictors and the clipping.
STREAM = bytes((167 * i + 13 * i * i + (i >> 5) * 29) % 256 for i in range(4000))
FIRST = [0, 0, -1, -1, -1, 0, 0, -1, -1, 2, 0, -8, 3, 6, 1, 1, 2, -1, 31, 19, 2, -34, -42, -5, 1, -59, -14, -25, 7]
DIGEST = "6ca6ca2fc15f1233a522e3be4d69d41ea59a0426d5e9dc75e9d9bb70037ade84"  # of all 8000 16-bit samples


def test_decodes_bit_exactly_as_ffmpeg() -> None:
    decoded = g722.decode(STREAM)
    assert decoded.dtype == np.float32
    samples = np.round(decoded * 32768).astype("<i2")
    assert samples[: len(FIRST)].tolist() == FIRST
    assert hashlib.sha256(samples.tobytes()).hexdigest() == DIGEST


def test_nothing_decodes_to_nothing() -> None:
    assert g722.decode(b"").shape == (0,)
