import math

import pytest

from tfconformer.reports.layer_table import LayerRow, layer_errors, model_summary, totals
from tfconformer.reports.results import LayerError

ROWS = [
    LayerRow("subsampling", "conv2d", (9, 32), 32, "", 320, 1_280, 12_300_000.0),
    LayerRow("block_00_ff1_expand", "dense", (144, 576), 2, "block 32", 83_520, 31_104, 2_073_600.0, 8.93),
    LayerRow("block_00_conv_contract", "dense", (144, 144), 4, "channel", 20_880, 11_232, 518_400.0, 18.06),
]


def test_text():
    assert model_summary(ROWS, title="demo, int2") == (
        "demo, int2\n"
        "------------------------------------------------------------------------------------------------\n"
        "Layer                   Kind    Shape     Bits  Granularity  Parameters   Bytes  MMAC/s  SQNR dB\n"
        "------------------------------------------------------------------------------------------------\n"
        "subsampling             conv2d  9x32     float                      320   1,280   12.30\n"
        "block_00_ff1_expand     dense   144x576      2  block 32         83,520  31,104    2.07      8.9\n"
        "block_00_conv_contract  dense   144x144      4  channel          20,880  11,232    0.52     18.1\n"
        "------------------------------------------------------------------------------------------------\n"
        "Parameters          104,720\n"
        "Size                43,616 bytes\n"
        "Float32 equivalent  418,880 bytes\n"
        "Compression         9.60x\n"
        "Multiplications     14.89 MMAC per second of audio: 82.6% in float layers, 3.5% in 4-bit layers,"
        " 13.9% in 2-bit layers\n"
    )


def test_totals():
    total = totals(ROWS)
    assert total.parameters == 320 + 83_520 + 20_880
    assert total.float_ratio == pytest.approx(4 * 104_720 / 43_616)
    assert [bits for bits, _ in total.macs_by_bits] == [32, 4, 2]
    assert sum(share for _, share in total.macs_by_bits) == pytest.approx(1.0)


def test_a_model_without_layers():
    assert math.isnan(totals([]).float_ratio)
    assert "Parameters          0\n" in model_summary([])


def test_layer_errors_keep_the_quantized_layers():
    assert layer_errors("int2", ROWS) == (
        LayerError(model="int2", layer="block_00_ff1_expand", sqnr_db=8.93),
        LayerError(model="int2", layer="block_00_conv_contract", sqnr_db=18.06),
    )
