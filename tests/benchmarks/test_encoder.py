"""The benchmark of whole Conformers runs every model, each with the kernels that it stands for."""

import pytest

from tests.support.tiny_conformer import tiny_config

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install '.[benchmarks]'")

from benchmarks.encoder import step_rows, utterance_rows

# K of every dense layer holds whole blocks of 64.
SIZES = {"blocks": 1, "dim": 64, "subsampling_channels": 16, "intermediate_ctc": None}
STREAM = {"causal": True, "left_context": 8, "attention_chunk": 1}
XNNPACK, MLAS = "xnnpack", "mlas"


def test_whole_utterances():
    rows = list(utterance_rows(tiny_config(context=SIZES), seconds=1.0, rounds=1))
    kernels = {}
    for row in rows:
        kernels.setdefault(row.implementation.split()[0], set()).add(row.execution.kernel)
        assert row.speed.latency_ms_p50 == pytest.approx(1e3 * row.speed.rtf_p50) and row.speed.latency_ms_p50 > 0
    assert kernels["LiteRT"] == {XNNPACK} and kernels["onnxruntime"] == {MLAS}
    assert len(kernels["tfconformer"]) == 1 and not kernels["tfconformer"] & {XNNPACK, MLAS, "builtin"}
    assert {row.quantization.weight_bits for row in rows} == {2, 4, 8, 32}


def test_steps():
    rows = list(step_rows(tiny_config(context=SIZES | STREAM), rounds=1))
    assert {row.stream.chunk_ms for row in rows} == {40}
    assert {row.implementation.split()[0] for row in rows} == {"tfconformer", "LiteRT", "onnxruntime"}
    assert all(row.step.step_ms_p50 > 0 for row in rows)
