"""A model layer by layer: bits, parameters, bytes, multiplications, and the error of the quantization.

    print(model_summary(rows, title="conformer-s, int2"))

In the spirit of larq's `models.summary`. The rows are made of the records of layers (`metadata.LayerRecord`), read from
an exported file or computed without one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from converters.flatbuffer.metadata import LayerRecord
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
      macs_per_second: multiplications with kernels for one second of audio. The prediction network of a transducer
        counts as if every frame had a label, its joint network once a frame. Elementwise scales are not counted, nor
        the matmuls of activations with activations in attention, which grow with the length of the utterance.
      sqnr_db: signal to quantization noise ratio of the weights in decibels; None for float layers and without noise.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    bits: int
    granularity: str
    parameters: int
    bytes: int
    macs_per_second: float
    sqnr_db: float | None = None


@dataclass(frozen=True)
class Totals:
    """Sums over the layers of a model.

    Attributes:
      parameters, bytes, macs_per_second: sums of the rows.
      float_bytes: size of the parameters in float32.
      macs_by_bits: (bits, share of the multiplications), widest first; the shares sum to 1.
    """

    parameters: int
    bytes: int
    macs_per_second: float
    float_bytes: int
    macs_by_bits: tuple[tuple[int, float], ...]

    @property
    def float_ratio(self) -> float:
        """Float32 size over the stored size."""
        return self.float_bytes / self.bytes if self.bytes else math.nan


def layer_rows(records: Iterable[LayerRecord], macs: Mapping[str, float]) -> list[LayerRow]:
    """Makes the rows of a model.

    Args:
      records: the records of its layers.
      macs: multiplications per second of audio by layer name, from `macs_per_second`.
    """
    return [_layer_row(record, macs.get(record.name, 0.0)) for record in records]


def _layer_row(record: LayerRecord, macs_per_second: float) -> LayerRow:
    spec = QuantSpec.model_validate(record.spec) if record.spec else None
    granularity = "" if spec is None else f"block {spec.block_size}" if spec.block_size else spec.granularity
    return LayerRow(
        name=record.name,
        kind=record.kind,
        shape=(record.k, record.n) if record.k and record.n else (),
        bits=FLOAT_BITS if spec is None else spec.bits,
        granularity=granularity,
        parameters=record.parameters,
        bytes=sum(getattr(record, f"{part}_bytes") or 0 for part in ("float", "code", "scale", "offset")),
        macs_per_second=macs_per_second,
        sqnr_db=record.sqnr_db,
    )


def totals(rows: Iterable[LayerRow]) -> Totals:
    """Sums the rows of a model."""
    rows = list(rows)
    parameters = sum(row.parameters for row in rows)
    macs = sum(row.macs_per_second for row in rows)
    by_bits = {
        bits: sum(row.macs_per_second for row in rows if row.bits == bits)
        for bits in sorted({row.bits for row in rows}, reverse=True)
    }
    return Totals(
        parameters=parameters,
        bytes=sum(row.bytes for row in rows),
        macs_per_second=macs,
        float_bytes=FLOAT_BYTES * parameters,
        macs_by_bits=tuple((bits, count / macs) for bits, count in by_bits.items() if count),
    )


def layer_errors(model: str, rows: Iterable[LayerRow]) -> tuple[LayerError, ...]:
    """Returns the errors of the quantized layers of `model` for a results file."""
    return tuple(
        LayerError(model=model, layer=row.name, sqnr_db=row.sqnr_db) for row in rows if row.sqnr_db is not None
    )


def model_summary(rows: Sequence[LayerRow], title: str = "model") -> str:
    """Renders the table as text that fits a terminal, with the totals against float32 below it."""
    header = ("Layer", "Kind", "Shape", "Bits", "Granularity", "Parameters", "Bytes", "MMAC/s", "SQNR dB")
    cells = [
        (
            row.name,
            row.kind,
            "x".join(map(str, row.shape)),
            "float" if row.bits == FLOAT_BITS else str(row.bits),
            row.granularity,
            f"{row.parameters:,}",
            f"{row.bytes:,}",
            f"{row.macs_per_second / 1e6:.2f}",
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
    return "\n".join([title, rule, line(header), rule, *map(line, cells), rule, *_total_lines(totals(rows))]) + "\n"


def _total_lines(total: Totals) -> list[str]:
    mix = ", ".join(
        f"{share:.1%} in {'float' if bits == FLOAT_BITS else f'{bits}-bit'} layers"
        for bits, share in total.macs_by_bits
    )
    pairs = [
        ("Parameters", f"{total.parameters:,}"),
        ("Size", f"{total.bytes:,} bytes"),
        ("Float32 equivalent", f"{total.float_bytes:,} bytes"),
        ("Compression", f"{total.float_ratio:.2f}x" if total.bytes else "-"),
        (
            "Multiplications",
            f"{total.macs_per_second / 1e6:.2f} MMAC per second of audio" + (f": {mix}" if mix else ""),
        ),
    ]
    return [f"{name:<20}{value}" for name, value in pairs]
