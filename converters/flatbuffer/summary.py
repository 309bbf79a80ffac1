"""The rows of a summary of a model, from the records of its layers in an exported file or computed without one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from converters.flatbuffer.metadata import LayerRecord
from tfconformer.quantization.spec import FLOAT_BITS, QuantSpec
from tfconformer.reports.layer_table import LayerRow, granularity


def layer_rows(records: Iterable[LayerRecord], macs: Mapping[str, float]) -> list[LayerRow]:
    """Makes the rows of a model.

    Args:
      records: the records of its layers.
      macs: multiplications per second of audio by layer name, from `macs_per_second`.
    """
    return [_layer_row(record, macs.get(record.name, 0.0)) for record in records]


def _layer_row(record: LayerRecord, macs: float) -> LayerRow:
    spec = QuantSpec.model_validate(record.spec) if record.spec else None
    return LayerRow(
        name=record.name,
        kind=record.kind,
        shape=(record.k, record.n) if record.k and record.n else (),
        bits=FLOAT_BITS if spec is None else spec.bits,
        granularity=granularity(spec),
        parameters=record.parameters,
        bytes=sum(getattr(record, f"{part}_bytes") or 0 for part in ("float", "code", "scale", "offset")),
        macs=macs,
        sqnr_db=record.sqnr_db,
    )
