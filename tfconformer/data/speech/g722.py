"""Decoder of ITU-T G.722 at 64 kbit/s: wideband telephone speech, 7 kHz, two ADPCM sub-bands.

Each byte holds 6 bits of the band below 4 kHz and 2 bits of the band above; it decodes to two samples at 16 kHz. The
arithmetic is the 16-bit fixed point of the Recommendation; names in comments are those of its blocks.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_LOG_STEPS = (-60, -30, 58, 172, 334, 538, 1198, 3042)
_LOG_STEP_INDEX = (0, 7, 6, 5, 4, 3, 2, 1, 7, 6, 5, 4, 3, 2, 1, 0)
_HIGH_LOG_STEPS = (798, -214, 798, -214)  # by 2-bit code
_INVERSE_LOG = (
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
    2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
)  # fmt: skip
_QUANTIZER_2 = (-7408, -1616, 7408, 1616)
_QUANTIZER_4 = (
    0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0,
)  # fmt: skip
_QUANTIZER_6 = (
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232, -9360, -8576,
    -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688, -1360, -1040,
    -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456,
    4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
)  # fmt: skip
_SYNTHESIS_FILTER = (3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11)


def decode(content: bytes) -> npt.NDArray[np.float32]:
    """Decodes a raw G.722 stream.

    Args:
      content: one byte for every 125 microseconds.

    Returns:
      float32 [2 * len(content)] at 16 kHz in [-1, 1).
    """
    if not content:
        return np.zeros(0, np.float32)
    low, high = _Band(step=32), _Band(step=8)
    sums = np.empty(len(content), np.int64)
    differences = np.empty(len(content), np.int64)
    for index, byte in enumerate(content):
        code, high_code = byte & 0x3F, byte >> 6
        below = _clip(low.signal + (low.step * _QUANTIZER_6[code] >> 15), 16384)
        low.update(low.step * _QUANTIZER_4[code >> 2] >> 15, _LOG_STEPS[_LOG_STEP_INDEX[code >> 2]], 18432, 8)
        difference = high.step * _QUANTIZER_2[high_code] >> 15
        above = _clip(high.signal + difference, 16384)
        high.update(difference, _HIGH_LOG_STEPS[high_code], 22528, 10)
        sums[index] = below + above
        differences[index] = below - above
    return _synthesize(sums, differences)


class _Band:
    """The adaptive quantizer's step and the pole-zero predictor of one sub-band."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.signal = 0  # prediction of the next sample
        self._log_step = 0
        self._zero_part = 0
        self._poles = (0, 0)
        self._zeros = [0] * 6
        self._partial = (0, 0)  # the last two partially reconstructed samples (p)
        self._reconstructed = (0, 0)  # the last two reconstructed samples (r)
        self._differences = [0] * 6

    def update(self, difference: int, log_change: int, log_limit: int, shift: int) -> None:
        """Adapts step and predictor to one quantized difference, and predicts the next sample."""
        # LOGSCL, SCALEL: the step follows the codes.
        self._log_step = min(max((self._log_step * 127 >> 7) + log_change, 0), log_limit)
        shift -= self._log_step >> 11
        mantissa = _INVERSE_LOG[self._log_step >> 6 & 31]
        self.step = (mantissa >> shift if shift >= 0 else mantissa << -shift) << 2
        # RECONS, PARREC
        reconstructed = _clip(self.signal + difference, 32768)
        partial = _clip(self._zero_part + difference, 32768)
        # UPPOL2, UPPOL1: the poles move by the signs of the partial signal.
        first, second = self._poles
        same_as_last = (partial < 0) == (self._partial[0] < 0)
        same_as_before = (partial < 0) == (self._partial[1] < 0)
        push = _clip(first << 2, 32768)
        push = min(-push, 32767) if same_as_last else push
        second = _clip((128 if same_as_before else -128) + (push >> 7) + (second * 32512 >> 15), 12288, 12288)
        bound = 15360 - second
        first = _clip((192 if same_as_last else -192) + (first * 32640 >> 15), bound, bound)
        # UPZERO
        change = 128 if difference else 0
        zeros = [
            _clip((change if (past < 0) == (difference < 0) else -change) + (zero * 32640 >> 15), 32768)
            for zero, past in zip(self._zeros, self._differences, strict=True)
        ]
        # DELAYA
        self._poles, self._zeros = (first, second), zeros
        self._partial = (partial, self._partial[0])
        self._reconstructed = (reconstructed, self._reconstructed[0])
        self._differences = [difference, *self._differences[:5]]
        # FILTEP, FILTEZ, PREDIC
        pole_part = (first * _clip(2 * reconstructed, 32768) >> 15) + (
            second * _clip(2 * self._reconstructed[1], 32768) >> 15
        )
        zero_part = sum(
            zero * _clip(2 * past, 32768) >> 15 for zero, past in zip(zeros, self._differences, strict=True)
        )
        self._zero_part = _clip(zero_part, 32768)
        self.signal = _clip(_clip(pole_part, 32768) + self._zero_part, 32768)


def _clip(value: int, limit: int, highest: int | None = None) -> int:
    """Clips to -limit..limit - 1, or to -limit..highest."""
    highest = limit - 1 if highest is None else highest
    return -limit if value < -limit else highest if value > highest else value


def _synthesize(sums: npt.NDArray[np.int64], differences: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Applies the receive quadrature mirror filter: two signals at 8 kHz become one at 16 kHz."""
    taps = np.array(_SYNTHESIS_FILTER, np.int64)
    output = np.empty(2 * len(sums), np.int64)
    # Even samples come from the differences, odd ones from the sums, through mirrored halves of the 24-tap filter.
    output[0::2] = np.convolve(differences, taps)[: len(sums)]
    output[1::2] = np.convolve(sums, taps[::-1])[: len(sums)]
    return (np.clip(output >> 11, -32768, 32767) / 32768.0).astype(np.float32)
