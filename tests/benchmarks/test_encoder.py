"""The benchmark of whole Conformers runs every model, each with the kernels that it stands for."""

import pytest

from tfconformer.config import load_config

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install '.[benchmarks]'")

from benchmarks.encoder import STREAM, step_rows, utterance_rows

SIZES = ("blocks=1", "dim=64", "heads=4", "conv_kernel=8", "subsampling_channels=16", "intermediate_ctc=null")
XNNPACK, MLAS = "xnnpack", "mlas"


def tiny(pytestconfig, *overrides):
    sizes = [f"model.{size}" for size in SIZES]
    return load_config(pytestconfig.rootpath / "configs/small.yaml", [*sizes, *overrides])


def test_whole_utterances(pytestconfig):
    rows = list(utterance_rows(tiny(pytestconfig), seconds=1.0, rounds=1))
    kernels = {}
    for row in rows:
        kernels.setdefault(row.implementation.split()[0], set()).add(row.kernel)
        assert row.latency_ms_p50 == pytest.approx(1e3 * row.rtf_p50) and row.latency_ms_p50 > 0
    assert kernels["LiteRT"] == {XNNPACK} and kernels["onnxruntime"] == {MLAS}
    assert len(kernels["tfconformer"]) == 1 and not kernels["tfconformer"] & {XNNPACK, MLAS, "builtin"}
    assert {row.weight_bits for row in rows} == {2, 4, 8, 32}


def test_steps(pytestconfig):
    rows = list(step_rows(tiny(pytestconfig, *STREAM), rounds=1))
    assert {row.chunk_ms for row in rows} == {40}
    assert {row.implementation.split()[0] for row in rows} == {"tfconformer", "LiteRT", "onnxruntime"}
    assert all(row.step_ms_p50 > 0 for row in rows)
