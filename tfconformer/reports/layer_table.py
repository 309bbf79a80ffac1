"""A model layer by layer: bits, parameters, bytes, multiplications, and the error of the quantization.

    print(model_summary(rows, title="conformer-s, int2"))

In the spirit of larq's `models.summary`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tfconformer.quantization.spec import FLOAT_BITS, QuantSpec
from tfconformer.reports.results import LayerError

FLOAT_BYTES = 4


@dataclass(frozen=True)
class LayerRow:
    """One layer that has weights.

    Attributes:
      name: the layer's name in the Keras model.
      kind: "dense", "convolution", "depthwise", "normalization" or "attention".
      shape: `(K, N)`, contraction first, of a dense layer, else empty.
      bits: width of a stored weight, 32 for float.
      granularity: "channel", "tensor", "block 32", ...; empty for float layers.
      parameters: number of weights and biases.
      bytes: their size in the file, scales, float zero points and sparsity indices included.
      macs: multiplications with kernels for the amount of input that the table is about. Elementwise scales are not
        counted, nor the matmuls of activations with activations in attention, which grow with the length of the input.
        None for a layer whose multiplications are not known.
      sqnr_db: signal to quantization noise ratio of the weights in decibels; None for float layers and without noise.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    bits: int
    granularity: str
    parameters: int
    bytes: int
    macs: float | None
    sqnr_db: float | None = None


@dataclass(frozen=True)
class Totals:
    """Sums over the layers of a model.

    Attributes:
      parameters, bytes, macs: sums of the rows.
      float_bytes: size of the parameters in float32.
      macs_by_bits: (bits, share of the multiplications), widest first; the shares sum to 1.
    """

    parameters: int
    bytes: int
    macs: float
    float_bytes: int
    macs_by_bits: tuple[tuple[int, float], ...]

    @property
    def float_ratio(self) -> float:
        """Float32 size over the stored size."""
        return self.float_bytes / self.bytes if self.bytes else math.nan


@dataclass(frozen=True)
class MacUnit:
    """The unit in which a table counts multiplications.

    Attributes:
      column: header of the column.
      name: the unit in a sentence.
      per: number of multiplications in it.
      decimals: digits after the point.
    """

    column: str
    name: str
    per: float
    decimals: int

    def text(self, macs: float | None) -> str:
        """Returns a number of multiplications in this unit; a question mark for None."""
        return "?" if macs is None else f"{macs / self.per:,.{self.decimals}f}"


PER_SECOND = MacUnit("MMAC/s", "MMAC per second of audio", 1e6, 2)


def totals(rows: Iterable[LayerRow]) -> Totals:
    """Sums the rows of a model."""
    rows = list(rows)
    parameters = sum(row.parameters for row in rows)
    macs = sum(row.macs or 0 for row in rows)
    by_bits = {
        bits: sum(row.macs or 0 for row in rows if row.bits == bits)
        for bits in sorted({row.bits for row in rows}, reverse=True)
    }
    return Totals(
        parameters=parameters,
        bytes=sum(row.bytes for row in rows),
        macs=macs,
        float_bytes=FLOAT_BYTES * parameters,
        macs_by_bits=tuple((bits, count / macs) for bits, count in by_bits.items() if count),
    )


def layer_errors(model: str, rows: Iterable[LayerRow]) -> tuple[LayerError, ...]:
    """Returns the errors of the quantized layers of `model` for a results file."""
    return tuple(
        LayerError(model=model, layer=row.name, sqnr_db=row.sqnr_db) for row in rows if row.sqnr_db is not None
    )


def granularity(spec: QuantSpec | None) -> str:
    """Returns the granularity of a spec, as a row has it."""
    return "" if spec is None else f"block {spec.block_size}" if spec.block_size else spec.granularity


def sqnr_db(weights: NDArray[np.floating], quantized: NDArray[np.floating]) -> float | None:
    """Returns the signal to quantization noise ratio in decibels; None if signal or noise is 0."""
    signal = np.sum(np.square(weights, dtype=np.float64))
    noise = np.sum(np.square(weights.astype(np.float64) - quantized))
    return float(10 * np.log10(signal / noise)) if signal > 0 and noise > 0 else None


def model_summary(rows: Sequence[LayerRow], title: str = "model", unit: MacUnit = PER_SECOND) -> str:
    """Renders the table as text that fits a terminal, with the totals against float32 below it."""
    header = ("Layer", "Kind", "Shape", "Bits", "Granularity", "Parameters", "Bytes", unit.column, "SQNR dB")
    cells = [
        (
            row.name,
            row.kind,
            "x".join(map(str, row.shape)),
            "float" if row.bits == FLOAT_BITS else str(row.bits),
            row.granularity,
            f"{row.parameters:,}",
            f"{row.bytes:,}",
            unit.text(row.macs),
            "" if row.sqnr_db is None else f"{row.sqnr_db:.1f}",
        )
        for row in rows
    ]
    text_columns = {0, 1, 2, 4}
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]

    def line(values: Sequence[str]) -> str:
        aligned = (
            value.ljust(width) if index in text_columns else value.rjust(width)
            for index, (value, width) in enumerate(zip(values, widths, strict=True))
        )
        return "  ".join(aligned).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return (
        "\n".join([title, rule, line(header), rule, *map(line, cells), rule, *_total_lines(totals(rows), unit)]) + "\n"
    )


def _total_lines(total: Totals, unit: MacUnit) -> list[str]:
    mix = ", ".join(
        f"{share:.1%} in {'float' if bits == FLOAT_BITS else f'{bits}-bit'} layers"
        for bits, share in total.macs_by_bits
    )
    pairs = [
        ("Parameters", f"{total.parameters:,}"),
        ("Size", f"{total.bytes:,} bytes"),
        ("Float32 equivalent", f"{total.float_bytes:,} bytes"),
        ("Compression", f"{total.float_ratio:.2f}x" if total.bytes else "-"),
        ("Multiplications", f"{unit.text(total.macs)} {unit.name}" + (f": {mix}" if mix else "")),
    ]
    return [f"{name:<20}{value}" for name, value in pairs]
